//! What answers of FortiOS come in. A page is large: its text is kept, and read for its rows by whoever wants them.

use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::Row;
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
    /// What was asked for; `null` where the answer has none.
    pub(super) fn results(&self) -> Result<Json, Error> {
        answer::<Json>(Asked::Row, &self.text).map(|answer| answer.results.unwrap_or_default())
    }
}

/// The answers to one request: one, or one of each virtual firewall.
pub(super) fn envelopes(asked: Asked, text: String) -> Result<Vec<Envelope>, Error> {
    let envelope = |text: String| Ok(Envelope { head: answer(asked, &text)?, text });
    if !is_several(&text) {
        return envelope(text).map(|it| vec![it]);
    }
    parts(&text)?.into_iter().map(|part| envelope(part.get().to_owned())).collect()
}

/// A page of a table.
pub(super) struct Page<T> {
    pub(super) rows: Vec<T>,
    pub(super) revision: String,
    pub(super) serial: String,
    /// How many rows there are on all pages, where the device tells it.
    pub(super) total: Option<u64>,
    /// Whether there are more rows than the device gives at once.
    pub(super) is_limited: bool,
}

/// The one answer to a request for one page of one virtual firewall, which may come as one of several; with its rows, each
/// taken as it is read, so that a page is never there twice.
pub(super) fn page<T>(text: &str, take: impl FnMut(Row) -> T) -> Result<Page<T>, Error> {
    let several = if is_several(text) { parts(text)? } else { Vec::new() };
    let text = several.first().map_or(text, |part| part.get());
    let answer: Answer<&RawValue> = answer(Asked::Row, text)?;
    let rows = answer.results.ok_or_else(|| Error::Protocol("an answer without rows".to_owned()))?;
    let rows = serde_json::Deserializer::from_str(rows.get()).deserialize_seq(Each(take));
    let rows = rows.map_err(|_| broken())?;
    let Answer { revision, serial, total, is_limited, .. } = answer;
    Ok(Page { rows, revision, serial, total, is_limited })
}

/// Takes rows one by one.
struct Each<F>(F);

impl<'de, T, F: FnMut(Row) -> T> Visitor<'de> for Each<F> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut rows: A) -> Result<Vec<T>, A::Error> {
        let mut taken = Vec::new();
        while let Some(row) = rows.next_element()? {
            taken.push((self.0)(row));
        }
        Ok(taken)
    }
}

fn is_several(text: &str) -> bool {
    text.trim_start().starts_with('[')
}

fn parts(text: &str) -> Result<Vec<&RawValue>, Error> {
    serde_json::from_str(text).map_err(|_| broken())
}

fn answer<'a, R: Deserialize<'a>>(asked: Asked, text: &'a str) -> Result<Answer<R>, Error> {
    let answer: Answer<R> = serde_json::from_str(text).map_err(|_| broken())?;
    if answer.status == "error" {
        let body: Json = serde_json::from_str(text).map_err(|_| broken())?;
        let status = body["http_status"].as_u64().and_then(|status| u16::try_from(status).ok());
        return Err(refusal(asked, status.unwrap_or(500), Some(&body)));
    }
    Ok(answer)
}

fn broken() -> Error {
    Error::Protocol("an answer that is no JSON, or of another form".to_owned())
}
