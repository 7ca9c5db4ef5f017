//! What benchmarks measure of a process, and how they print figures.

use std::time::Duration;

use anyhow::Context as _;

/// Memory of a process that is resident now, and the most that ever was, in KiB.
///
/// # Errors
/// Where there is no such process, or it has ended.
pub fn memory(process: &str) -> anyhow::Result<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).context("a field of /proc")?;
        let number = line.split_whitespace().nth(1).context("a number of /proc")?;
        anyhow::Ok(number.parse()?)
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}

/// Processor time that a process has used so far, in user and system mode.
///
/// # Errors
/// Where there is no such process.
pub fn processor(process: &str) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold anything; the 14th and 15th field are behind it.
    let (_, fields) = stat.rsplit_once(')').context("a name in /proc")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let ticks: u64 = ticks.sum::<Result<_, _>>()?;
    // Linux shows programs 100 ticks a second, whatever its own clock is.
    Ok(Duration::from_millis(10 * ticks))
}

/// What all processors together did not do, since the machine's start.
#[derive(Clone, Copy, Default)]
pub struct Unused {
    /// Nobody had anything to do.
    pub idle: Duration,
    /// The host of this virtual machine had something else to do.
    pub stolen: Duration,
}

impl Unused {
    /// Until now.
    ///
    /// # Errors
    /// Where /proc does not tell.
    pub fn now() -> anyhow::Result<Self> {
        let stat = std::fs::read_to_string("/proc/stat")?;
        let line = stat.lines().next().context("a line of /proc/stat")?;
        let field = |number: usize| {
            let ticks: u64 = line.split_whitespace().nth(number).context("a field of /proc/stat")?.parse()?;
            anyhow::Ok(Duration::from_millis(10 * ticks))
        };
        Ok(Self { idle: field(4)? + field(5)?, stolen: field(8)? })
    }

    /// Since an earlier moment.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            idle: self.idle.saturating_sub(earlier.idle),
            stolen: self.stolen.saturating_sub(earlier.stolen),
        }
    }
}

/// KiB as MiB.
pub fn mebibytes(kibibytes: u64) -> String {
    format!("{}.{} MiB", kibibytes / 1024, kibibytes % 1024 * 10 / 1024)
}

/// A time as people read it.
pub fn seconds(time: Duration) -> String {
    let millis = time.as_millis();
    if millis < 1000 { format!("{millis} ms") } else { format!("{:.1} s", time.as_secs_f64()) }
}

/// One number in relation to another.
pub fn times(part: Duration, whole: Duration) -> String {
    if whole.is_zero() { "-".to_owned() } else { format!("{:.2}", part.div_duration_f64(whole)) }
}

/// Prints a table as Markdown, with columns of one width.
pub fn print(heads: &[&str], rows: &[Vec<String>]) {
    let widths: Vec<usize> = (0..heads.len())
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([heads[column].chars().count()]).max().unwrap_or_default()
        })
        .collect();
    let line = |cells: &[String]| {
        let cells: Vec<_> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        println!("| {} |", cells.join(" | "));
    };
    line(&heads.iter().map(ToString::to_string).collect::<Vec<_>>());
    line(&widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>());
    for row in rows {
        line(row);
    }
}
