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

/// Bytes as people say them.
pub(crate) fn size(bytes: u64) -> String {
    let mut unit = ("B", 1_u64);
    for next in [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)] {
        if bytes >= next.1 {
            unit = next;
        }
    }
    let tenths = u128::from(bytes) * 10 / u128::from(unit.1);
    if unit.1 == 1 { format!("{bytes} B") } else { format!("{}.{} {}", tenths / 10, tenths % 10, unit.0) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_are_short() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1 << 10, "1.0 KiB"),
            (1_610_612_736, "1.5 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(super::size(bytes), expected);
        }
    }
}
