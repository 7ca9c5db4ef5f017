//! Another version in the place of a pin: the bytes of the pin change in the file, and nothing else does.

use serde_json::Value;
use vertskommune_core::violation::Violation;

use super::yaml::{self, Node};
use super::{Origin, Problem};

/// A pin that is to become another.
#[derive(Clone, Debug)]
pub struct Repin<'a> {
    /// The Tenant that pins it.
    pub origin: &'a Origin,
    /// Its place in `spec.firewall.ruleSets`.
    pub index: usize,
    /// The pin as it is.
    pub from: String,
    /// The pin that is to stand there.
    pub to: String,
}

/// The text of a file with other pins in it.
///
/// # Errors
/// The pins that are not written out where they stand, in one of the forms in which that can be done safely.
pub fn repin(text: &str, pins: &[Repin<'_>]) -> Result<String, Vec<Problem>> {
    let mut found = Vec::new();
    let mut wrong = Vec::new();
    for pin in pins {
        match place(text, pin) {
            Some(start) => found.push((start, pin)),
            None => wrong.push(pin.problem()),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    // From the end, so that what stands before keeps its place.
    found.sort_by_key(|(start, _)| std::cmp::Reverse(*start));
    let mut changed = text.to_owned();
    for (start, pin) in found {
        changed.replace_range(start..start + pin.from.len(), &pin.to);
    }
    // Whatever a form of YAML could mean that is not known here: the file must say the same but for the pins.
    if Some(documents(&changed)) == expected(text, pins) {
        Ok(changed)
    } else {
        Err(pins.iter().map(Repin::problem).collect())
    }
}

/// Where the pin begins, as it stands there, plain or in quotes.
fn place(text: &str, pin: &Repin<'_>) -> Option<usize> {
    let bytes = pin.origin.bytes.get(&pin.field())?.clone();
    let written = text.get(bytes.clone())?;
    let plain = ['"', '\'']
        .into_iter()
        .find_map(|quote| Some((1, written.strip_prefix(quote)?.strip_suffix(quote)?)))
        .unwrap_or((0, written));
    (plain.1 == pin.from).then_some(bytes.start + plain.0)
}

/// What each document of a file says, with the line on which it begins; none for one that cannot be read.
fn documents(text: &str) -> Vec<Option<(u64, Value)>> {
    let read = |node: Node| (node.line, node.json());
    yaml::documents(text).into_iter().map(|document| document.ok().map(read)).collect()
}

/// What the documents shall say.
fn expected(text: &str, pins: &[Repin<'_>]) -> Option<Vec<Option<(u64, Value)>>> {
    let mut documents = documents(text);
    for pin in pins {
        let document = documents.iter_mut().flatten().find(|(line, _)| *line == pin.origin.line);
        let place = document?.1.pointer_mut(&format!("/spec/firewall/ruleSets/{}", pin.index))?;
        *place = Value::String(pin.to.clone());
    }
    Some(documents)
}

impl Repin<'_> {
    fn field(&self) -> String {
        format!("spec.firewall.ruleSets[{}]", self.index)
    }

    fn problem(&self) -> Problem {
        let message = format!(
            "cannot be changed where it stands: write {:?} out in the list itself, plain or in quotes, without anchor \
             or alias",
            self.from
        );
        self.origin.problem(Violation::new(self.field(), message))
    }
}

#[cfg(test)]
mod tests;
