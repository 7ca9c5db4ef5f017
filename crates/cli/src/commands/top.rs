//! `vertskommune top`: all tenants, live.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::pin::pin;
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Args;
use futures::StreamExt as _;
use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use vertskommune_api::Tenant;
use vertskommune_api::table::{self, Row};
use vertskommune_controller::Cluster;
use vertskommune_core::render::Colour;

use crate::arguments::{Format, Global, InCluster};
use crate::exit::Exit;
use crate::{embedded, interrupt, output};

/// How often the table is drawn at most. Ages go on in seconds.
const BEAT: Duration = Duration::from_millis(500);

/// Shows all tenants and redraws the table whenever one changes, until Ctrl-C
///
/// Without a terminal, or with `-o json`, it writes one table and ends.
#[derive(Args)]
pub(crate) struct Top {
    #[command(flatten)]
    cluster: InCluster,
    /// How the result is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

impl Top {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<Exit> {
        embedded::block_on(self.top(global))
    }

    async fn top(&self, global: &Global) -> anyhow::Result<Exit> {
        let cluster = self.cluster.access.connect().await?;
        let colour = global.color.on(&io::stdout());
        match self.output {
            Format::Text if io::stdout().is_terminal() => return live(&cluster, colour).await,
            Format::Text => {
                let rows = table::rows(&cluster.tenants().await?, Timestamp::now());
                output::write(|out| out.write_all(table::text(&rows, colour).as_bytes()))?;
            }
            Format::Json => output::json(&table::rows(&cluster.tenants().await?, Timestamp::now()))?,
        }
        Ok(Exit::Success)
    }
}

async fn live(cluster: &Cluster, colour: Colour) -> anyhow::Result<Exit> {
    let interrupted = CancellationToken::new();
    let _listening = interrupt::quietly(interrupted.clone())?;
    let _screen = Screen::open()?;
    let mut changes = pin!(cluster.watch());
    let mut tick = interval(BEAT);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut tenants, mut trouble) = (None::<BTreeMap<String, Tenant>>, None);
    let mut drawn = String::new();
    loop {
        tokio::select! {
            change = changes.next() => match change {
                Some(Ok(now)) => (tenants, trouble) = (Some(now), None),
                Some(Err(why)) => trouble = Some(why),
                None => return Ok(Exit::Success),
            },
            _ = tick.tick() => {
                let rows = tenants.as_ref().map(|tenants| table::rows(tenants.values(), Timestamp::now()));
                let text = picture(rows, trouble.as_deref(), height(), colour);
                if text != drawn {
                    draw(&text)?;
                    drawn = text;
                }
            }
            () = interrupted.cancelled() => return Ok(Exit::Success),
        }
    }
}

/// What stands on the screen, in no more lines than it has: where they are too few, tenants that are not Ready go first.
fn picture(rows: Option<Vec<Row>>, trouble: Option<&str>, height: usize, colour: Colour) -> String {
    let Some(mut rows) = rows else {
        return trouble.map_or_else(|| "asking the cluster …\n".to_owned(), |why| format!("{why}\n"));
    };
    // The head, a line for what is left out or wrong, and the cursor's.
    let room = height.saturating_sub(3).max(1);
    let left_out = rows.len().saturating_sub(room);
    if left_out > 0 {
        rows.sort_by_key(|row| row.ready == "True");
        rows.truncate(room);
    }
    let mut text = table::text(&rows, colour);
    let last = match (trouble, left_out) {
        (Some(why), _) => Some(format!("this is how it was; the API server does not answer: {why}\n")),
        (None, 0) => None,
        (None, more) => Some(format!("{more} more; those that are not Ready are shown first\n")),
    };
    text.extend(last);
    text
}

/// The lines of the terminal, as `stty` tells them; as on the first of them where it does not.
fn height() -> usize {
    let size = Command::new("stty").arg("size").stdin(Stdio::inherit()).stderr(Stdio::null()).output();
    let text = size.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.split_whitespace().next().and_then(|rows| rows.parse().ok()).filter(|rows| *rows > 0).unwrap_or(24)
}

/// A terminal that shows something else until this is dropped.
struct Screen;

impl Screen {
    fn open() -> io::Result<Self> {
        let mut out = io::stdout().lock();
        // Another page, no cursor, and lines that end at the margin.
        write!(out, "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l")?;
        out.flush()?;
        Ok(Self)
    }
}

/// Puts this on the open screen.
fn draw(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "\u{1b}[H")?;
    for line in text.lines() {
        write!(out, "{line}\u{1b}[K\r\n")?;
    }
    write!(out, "\u{1b}[J")?;
    out.flush()
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut out = io::stdout().lock();
        // What cannot be put back is the terminal's.
        let _ = write!(out, "\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l");
        let _ = out.flush();
    }
}

#[cfg(test)]
mod tests {
    use vertskommune_api::{TenantSpec, TenantStatus};

    use super::*;

    #[test]
    fn what_needs_a_look_stays_on_a_small_screen() {
        let tenants: Vec<Tenant> = (0..6)
            .map(|number| {
                let mut tenant = Tenant::new(&format!("t{number}"), TenantSpec::default());
                let mut conditions =
                    vertskommune_api::conditions::Conditions::new(&[], None, Timestamp::UNIX_EPOCH);
                conditions.set("Ready", number != 5, "Converged", "Converged");
                let conditions = conditions.finish();
                tenant.status = Some(TenantStatus { conditions, ..TenantStatus::default() });
                tenant
            })
            .collect();
        let rows = || Some(table::rows(&tenants, Timestamp::UNIX_EPOCH));
        let names = |text: &str| -> Vec<String> {
            text.lines().skip(1).map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
        };
        let all = picture(rows(), None, 24, Colour::Never);
        assert_eq!(names(&all), ["t0", "t1", "t2", "t3", "t4", "t5"]);
        let few = picture(rows(), None, 5, Colour::Never);
        assert_eq!(names(&few), ["t5", "t0", "4"]);
        let cut = picture(rows(), Some("no answer"), 24, Colour::Never);
        assert!(cut.ends_with("this is how it was; the API server does not answer: no answer\n"), "{cut}");
        assert_eq!(picture(None, None, 24, Colour::Never), "asking the cluster …\n");
    }
}
