//! A request, read once: the path is split before it is decoded, since a key may hold a slash.

use std::net::IpAddr;

use hyper::HeaderMap;
use serde_json::{Map, Value as Json};

use crate::cmdb::CmdbError;

/// A request.
#[derive(Debug)]
pub(crate) struct Request {
    /// `GET`, `POST`, `PUT`, `DELETE`.
    pub method: String,
    /// The path as it came, without a slash at either end.
    pub path: String,
    /// The path's parts, decoded; empty ones are left out.
    pub parts: Vec<String>,
    /// The parameters in their order, decoded.
    pub query: Vec<(String, String)>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Vec<u8>,
    /// Who sent it.
    pub peer: IpAddr,
}

impl Request {
    /// Reads path and parameters.
    pub(crate) fn new(
        method: &str,
        uri: &hyper::Uri,
        headers: HeaderMap,
        body: Vec<u8>,
        peer: IpAddr,
    ) -> Self {
        let path = uri.path().trim_matches('/').to_owned();
        let parts = path.split('/').filter(|part| !part.is_empty()).map(|part| decode(part, false)).collect();
        let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let query = pairs
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(name, true), decode(value, true))
            })
            .collect();
        Self { method: method.to_owned(), path, parts, query, headers, body, peer }
    }

    /// The first parameter of that name.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_str())
    }

    /// All parameters.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.query.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as an object, whatever its content type says. Nothing and `null` are an empty object, and
    /// `{"json": {…}}` is what is in it.
    pub(crate) fn object(&self) -> Result<Map<String, Json>, CmdbError> {
        match self.json()? {
            Json::Object(mut object) => match object.get_mut("json").map(Json::take) {
                Some(Json::Object(inner)) => Ok(inner),
                _ => Ok(object),
            },
            Json::Null => Ok(Map::new()),
            Json::String(text) if text.is_empty() => Ok(Map::new()),
            _ => Err(CmdbError::BadRequest("the body is no JSON object".into())),
        }
    }

    /// The body as JSON; nothing is `null`.
    pub(crate) fn json(&self) -> Result<Json, CmdbError> {
        let body = self.body.trim_ascii();
        if body.is_empty() {
            return Ok(Json::Null);
        }
        serde_json::from_slice(body)
            .map_err(|error| CmdbError::BadRequest(format!("the body is no JSON: {error}")))
    }

    /// The fields of a form in the body.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        let text = String::from_utf8_lossy(&self.body);
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (decode(name, true), decode(value, true))).collect()
    }

    /// Whether it may change something.
    pub(crate) fn is_write(&self) -> bool {
        self.method != "GET"
            && self.method != "HEAD"
            && self.parts.first().is_some_and(|part| part == "api")
            && self.parts.get(2).is_some_and(|part| part != "authentication")
    }
}

/// Percent-decodes; in parameters and forms a plus is a blank.
fn decode(text: &str, plus: bool) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(value) = escaped {
            decoded.push(value);
            at += 3;
        } else {
            decoded.push(if plus && byte == b'+' { b' ' } else { byte });
            at += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::Request;

    fn request(uri: &str, body: &str) -> Request {
        let headers = hyper::HeaderMap::new();
        let peer = std::net::Ipv4Addr::LOCALHOST.into();
        Request::new("GET", &uri.parse().unwrap(), headers, body.as_bytes().to_vec(), peer)
    }

    #[test]
    fn a_key_may_hold_a_slash_and_a_path_may_end_in_one() {
        let rows: [(&str, &[&str]); 3] = [
            ("/a/10.0.0.0%2F24", &["a", "10.0.0.0/24"]),
            ("/a/b%20c/", &["a", "b c"]),
            ("/a/b+c?x=d+e", &["a", "b+c"]),
        ];
        for (uri, parts) in rows {
            assert_eq!(request(uri, "").parts, parts, "{uri}");
        }
        assert_eq!(request("/a?x=d+e", "").parameter("x"), Some("d e"));
    }

    #[test]
    fn bodies_come_in_many_forms() {
        for (body, expected) in [
            ("", Some(0)),
            ("null", Some(0)),
            ("\"\"", Some(0)),
            ("{\"a\":1,\"b\":2}", Some(2)),
            ("{\"json\":{\"a\":1}}", Some(1)),
            ("[1]", None),
            ("{", None),
        ] {
            assert_eq!(request("/", body).object().ok().map(|object| object.len()), expected, "{body}");
        }
    }
}
