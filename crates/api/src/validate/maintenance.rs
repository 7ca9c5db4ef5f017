//! Maintenance windows and freezes.

use vertskommune_core::windows::{Freeze, Maintenance, Window};

use super::fields::Fields;
use crate::tenant;

/// The windows and freezes that `written` says, at `field`.
pub(super) fn maintenance(
    written: Option<&tenant::Maintenance>,
    field: &str,
    fields: &mut Fields,
) -> Maintenance {
    let Some(written) = written else { return Maintenance::default() };
    fields.entries(&format!("{field}.windows"), written.windows.len(), 16);
    fields.entries(&format!("{field}.freezes"), written.freezes.len(), 32);
    let windows = written.windows.iter().enumerate();
    let freezes = written.freezes.iter().enumerate();
    Maintenance {
        windows: windows
            .filter_map(|(i, each)| window(each, &format!("{field}.windows[{i}]"), fields))
            .collect(),
        freezes: freezes
            .filter_map(|(i, each)| freeze(each, &format!("{field}.freezes[{i}]"), fields))
            .collect(),
    }
}

fn window(written: &tenant::Window, field: &str, fields: &mut Fields) -> Option<Window> {
    let duration = fields.duration(&format!("{field}.duration"), &written.duration)?;
    let made = Window::new(&written.schedule, duration, &written.time_zone);
    fields.take(field, made)
}

fn freeze(written: &tenant::Freeze, field: &str, fields: &mut Fields) -> Option<Freeze> {
    let from = day(&written.from, &format!("{field}.from"), fields);
    let until = day(&written.until, &format!("{field}.until"), fields);
    let (from, until) = (from?, until?);
    fields.must(
        from <= until,
        &format!("{field}.until"),
        format!("{until} lies before {from}: write the last day"),
    );
    Some(Freeze { from, until })
}

fn day(text: &str, field: &str, fields: &mut Fields) -> Option<jiff::civil::Date> {
    let plain = text.len() == 10; // the parser takes more than a plain date
    let read = text.parse().ok().filter(|_| plain);
    fields.take(
        field,
        read.ok_or_else(|| format!("{text:?} is no day: write year, month and day, such as 2026-12-18")),
    )
}
