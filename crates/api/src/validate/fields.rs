//! Where violations are gathered while the fields of a manifest are read one by one.

use std::collections::BTreeMap;

use vertskommune_core::names::is_label;
use vertskommune_core::violation::Violation;

use crate::duration::Duration;
use crate::quantity::Quantity;

/// The violations found so far.
#[derive(Debug, Default)]
pub(super) struct Fields {
    found: Vec<Violation>,
}

impl Fields {
    /// Notes what is wrong with `field`.
    pub(super) fn wrong(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.found.push(Violation::new(field, message));
    }

    /// Notes what is wrong with `field` unless it `holds`.
    pub(super) fn must(&mut self, holds: bool, field: &str, message: impl Into<String>) {
        if !holds {
            self.wrong(field, message);
        }
    }

    /// The value, or a note of why there is none.
    pub(super) fn take<T, E: ToString>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.wrong(field, error.to_string())).ok()
    }

    /// What was found, in the order of the manifest; `made` where nothing was.
    ///
    /// A value that could not be read has left a note, so without notes everything was made.
    pub(super) fn finish<T>(self, made: Option<T>) -> Result<T, Vec<Violation>> {
        match made {
            Some(made) if self.found.is_empty() => Ok(made),
            _ => Err(self.found),
        }
    }

    /// A text between one and `most` characters without control characters.
    pub(super) fn text(&mut self, field: &str, text: &str, most: usize) {
        if text.trim().is_empty() {
            self.wrong(field, "is empty: write a text");
        } else if text.chars().count() > most {
            self.wrong(field, format!("has more than {most} characters: write a shorter text"));
        } else if text.chars().any(char::is_control) {
            self.wrong(field, "holds a control character such as a line break: write it in one line");
        }
    }

    /// A DNS label of at most `most` characters.
    pub(super) fn label(&mut self, field: &str, text: &str, most: usize) {
        if text.is_empty() {
            self.wrong(field, "is empty: write a name of lower-case letters, digits and hyphens");
        } else if text.len() > most {
            self.wrong(field, format!("{text:?} has more than {most} characters: choose a shorter name"));
        } else if !is_label(text) {
            let message = format!(
                "{text:?} is no name: write lower-case letters, digits and hyphens, with a letter or digit at both ends"
            );
            self.wrong(field, message);
        }
    }

    /// A template of a catalogue, `name@version`.
    pub(super) fn template(&mut self, field: &str, text: &str) {
        if !is_template(text) {
            let message =
                format!("{text:?} is no template: write name@version, such as windows-server-2022@2");
            self.wrong(field, message);
        }
    }

    /// A whole number from `least` to `most`.
    pub(super) fn number<T: TryFrom<i32> + Default>(
        &mut self,
        field: &str,
        number: i32,
        least: i32,
        most: i32,
    ) -> T {
        let within = (least..=most).contains(&number);
        self.must(within, field, format!("{number} is out of range: write a number from {least} to {most}"));
        T::try_from(number.clamp(least, most)).unwrap_or_default()
    }

    /// At most `most` entries.
    pub(super) fn entries(&mut self, field: &str, count: usize, most: u64) {
        let within = u64::try_from(count).is_ok_and(|count| count <= most);
        self.must(within, field, format!("has {count} entries: write at most {most}"));
    }

    /// A size in bytes.
    pub(super) fn size(&mut self, field: &str, size: &Quantity) -> Option<u64> {
        self.take(field, size.bytes().map_err(|error| format!("{:?} {error}", size.as_str())))
    }

    /// A duration.
    pub(super) fn duration(&mut self, field: &str, duration: &Duration) -> Option<jiff::SignedDuration> {
        self.take(field, duration.parse().map_err(|error| format!("{:?} {error}", duration.as_str())))
    }

    /// A time.
    pub(super) fn time(&mut self, field: &str, text: &str) -> Option<jiff::Timestamp> {
        let read = text.parse();
        self.take(
            field,
            read.map_err(|_| format!("{text:?} is no time: write one such as 2026-11-24T22:00:00+01:00")),
        )
    }

    /// No two entries with the same value; a note at each that repeats an earlier one.
    pub(super) fn unique<K: Ord>(
        &mut self,
        entries: impl IntoIterator<Item = (String, K)>,
        message: impl Fn(&K, &str) -> String,
    ) {
        let mut seen = BTreeMap::<K, String>::new();
        for (field, key) in entries {
            match seen.get(&key) {
                Some(first) => self.wrong(field, message(&key, first)),
                None => drop(seen.insert(key, field)),
            }
        }
    }
}

/// Whether it is `name@version` with a version from 1 to 999999.
pub(super) fn is_template(text: &str) -> bool {
    let Some((name, version)) = text.split_once('@') else { return false };
    let digits = (1..=6).contains(&version.len()) && version.bytes().all(|c| c.is_ascii_digit());
    let named = name.len() <= 63 && is_label(&name.replace('.', "-"));
    named && !name.starts_with('.') && !name.ends_with('.') && digits && !version.starts_with('0')
}
