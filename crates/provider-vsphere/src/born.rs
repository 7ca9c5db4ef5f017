//! Which servers were born: the record that keeps a lost server from being made anew in silence.
//!
//! It stands on the tenant's folder, in custom fields `vertskommune.born.0`, `.1` and so on of at most 255 characters
//! each, as `name:instanceUuid` with spaces between. It only makes us more careful: a record too many shows a loss
//! where there is none, and is cleared once nothing wants the server.

use std::collections::BTreeMap;

use crate::marks::BORN_FIELD;

/// vCenter's limit for the value of a custom field.
const LIMIT: usize = 255;

/// The instance UUIDs of born servers by name.
pub(crate) type Born = BTreeMap<String, String>;

/// Reads the record from the values of custom fields by their names.
pub(crate) fn read<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> Born {
    let values = fields.filter(|(name, _)| index(name).is_some());
    let entries = values.flat_map(|(_, value)| value.split_whitespace());
    entries
        .filter_map(|entry| entry.split_once(':'))
        .map(|(name, uuid)| (name.to_owned(), uuid.to_owned()))
        .collect()
}

/// The number of a custom field of the record.
pub(crate) fn index(field: &str) -> Option<usize> {
    field.strip_prefix(BORN_FIELD)?.parse().ok()
}

/// The fields that must be set, in this order, so that the record names `server` as `uuid`, or not at all where that is
/// none. An entry of another UUID is replaced in its place; all other entries stay in the fields where they are.
pub(crate) fn changes(
    fields: &BTreeMap<usize, String>,
    server: &str,
    uuid: Option<&str>,
) -> BTreeMap<usize, String> {
    let entry = uuid.map(|uuid| format!("{server}:{uuid}"));
    let is_it = |text: &&str| text.split_once(':').is_some_and(|(name, _)| name == server);
    let there: Vec<_> = fields.values().flat_map(|value| value.split_whitespace()).filter(is_it).collect();
    if there == entry.as_deref().into_iter().collect::<Vec<_>>() {
        return BTreeMap::new();
    }
    let mut after: BTreeMap<usize, String> = BTreeMap::new();
    for (index, value) in fields {
        let kept: Vec<_> = value.split_whitespace().filter(|entry| !is_it(entry)).collect();
        after.insert(*index, kept.join(" "));
    }
    if let Some(entry) = entry {
        let fits = |value: &str| value.len() + 1 + entry.len() <= LIMIT;
        let place = (0..=after.len()).find(|index| after.get(index).is_none_or(|value| fits(value)));
        let value = after.entry(place.unwrap_or_default()).or_default();
        if !value.is_empty() {
            value.push(' ');
        }
        value.push_str(&entry);
    }
    after.retain(|index, value| fields.get(index).map_or("", String::as_str) != value);
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "6f1d1c2e-5f0b-4b8e-9d0a-7a3c52b190e7";

    #[test]
    fn a_record_of_many_servers_reads_back_within_the_limit() {
        let mut fields = BTreeMap::new();
        for number in 0..40 {
            fields.extend(changes(&fields, &format!("server-{number:02}"), Some(UUID)));
        }
        assert!(fields.values().all(|value| value.len() <= LIMIT) && fields.len() > 5);
        let named: Vec<_> =
            fields.iter().map(|(n, value)| (format!("{BORN_FIELD}{n}"), value.clone())).collect();
        let born = read(named.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        assert_eq!(born.len(), 40);
        assert_eq!(changes(&fields, "server-07", Some(UUID)), BTreeMap::new(), "nothing to change");
    }

    #[test]
    fn an_entry_is_replaced_and_cleared() {
        let fields = BTreeMap::from([(0, format!("a:{UUID} b:{UUID}"))]);
        assert_eq!(changes(&fields, "a", Some("2")), BTreeMap::from([(0, format!("b:{UUID} a:2"))]));
        assert_eq!(changes(&fields, "a", None), BTreeMap::from([(0, format!("b:{UUID}"))]));
        assert_eq!(changes(&fields, "c", None), BTreeMap::new());
    }
}
