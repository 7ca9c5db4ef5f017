//! How a plan looks to people. The command line, the status and the golden files all use this, so they cannot differ.

use std::fmt::{self, Write as _};

use crate::backup::report::Verdict;
use crate::difference::{bytes_text, text, value_text};
use crate::directory;
use crate::plan::{Plan, PlannedStep};
use crate::step::{Class, Step};
use crate::transfer::Underway;

/// Whether the text is for a terminal that shows colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// ANSI colours.
    Always,
    /// None.
    Never,
}

impl Colour {
    /// The text in a colour, by its ANSI code.
    pub fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Always => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Self::Never => text.to_owned(),
        }
    }
}

/// The whole plan of one tenant, several lines.
pub fn plan(plan: &Plan, colour: Colour) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = write_plan(&mut out, plan, colour);
    out
}

fn write_plan(out: &mut String, plan: &Plan, colour: Colour) -> fmt::Result {
    writeln!(out, "{}  {}", heading(&format!("tenant {}", plan.tenant), colour), headline(plan))?;
    for finding in &plan.findings {
        let mark = if finding.blocks { colour.paint("31", "✗") } else { colour.paint("33", "!") };
        writeln!(out, "  {mark} {finding}  [{}]", finding.reason.word())?;
    }
    for refusal in &plan.refusals {
        let mark = colour.paint("31", "✗");
        writeln!(out, "  {mark} {}: {}  [{}]", refusal.field, refusal.message, refusal.reason.word())?;
    }
    for doubt in &plan.doubts {
        writeln!(out, "  {} {} is unknown: {}", colour.paint("33", "?"), doubt.id.key, doubt.why)?;
    }
    for progress in &plan.progress {
        let percent = progress.percent.map(|percent| format!(" ({percent}%)")).unwrap_or_default();
        writeln!(
            out,
            "  {} {} {} on {}{percent}",
            colour.paint("36", "…"),
            progress.operation,
            progress.id.key,
            progress.id.provider
        )?;
    }
    for step in &plan.steps {
        write_step(out, step, colour)?;
    }
    if let Some(report) = plan.backup.as_ref().filter(|it| it.verdict != Verdict::Protected) {
        let not = if report.verdict == Verdict::Unprotected { "not" } else { "not known to be" };
        writeln!(
            out,
            "  {} {not} protected: {}  [{}]",
            colour.paint("33", "!"),
            report.line(),
            report.word()
        )?;
    }
    if let Some(report) = &plan.directory {
        write_trust(out, report, colour)?;
    }
    for shown in &plan.shown {
        writeln!(
            out,
            "  {} {}: {} is {}, not {} (shown only)",
            colour.paint("33", "!"),
            shown.id.key,
            shown.field,
            text(&shown.field, shown.from.as_ref()),
            value_text(&shown.field, &shown.to)
        )?;
    }
    for notice in &plan.notices {
        writeln!(out, "  {} {}: {}", colour.paint("33", "!"), notice.id.key, notice.message)?;
    }
    Ok(())
}

/// What the trust is worth, where the manifest asks for one.
fn write_trust(out: &mut String, report: &directory::Report, colour: Colour) -> fmt::Result {
    if report.verdict == directory::Verdict::Valid {
        return writeln!(out, "  trust: {}, {}, with {}", report.word(), report.direction, report.domain);
    }
    writeln!(out, "  {} trust: {}  [{}]", colour.paint("33", "!"), report.line(), report.word())
}

/// The head of a part of the text, such as `tenant ibestad`.
pub fn heading(text: &str, colour: Colour) -> String {
    colour.paint("1", text)
}

/// What would change, without the ids of steps and what they wait for: of a proposal nothing can be carried out.
pub fn changes<'a>(steps: impl IntoIterator<Item = &'a Step>, colour: Colour) -> String {
    let mut out = String::new();
    for step in steps {
        // Writing to a String does not fail.
        let _ = write_change(&mut out, step, "", colour);
    }
    out
}

fn write_step(out: &mut String, planned: &PlannedStep, colour: Colour) -> fmt::Result {
    let id = format!("{}  ", colour.paint("2", planned.id.short()));
    write_change(out, &planned.step, &id, colour)?;
    match &planned.wait {
        Some(wait) => writeln!(out, "      {}", colour.paint("33", &format!("{wait}  [{}]", wait.word()))),
        None => Ok(()),
    }
}

fn write_change(out: &mut String, step: &Step, id: &str, colour: Colour) -> fmt::Result {
    let (sign, code) = sign(step.class);
    writeln!(out, "  {} {id}{}  {}", colour.paint(code, sign), step.resource.key, step.summary)?;
    // Of what is made all is new.
    for (field, to) in step.fields.iter().filter(|_| step.class != Class::Create) {
        let to_text = value_text(field, to);
        match step.expects.get(field) {
            // It stands already, and is only made sure of.
            Some(from) if to.as_known() == Some(from) => {}
            Some(from) => writeln!(out, "      {field}: {} → {to_text}", text(field, Some(from)))?,
            // What was there before does not count.
            None => writeln!(out, "      {field}: {to_text}")?,
        }
    }
    Ok(())
}

fn sign(class: Class) -> (&'static str, &'static str) {
    match class {
        Class::Adopt => ("&", "36"),
        Class::Create => ("+", "32"),
        Class::Change => ("~", "33"),
        Class::Restart => ("↻", "33"),
        Class::Retire => ("↓", "31"),
        Class::Remove => ("-", "31"),
        Class::Destroy => ("✗", "31"),
    }
}

/// The plan in one line, such as `3 steps, 1 waits`.
pub fn headline(plan: &Plan) -> String {
    let mut parts = Vec::new();
    let mut count = |number: usize, one: &str, many: &str| {
        if number > 0 {
            parts.push(format!("{number} {}", if number == 1 { one } else { many }));
        }
    };
    count(plan.findings.iter().filter(|finding| finding.blocks).count(), "violation", "violations");
    count(plan.refusals.len(), "refusal", "refusals");
    count(plan.doubts.len(), "unknown", "unknown");
    count(plan.progress.len(), "operation under way", "operations under way");
    count(plan.ready().count(), "step", "steps");
    count(plan.steps.len() - plan.ready().count(), "step waits", "steps wait");
    count(plan.shown.len(), "difference shown only", "differences shown only");
    count(plan.notices.len(), "notice", "notices");
    if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") }
}

/// What holds the tenant up, in one sentence for the STATUS column.
pub fn status_line(plan: &Plan) -> String {
    let mut line = String::new();
    let waiting = || plan.steps.iter().find_map(|step| Some((step, step.wait.as_ref()?)));
    let violations: Vec<String> =
        plan.findings.iter().filter(|finding| finding.blocks).map(ToString::to_string).collect();
    let _ = if let [violation] = &violations[..] {
        write!(line, "Refused: {violation}")
    } else if !violations.is_empty() {
        // All at once: whoever mends the manifest wants to do it once.
        write!(line, "Refused ({} violations): {}", violations.len(), violations.join("; "))
    } else if let Some(refusal) = plan.refusals.first() {
        write!(line, "{}: {}", refusal.reason.word(), refusal.message)
    } else if let Some(doubt) = plan.doubts.first() {
        write!(line, "Unknown: {} on {}: {}", doubt.id.key, doubt.id.provider, doubt.why)
    } else if let Some(progress) = plan.progress.first() {
        let percent = progress.percent.map(|percent| format!(" ({percent}%)")).unwrap_or_default();
        write!(line, "{} {} on {}{percent}", progress.operation, progress.id.key.name, progress.id.provider)
    } else if let Some(step) = plan.ready().next() {
        write!(line, "{}: {}", step.step.resource.key, step.step.summary)
    } else if let Some((step, wait)) = waiting().filter(|_| !plan.is_converged()) {
        write!(line, "{}: {wait}", step.step.resource.key)
    } else if let Some((step, wait)) = waiting() {
        write!(line, "Converged; {}: {wait}", step.step.resource.key)
    } else if let Some(shown) = plan.shown.first() {
        let (id, field, from) = (&shown.id, &shown.field, text(&shown.field, shown.from.as_ref()));
        write!(line, "Converged; {}: {field} is {from}, not {}", id.key, value_text(field, &shown.to))
    } else if let Some(notice) = plan.notices.first() {
        write!(line, "Converged; {}: {}", notice.id.key, notice.message)
    } else {
        write!(line, "Converged")
    };
    line
}

/// The same line while bytes are moved for the tenant: what is under way is told where nothing is to be done.
pub fn status_line_meanwhile(plan: &Plan, underway: &[Underway]) -> String {
    let Some(first) = underway.first().filter(|_| plan.is_converged()) else { return status_line(plan) };
    let others = match underway.len() - 1 {
        0 => String::new(),
        others => format!(", {others} more"),
    };
    capital(&format!("{first}{others}"))
}

/// A size for people, who compare sizes and do not count bytes: in the largest unit in which it is at least ten.
pub fn size(bytes: u64) -> String {
    let shift = [40, 30, 20, 10].into_iter().find(|shift| bytes >> shift >= 10).unwrap_or(0);
    bytes_text(bytes >> shift << shift)
}

/// The same text as the beginning of a sentence.
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_size_is_short_and_close_enough_to_compare() {
        for (bytes, expected) in [
            (0, "0"),
            (1023, "1023"),
            (10 << 10, "10Ki"),
            (39_936, "39Ki"),
            (1_610_612_736, "1536Mi"),
            (20_000_000_000, "18Gi"),
            (16 << 40, "16Ti"),
            (u64::MAX, "16777215Ti"),
        ] {
            assert_eq!(super::size(bytes), expected);
        }
    }
}
