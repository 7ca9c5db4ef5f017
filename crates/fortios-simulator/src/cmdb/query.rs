//! `filter`, `sort`, `start`, `count` and `format`: which rows of a table are read, and what of them.

use std::borrow::Cow;
use std::cmp::Ordering::{self, Equal, Greater, Less};
use std::collections::BTreeSet;
use std::sync::Arc;

use super::error::CmdbError;
use crate::render::{self, Selection};
use crate::schema::{Attribute, Kind, TableId, find};
use crate::value::{Fields, Row, Value, default_text};

/// What a client asked of a list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    filter: Vec<Vec<Test>>,
    sort: Option<(String, bool)>,
    start: usize,
    count: Option<usize>,
    selection: Selection,
}

/// The rows that were asked for, as JSON, and what the envelope says of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    /// A JSON list.
    pub results: Vec<u8>,
    /// Rows in the table.
    pub size: usize,
    /// Rows that passed the filter.
    pub matched: usize,
    /// The place of the last row of the page.
    pub next: usize,
    /// Whether more rows matched than the page has.
    pub limited: bool,
}

#[derive(Clone, Debug)]
struct Test {
    attribute: String,
    operator: Operator,
    pattern: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Contains,
    ContainsNot,
    AtMost,
    Below,
    AtLeast,
    Above,
}

/// The longer ones first, or `<=` would be read as `<`.
const OPERATORS: &[(&str, Operator)] = &[
    ("==*", Operator::Contains),
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("=@", Operator::Contains),
    ("!@", Operator::ContainsNot),
    ("=*", Operator::Contains),
    ("!*", Operator::ContainsNot),
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("<", Operator::Below),
    (">", Operator::Above),
];

impl Query {
    /// Reads the parameters of a request for rows of `table`; those that do not concern rows are passed over.
    pub(crate) fn parse<'a>(
        table: TableId,
        parameters: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, CmdbError> {
        let mut query = Self::default();
        for (name, value) in parameters {
            match name {
                "filter" if !value.is_empty() => query.filter.push(alternatives(value)?),
                "format" => query.selection.places = Some(places(table, value)),
                "sort" => {
                    let (attribute, order) = value.split_once(',').unwrap_or((value, "asc"));
                    query.sort = Some((attribute.to_owned(), order.starts_with('d')));
                }
                "start" => query.start = whole(name, value)?,
                "count" => query.count = Some(whole(name, value)?),
                "exclude-default-values" => {
                    query.selection.without_defaults = value == "1" || value == "true";
                }
                _ => {}
            }
        }
        Ok(query)
    }

    /// What of each row is wanted.
    pub(crate) fn selection(&self) -> &Selection {
        &self.selection
    }

    /// The page of `rows`, of which there are `size` in all.
    pub(crate) fn page<'a>(
        &self,
        table: TableId,
        rows: impl Iterator<Item = &'a Arc<Row>>,
        size: usize,
    ) -> Page {
        let attributes = table.table().attributes;
        let mut page = Page { results: vec![b'['], size, ..Page::default() };
        let passing = rows.filter(|row| self.passes(attributes, &row.fields));
        if self.filter.is_empty() && self.sort.is_none() {
            self.write(table, &mut page, passing.skip(self.start));
            page.matched = size;
        } else {
            let mut passing: Vec<&Arc<Row>> = passing.collect();
            if let Some((attribute, descending)) = &self.sort {
                passing.sort_by_cached_key(|row| sort_key(attributes, &row.fields, attribute));
                if *descending {
                    passing.reverse();
                }
            }
            page.matched = passing.len();
            self.write(table, &mut page, passing.into_iter().skip(self.start));
        }
        page.results.push(b']');
        page
    }

    fn write<'a>(&self, table: TableId, page: &mut Page, rows: impl Iterator<Item = &'a Arc<Row>>) {
        let wanted = self.count.unwrap_or(usize::MAX);
        for (written, row) in rows.enumerate() {
            if written == wanted {
                page.limited = true;
                break;
            }
            if written > 0 {
                page.results.push(b',');
            }
            render::row(&mut page.results, table, row, &self.selection);
            page.next = self.start + written;
        }
    }

    fn passes(&self, attributes: &'static [Attribute], fields: &Fields) -> bool {
        self.filter.iter().all(|alternatives| alternatives.iter().any(|test| test.passes(attributes, fields)))
    }
}

impl Test {
    fn passes(&self, attributes: &'static [Attribute], fields: &Fields) -> bool {
        let way: Vec<&str> = self.attribute.split('.').collect();
        let values = values(attributes, fields, &way);
        let any = |test: &dyn Fn(&str) -> bool| values.iter().any(|value| test(value));
        let pattern = self.pattern.to_lowercase();
        let compare = |value: &str, wanted: &[Ordering]| match (value.parse(), self.pattern.parse()) {
            (Ok(number), Ok(limit)) => wanted.contains(&i64::cmp(&number, &limit)),
            _ => wanted.contains(&value.to_lowercase().cmp(&pattern)),
        };
        match self.operator {
            Operator::Equal => any(&|value| value.to_lowercase() == pattern),
            Operator::NotEqual => !any(&|value| value.to_lowercase() == pattern),
            Operator::Contains => any(&|value| value.to_lowercase().contains(&pattern)),
            Operator::ContainsNot => !any(&|value| value.to_lowercase().contains(&pattern)),
            Operator::AtMost => any(&|value| compare(value, &[Less, Equal])),
            Operator::Below => any(&|value| compare(value, &[Less])),
            Operator::AtLeast => any(&|value| compare(value, &[Greater, Equal])),
            Operator::Above => any(&|value| compare(value, &[Greater])),
        }
    }
}

/// Everything that stands at the end of a way such as `srcintf.name`; of a list without a way, its keys.
fn values<'a>(attributes: &'static [Attribute], fields: &'a Fields, way: &[&str]) -> Vec<Cow<'a, str>> {
    let Some((first, rest)) = way.split_first() else { return Vec::new() };
    let Some((place, attribute)) = find(attributes, first) else { return Vec::new() };
    match (fields.get(place), attribute.kind) {
        (Some(Value::Text(text)), _) => vec![Cow::Borrowed(text)],
        (Some(Value::Number(number)), _) => vec![Cow::Owned(number.to_string())],
        (Some(Value::Rows(rows)), Kind::Rows(inner)) => {
            let key = inner.first().map_or("", |key| key.name);
            let way = if rest.is_empty() { &[key][..] } else { rest };
            rows.iter().flat_map(|row| values(inner, row, way)).collect()
        }
        (Some(Value::Record(record)), Kind::Record(inner)) => values(inner, record, rest),
        (None, Kind::Number { default, .. }) => vec![Cow::Owned(default.to_string())],
        (None, Kind::Record(_) | Kind::Rows(_)) => Vec::new(),
        (None, _) => vec![Cow::Borrowed(default_text(attribute))],
        _ => Vec::new(),
    }
}

/// The places of `policyid|name`.
fn places(table: TableId, format: &str) -> BTreeSet<u16> {
    let known = format.split('|').filter_map(|name| table.table().attribute(name));
    known.map(|(place, _)| place).collect()
}

/// Numbers by size, before texts.
fn sort_key(attributes: &'static [Attribute], fields: &Fields, attribute: &str) -> (i64, String) {
    let value = values(attributes, fields, &[attribute]).into_iter().next().unwrap_or_default();
    value.parse().map_or_else(|_| (i64::MAX, value.to_lowercase()), |number| (number, String::new()))
}

/// `a==1,b==2`; a comma or a backslash of the pattern itself has a backslash before it.
fn alternatives(text: &str) -> Result<Vec<Test>, CmdbError> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for character in text.chars() {
        match (character, escaped, parts.last_mut()) {
            ('\\', false, _) => escaped = true,
            (',', false, _) => parts.push(String::new()),
            (_, _, Some(last)) => {
                last.push(character);
                escaped = false;
            }
            _ => {}
        }
    }
    let mut tests: Vec<Test> = Vec::new();
    for part in parts {
        let read = match (read_test(&part), tests.last()) {
            (Some(read), _) => read,
            // `name==a,b` asks for either.
            (None, Some(before)) => Test { pattern: part, ..before.clone() },
            (None, None) => return Err(CmdbError::BadRequest(format!("filter {part} has no operator"))),
        };
        tests.push(read);
    }
    Ok(tests)
}

fn read_test(text: &str) -> Option<Test> {
    let at = text.find(['=', '!', '<', '>'])?;
    let (attribute, rest) = text.split_at(at);
    let (sign, operator) = OPERATORS.iter().find(|(sign, _)| rest.starts_with(sign))?;
    Some(Test {
        attribute: attribute.trim().to_owned(),
        operator: *operator,
        pattern: rest[sign.len()..].to_owned(),
    })
}

fn whole(name: &str, value: &str) -> Result<usize, CmdbError> {
    value.parse().map_err(|_| CmdbError::BadRequest(format!("{name} is not a whole number")))
}
