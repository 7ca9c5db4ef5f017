//! Logs, to standard error: few by default, so that the results of a command stand alone.

use std::io::{self, Write};

use anyhow::Context as _;
use clap::ValueEnum;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::arguments::Global;
use crate::commands::Command;
use crate::progress;
use crate::traces::Traces;

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object on each line.
    Json,
}

/// Starts logging, and traces where they are asked for; those end when what this gives is dropped.
pub(crate) fn start(global: &Global, command: &Command) -> anyhow::Result<Option<Traces>> {
    // A service tells what it does; a command shows it by its results.
    let level = match global.verbose + u8::from(command.is_service()) {
        0 => "warn",
        1 => "info",
        2 => "info,vertskommune=debug,vsphere_client=debug",
        _ => "trace",
    };
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => EnvFilter::try_new(filter).context("RUST_LOG cannot be read")?,
        _ => EnvFilter::new(level),
    };
    // An answer that it cannot read is warned of there with the whole answer, which may be a Secret.
    let filter = filter.add_directive("kube_client::client=error".parse()?);
    let logs = tracing_subscriber::fmt::layer()
        .with_writer(Stderr::default)
        .with_ansi(global.color.on(&io::stderr()) == vertskommune_core::render::Colour::Always);
    let logs = match global.log_format {
        LogFormat::Text => logs.boxed(),
        LogFormat::Json => logs.json().flatten_event(true).with_current_span(false).boxed(),
    };
    let traces = Traces::start()?;
    let layers = tracing_subscriber::registry().with(logs.with_filter(filter));
    layers.with(traces.as_ref().map(Traces::layer)).init();
    Ok(traces)
}

/// Standard error, above the line that shows the progress.
#[derive(Default)]
struct Stderr {
    line: Vec<u8>,
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        progress::above(|| io::stderr().write_all(&line))
    }
}

impl Drop for Stderr {
    fn drop(&mut self) {
        // A log that nobody can read is lost; the work goes on.
        let _ = self.flush();
    }
}
