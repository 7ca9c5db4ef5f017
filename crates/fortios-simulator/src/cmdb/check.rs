//! From JSON to values: types, ranges, lengths and forms. Whether names exist is not asked here.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::error::CmdbError;
use crate::render::MASK;
use crate::schema::{Attribute, Kind, find};
use crate::value::{Fields, Value, default_text};

/// Signs that FortiOS refuses in names and comments.
const MARKUP: [char; 7] = ['<', '>', '#', '(', ')', '"', '\''];
/// Where it takes them: what policies say of themselves, and the FortiManager, which is written in quotes.
const ANY_SIGN: &[&str] = &["comments", "fmg"];

/// Lays the attributes of `body` over `fields`; a value that is the default is kept as none at all. Attributes
/// that the schema does not know are passed over, as FortiOS does.
pub(crate) fn lay_over(
    fields: &mut Fields,
    attributes: &'static [Attribute],
    body: &Map<String, Json>,
) -> Result<Vec<u16>, CmdbError> {
    let mut touched = Vec::new();
    for (name, json) in body {
        let Some((place, attribute)) = find(attributes, name) else { continue };
        if json.is_null() || (matches!(attribute.kind, Kind::Secret { .. }) && json == MASK) {
            continue;
        }
        touched.push(place);
        match parse(attribute, json, fields.get(place))? {
            Some(value) => fields.set(place, value),
            None => fields.unset(place),
        }
    }
    touched.sort_unstable();
    Ok(touched)
}

/// The value, or `None` where it is the default.
fn parse(
    attribute: &'static Attribute,
    json: &Json,
    before: Option<&Value>,
) -> Result<Option<Value>, CmdbError> {
    match attribute.kind {
        Kind::Number { min, max, default } => {
            let number = number(attribute, json)?;
            if number == default {
                return Ok(None);
            }
            if (min..=max).contains(&number) {
                Ok(Some(Value::Number(number)))
            } else {
                Err(bad(attribute, json))
            }
        }
        Kind::Rows(attributes) => {
            let rows = rows(attribute, attributes, json)?;
            Ok((!rows.is_empty()).then_some(Value::Rows(rows)))
        }
        Kind::Record(attributes) => {
            let body = json.as_object().ok_or_else(|| bad(attribute, json))?;
            let mut fields = match before {
                Some(Value::Record(fields)) => fields.clone(),
                _ => Fields::default(),
            };
            lay_over(&mut fields, attributes, body)?;
            let is_set = fields.iter().next().is_some();
            Ok(is_set.then_some(Value::Record(fields)))
        }
        _ => {
            let text = normal_text(attribute, json)?;
            Ok((text != default_text(attribute)).then(|| Value::Text(Arc::from(text))))
        }
    }
}

fn normal_text(attribute: &'static Attribute, json: &Json) -> Result<String, CmdbError> {
    let given = text(attribute, json)?;
    match attribute.kind {
        Kind::Text { max, .. } | Kind::Secret { max } => within(attribute, given, max),
        Kind::Reference { .. } => within(attribute, given, 79),
        Kind::Choice { options, default } => {
            let known = given == default || options.contains(&given.as_str());
            if known { Ok(given) } else { Err(bad(attribute, json)) }
        }
        Kind::Options { options, .. } => {
            let words: Vec<&str> = given.split_whitespace().collect();
            if words.iter().any(|word| !options.contains(word)) {
                return Err(bad(attribute, json));
            }
            let kept: Vec<&str> = options.iter().copied().filter(|option| words.contains(option)).collect();
            Ok(kept.join(" "))
        }
        Kind::Formatted { default, .. } if given == default || given.is_empty() => Ok(default.to_owned()),
        Kind::Formatted { format, .. } => format.normalise(&given).ok_or_else(|| bad(attribute, json)),
        Kind::Uuid => match uuid::Uuid::parse_str(&given) {
            Ok(id) => Ok(id.hyphenated().to_string()),
            Err(_) => Err(bad(attribute, json)),
        },
        Kind::Number { .. } | Kind::Rows(_) | Kind::Record(_) => Err(bad(attribute, json)),
    }
}

fn within(attribute: &'static Attribute, text: String, max: usize) -> Result<String, CmdbError> {
    // Whether a real one counts characters or bytes is not said: what it takes by the stricter count it takes by both.
    if text.len() > max {
        return Err(CmdbError::TooLong { attribute: attribute.name, max });
    }
    let secret = matches!(attribute.kind, Kind::Secret { .. });
    if text.contains(MARKUP) && !secret && !ANY_SIGN.contains(&attribute.name) {
        return Err(CmdbError::Markup);
    }
    Ok(text)
}

/// Numbers come as numbers, and from some clients as texts.
fn number(attribute: &'static Attribute, json: &Json) -> Result<i64, CmdbError> {
    match json {
        Json::Number(number) => number.as_i64(),
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| bad(attribute, json))
}

/// Texts come as texts, from some clients as numbers, and several words as a list.
fn text(attribute: &'static Attribute, json: &Json) -> Result<String, CmdbError> {
    match json {
        Json::String(text) => Ok(text.clone()),
        Json::Number(number) => Ok(number.to_string()),
        Json::Array(words) if words.iter().all(Json::is_string) => {
            let words: Vec<&str> = words.iter().filter_map(Json::as_str).collect();
            Ok(words.join(" "))
        }
        _ => Err(bad(attribute, json)),
    }
}

fn rows(
    attribute: &'static Attribute,
    attributes: &'static [Attribute],
    json: &Json,
) -> Result<Vec<Fields>, CmdbError> {
    let key = attributes.first().ok_or_else(|| bad(attribute, json))?;
    let given: Vec<&Json> = match json {
        Json::Array(rows) => rows.iter().collect(),
        Json::String(text) if text.is_empty() => Vec::new(),
        one => vec![one],
    };
    let mut rows: Vec<Fields> = Vec::with_capacity(given.len());
    for json in given {
        let mut fields = child(key, attributes, json)?;
        if let (Kind::Number { .. }, None) = (key.kind, fields.get(0)) {
            fields.set(0, Value::Number(next_number(&rows)));
        }
        // A member that is named twice is there once.
        if !rows.iter().any(|row| row.get(0) == fields.get(0)) {
            rows.push(fields);
        }
    }
    Ok(rows)
}

/// One row of a child table; a bare text is its key.
pub(crate) fn child(
    key: &'static Attribute,
    attributes: &'static [Attribute],
    json: &Json,
) -> Result<Fields, CmdbError> {
    let mut fields = Fields::default();
    match json {
        Json::Object(body) => drop(lay_over(&mut fields, attributes, body)?),
        bare => {
            if let Some(value) = parse(key, bare, None)? {
                fields.set(0, value);
            }
        }
    }
    let has_key = fields.get(0).is_some() || matches!(key.kind, Kind::Number { .. });
    if has_key { Ok(fields) } else { Err(CmdbError::Required { attribute: key.name }) }
}

fn next_number(rows: &[Fields]) -> i64 {
    let numbers = rows.iter().filter_map(|row| match row.get(0) {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    });
    numbers.max().unwrap_or(0) + 1
}

fn bad(attribute: &'static Attribute, json: &Json) -> CmdbError {
    let value = json.as_str().map_or_else(|| json.to_string(), str::to_owned);
    let secret = matches!(attribute.kind, Kind::Secret { .. });
    CmdbError::BadValue { attribute: attribute.name, value: if secret { String::new() } else { value } }
}
