//! What answers of FortiOS come in. A page is large: its text is kept, and read for its rows by whoever wants them.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::Keep;
use super::error::{Asked, Error, refusal};

/// An answer whose results have not been read.
pub(super) struct Envelope {
    pub(super) text: String,
    pub(super) head: Answer<IgnoredAny>,
}

/// An answer with its results in the form in which somebody wants them.
#[derive(Deserialize)]
#[serde(bound(deserialize = "R: Deserialize<'de>"))]
pub(super) struct Answer<R> {
    #[serde(default = "none")]
    results: Option<R>,
    #[serde(default)]
    pub(super) mkey: Json,
    #[serde(default, deserialize_with = "text")]
    pub(super) revision: String,
    #[serde(default, deserialize_with = "text")]
    pub(super) serial: String,
    #[serde(default, deserialize_with = "text")]
    pub(super) version: String,
    #[serde(default, deserialize_with = "text")]
    pub(super) vdom: String,
    /// How many rows the list has of which this is a page, where the device tells it.
    #[serde(rename = "matched_count", default, deserialize_with = "number")]
    pub(super) total: Option<u64>,
    /// Whether there are more rows than the device gives at once.
    #[serde(rename = "limit_reached", default, deserialize_with = "flag")]
    pub(super) is_limited: bool,
    #[serde(default, deserialize_with = "text")]
    status: String,
}

fn none<R>() -> Option<R> {
    None
}

/// A text. What is none says nothing.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Json::deserialize(deserializer).map(|it| it.as_str().unwrap_or_default().to_owned())
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Json::deserialize(deserializer).map(|it| it.as_u64())
}

fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Json::deserialize(deserializer).map(|it| it == true)
}

impl Envelope {
    /// The one answer to a request.
    pub(super) fn new(asked: Asked, text: String) -> Result<Self, Error> {
        Ok(Self { head: first(heads(asked, &text)?)?, text })
    }

    /// What was asked for; `null` where the answer has none.
    pub(super) fn results(&self) -> Result<Json, Error> {
        first(answers::<Json>(Asked::Row, &self.text)?).map(|answer| answer.results.unwrap_or_default())
    }
}

/// The answers to one request, one or one of each virtual firewall, without what they bring.
pub(super) fn heads(asked: Asked, text: &str) -> Result<Vec<Answer<IgnoredAny>>, Error> {
    answers(asked, text)
}

/// The same with their rows as they came, which are read later.
pub(super) fn unread(text: &str) -> Result<Vec<Answer<&RawValue>>, Error> {
    answers(Asked::Row, text)
}

/// A page of a table.
pub(super) struct Page<T> {
    pub(super) rows: Vec<T>,
    pub(super) revision: String,
    pub(super) serial: String,
    /// Whether there are more rows than the device gives at once.
    pub(super) is_limited: bool,
}

impl Answer<&RawValue> {
    /// The page with its rows, each taken as it is read, so that it is never there twice.
    pub(super) fn page<K: Keep>(self, vdom: &str, keep: &K) -> Result<Page<K::Kept>, Error> {
        let rows = self.results.ok_or_else(|| Error::Protocol("an answer without rows".to_owned()))?;
        let each = Each { vdom, keep };
        let rows = serde_json::Deserializer::from_str(rows.get()).deserialize_seq(each);
        let rows = rows.map_err(|_| broken())?;
        let Self { revision, serial, is_limited, .. } = self;
        Ok(Page { rows, revision, serial, is_limited })
    }
}

/// Takes rows one by one.
struct Each<'a, K> {
    vdom: &'a str,
    keep: &'a K,
}

impl<'de, K: Keep> Visitor<'de> for Each<'_, K> {
    type Value = Vec<K::Kept>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Self::Value, A::Error> {
        let mut taken = Vec::new();
        while let Some(row) = rows.next_element_seed(One(&self))? {
            taken.push(row);
        }
        Ok(taken)
    }
}

struct One<'a, 'b, K>(&'a Each<'b, K>);

impl<'de, K: Keep> DeserializeSeed<'de> for One<'_, '_, K> {
    type Value = K::Kept;

    fn deserialize<D: Deserializer<'de>>(self, row: D) -> Result<K::Kept, D::Error> {
        self.0.keep.keep(self.0.vdom, row)
    }
}

/// The only one, or the first.
pub(super) fn first<T>(answers: Vec<T>) -> Result<T, Error> {
    let missing = || Error::Protocol("an answer without an envelope".to_owned());
    answers.into_iter().next().ok_or_else(missing)
}

fn answers<'a, R: Deserialize<'a>>(asked: Asked, text: &'a str) -> Result<Vec<Answer<R>>, Error> {
    let answers: Vec<Answer<R>> = each(text)?;
    if answers.iter().any(|answer| answer.status == "error") {
        let bodies: Vec<Json> = each(text)?;
        let body = first(bodies.into_iter().filter(|body| body["status"] == "error").collect())?;
        let status = body["http_status"].as_u64().and_then(|status| u16::try_from(status).ok());
        return Err(refusal(asked, status.unwrap_or(500), Some(&body)));
    }
    Ok(answers)
}

/// What is asked of several virtual firewalls comes as a list.
fn each<'a, T: Deserialize<'a>>(text: &'a str) -> Result<Vec<T>, Error> {
    let several = text.trim_start().starts_with('[');
    let each =
        if several { serde_json::from_str(text) } else { serde_json::from_str(text).map(|it| vec![it]) };
    each.map_err(|_| broken())
}

fn broken() -> Error {
    Error::Protocol("an answer that is no JSON, or of another form".to_owned())
}
