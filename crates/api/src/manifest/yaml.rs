//! YAML as a tree that knows the line of everything in it, read within budgets: a manifest is small, and what is not
//! small is an accident or an attack (a file of aliases upon aliases).

use std::fmt;
use std::ops::Range;

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};
use serde_saphyr::{Options, Spanned};

/// The most bytes that a file may have.
pub const MAX_FILE: usize = 4 << 20;

/// A part of a document.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its line in the file, counted from 1.
    pub(crate) line: u64,
    /// Its bytes in the file; none where it is a copy of what an anchor names.
    pub(crate) bytes: Option<Range<usize>>,
    /// What it is.
    pub(crate) content: Content,
}

/// What a part of a document is.
#[derive(Debug)]
pub(crate) enum Content {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(Number),
    /// A number with a fraction, or none that JSON knows.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Fields in the order of the file, each with the line of its key.
    Map(Vec<(String, u64, Node)>),
}

/// Why a document cannot be read.
#[derive(Debug)]
pub(crate) struct Unreadable {
    /// The line in the file, counted from 1.
    pub(crate) line: u64,
    /// What the parser says.
    pub(crate) message: String,
}

impl Node {
    /// The field of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        let Content::Map(fields) = &self.content else { return None };
        fields.iter().find(|(key, ..)| key == name).map(|(.., node)| node)
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value as JSON knows it.
    pub(crate) fn json(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Integer(number) => Value::Number(number.clone()),
            Content::Float(number) => Number::from_f64(*number).map_or(Value::Null, Value::Number),
            Content::Text(text) => Value::String(text.clone()),
            Content::List(items) => items.iter().map(Self::json).collect(),
            Content::Map(fields) => fields.iter().map(|(key, _, node)| (key.clone(), node.json())).collect(),
        }
    }

    fn moved(mut self, lines: u64, bytes: usize) -> Self {
        self.line += lines;
        self.bytes = self.bytes.map(|range| range.start + bytes..range.end + bytes);
        match &mut self.content {
            Content::List(items) => {
                *items = std::mem::take(items).into_iter().map(|item| item.moved(lines, bytes)).collect();
            }
            Content::Map(fields) => {
                *fields = std::mem::take(fields)
                    .into_iter()
                    .map(|(key, line, node)| (key, line + lines, node.moved(lines, bytes)))
                    .collect();
            }
            _ => {}
        }
        self
    }
}

/// Every document of a file. One that cannot be read does not hide the others.
pub(crate) fn documents(text: &str) -> Vec<Result<Node, Unreadable>> {
    if text.len() > MAX_FILE {
        let message = format!("has more than {} MiB: a manifest is smaller", MAX_FILE >> 20);
        return vec![Err(Unreadable { line: 1, message })];
    }
    split(text).into_iter().flat_map(|part| parse(&part)).collect()
}

/// The text of a document, with what stands before it in the file.
struct Part<'a> {
    lines: u64,
    bytes: usize,
    text: &'a str,
}

/// The documents' texts. A line that begins with `---` always separates
/// documents (<https://yaml.org/spec/1.2.2/#22-structures>), whatever it stands in.
fn split(text: &str) -> Vec<Part<'_>> {
    let (mut parts, mut start, mut start_line, mut at, mut line) = (Vec::new(), 0, 0, 0, 0);
    let mut content = false;
    let part = |lines, start, end| Part { lines, bytes: start, text: &text[start..end] };
    for each in text.split_inclusive('\n') {
        let plain = each.trim();
        let marker = each.starts_with("---") && each[3..].chars().next().is_none_or(char::is_whitespace);
        if marker && content {
            parts.push(part(start_line, start, at));
            (start, start_line, content) = (at, line, false);
        }
        content |= !(plain.is_empty() || plain.starts_with(['#', '%']) || plain == "---");
        at += each.len();
        line += 1;
    }
    if content {
        parts.push(part(start_line, start, text.len()));
    }
    parts
}

fn parse(part: &Part<'_>) -> Vec<Result<Node, Unreadable>> {
    match serde_saphyr::from_multiple_with_options::<Node>(part.text, options()) {
        Ok(nodes) => nodes.into_iter().map(|node| Ok(node.moved(part.lines, part.bytes))).collect(),
        Err(error) => {
            let line = error.location().map_or(1, |location| location.line().max(1));
            let message = one_line(&error.without_snippet().to_string());
            vec![Err(Unreadable {
                line: part.lines + line,
                message: format!("cannot be read as YAML: {message}"),
            })]
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 48,
            max_nodes: 100_000,
            max_events: 400_000,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_documents: 256,
            max_total_scalar_bytes: MAX_FILE,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000 },
        with_snippet: false,
        strict_booleans: true,
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Content>::deserialize(deserializer)?;
        let (here, there) = (spanned.referenced, spanned.defined);
        let bytes = here.span().byte_offset().zip(here.span().byte_len()).filter(|_| here == there);
        let bytes = bytes.and_then(|(start, length)| {
            let start = usize::try_from(start).ok()?;
            Some(start..start.checked_add(usize::try_from(length).ok()?)?)
        });
        Ok(Self { line: here.line(), bytes, content: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON knows")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        Content::deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Content, E> {
        Ok(Content::Integer(number.into()))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Content, E> {
        Ok(Content::Integer(number.into()))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Content, E> {
        Ok(Content::Float(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Content, E> {
        Ok(Content::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Content::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Content, A::Error> {
        let mut fields = Vec::new();
        while let Some((key, node)) = entries.next_entry::<Spanned<String>, Node>()? {
            fields.push((key.value, key.referenced.line(), node));
        }
        Ok(Content::Map(fields))
    }
}
