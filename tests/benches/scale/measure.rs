//! What is measured of a process, and how figures are printed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;

/// Memory of a process that is resident now, and the most that ever was, in KiB.
pub(crate) fn memory(process: &str) -> anyhow::Result<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).context("a field of /proc")?;
        let number = line.split_whitespace().nth(1).context("a number of /proc")?;
        anyhow::Ok(number.parse()?)
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}

/// KiB as MiB.
pub(crate) fn mebibytes(kibibytes: u64) -> String {
    format!("{}.{} MiB", kibibytes / 1024, kibibytes % 1024 * 10 / 1024)
}

/// A time as people read it.
pub(crate) fn seconds(time: Duration) -> String {
    let millis = time.as_millis();
    if millis < 1000 { format!("{millis} ms") } else { format!("{:.1} s", time.as_secs_f64()) }
}

/// Requests by kind, the most frequent first.
pub(crate) fn kinds(calls: &BTreeMap<String, u64>) -> String {
    let mut calls: Vec<_> = calls.iter().collect();
    calls.sort_by_key(|(method, count)| (std::cmp::Reverse(**count), *method));
    let calls: Vec<_> = calls.into_iter().map(|(method, count)| format!("{method} {count}")).collect();
    calls.join(", ")
}

/// Prints a table as Markdown, with columns of one width.
pub(crate) fn print(heads: &[&str], rows: &[Vec<String>]) {
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
