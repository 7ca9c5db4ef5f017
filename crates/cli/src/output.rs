//! Results, to standard output. Everything else goes to standard error.

use std::io::{self, BufWriter, Write};

use serde::Serialize;

/// Writes to standard output. A reader that went away is an error like any other, not a panic.
pub(crate) fn write(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    write(&mut out)?;
    Ok(out.flush()?)
}

/// Writes a value as JSON for people and machines.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    write(|out| writeln!(out, "{text}"))
}

/// Writes a line to standard error. That it cannot be read there is no reason to fail.
pub(crate) fn note(line: impl std::fmt::Display) {
    crate::progress::above(|| {
        let _ = writeln!(io::stderr(), "{line}");
    });
}
