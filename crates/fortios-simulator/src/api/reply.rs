//! Answers: FortiOS' envelope around results, and the few that have none.

use serde_json::{Value as Json, json};

use crate::cmdb::CmdbError;
use crate::identity::Identity;
use crate::render;

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// The status.
    pub status: u16,
    /// `application/json`, mostly.
    pub content_type: &'static str,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// What the journal says of it.
    pub outcome: String,
}

impl Reply {
    /// JSON that needs no envelope.
    pub(crate) fn json(status: u16, body: &Json) -> Self {
        Self::raw(status, "application/json", body.to_string().into_bytes())
    }

    /// A page of HTML, as the web server in front of the API sends it.
    pub(crate) fn html(status: u16, title: &str) -> Self {
        let body = format!(
            "<!DOCTYPE html>\n<html><head><title>{status} {title}</title></head><body><h1>{title}</h1></body></html>\n"
        );
        Self::raw(status, "text/html", body.into_bytes())
    }

    /// Any body.
    pub(crate) fn raw(status: u16, content_type: &'static str, body: Vec<u8>) -> Self {
        let outcome = if status < 400 { "ok".to_owned() } else { format!("http-{status}") };
        Self { status, content_type, headers: Vec::new(), body, outcome }
    }

    /// With a header more.
    pub(crate) fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// What stands around results.
#[derive(Clone, Debug, Default)]
pub(crate) struct Envelope<'a> {
    /// The method of the request.
    pub method: &'a str,
    /// The table's revision; none in what the monitor tells.
    pub revision: Option<String>,
    /// Of a write: whether it changed something, and the revision before.
    pub change: Option<(bool, String)>,
    /// Of a list: size, matched, next, limited.
    pub page: Option<(usize, usize, usize, bool)>,
    /// JSON.
    pub results: Option<Vec<u8>>,
    /// The VDOM.
    pub vdom: &'a str,
    /// `firewall`
    pub path: &'a str,
    /// `policy`
    pub name: &'a str,
    /// `move`, `select` …
    pub action: Option<&'a str>,
    /// The row; a number in tables with numbers as keys.
    pub mkey: Option<Json>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// Whether it is the monitor's, which says no status of HTTP when all is well.
    pub monitor: bool,
}

/// A failure as the envelope tells it.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The status.
    pub status: u16,
    /// FortiOS' code, if it has one.
    pub code: Option<i32>,
    /// The words of the command line.
    pub cli_error: Option<String>,
}

impl From<&CmdbError> for Failure {
    fn from(error: &CmdbError) -> Self {
        let (status, code) = error.codes();
        Self { status, code: (code != 0).then_some(code), cli_error: error.cli_error() }
    }
}

impl Envelope<'_> {
    /// The envelope's status.
    pub(crate) fn status(&self) -> u16 {
        self.error.as_ref().map_or(200, |failure| failure.status)
    }

    /// What the journal says.
    pub(crate) fn outcome(&self) -> String {
        match &self.error {
            None => "ok".to_owned(),
            Some(Failure { code: Some(code), .. }) => code.to_string(),
            Some(Failure { status, .. }) => format!("http-{status}"),
        }
    }

    /// Appends it as JSON.
    pub(crate) fn write(&self, out: &mut Vec<u8>, identity: &Identity) {
        out.push(b'{');
        text(out, "http_method", self.method);
        if let Some(revision) = &self.revision {
            text(out, "revision", revision);
        }
        if let Some((changed, old)) = &self.change {
            json_member(out, "revision_changed", &json!(changed));
            if !old.is_empty() {
                text(out, "old_revision", old);
            }
        }
        if let Some((size, matched, next, limited)) = self.page {
            json_member(out, "size", &json!(size));
            json_member(out, "matched_count", &json!(matched));
            json_member(out, "next_idx", &json!(next));
            if limited {
                json_member(out, "limit_reached", &json!(true));
            }
        }
        if let Some(results) = &self.results {
            render::name(out, "results");
            out.extend_from_slice(results);
            out.push(b',');
        }
        if let Some(failure) = &self.error {
            if let Some(words) = &failure.cli_error {
                text(out, "cli_error", words);
            }
            if let Some(code) = failure.code {
                json_member(out, "error", &json!(code));
            }
        }
        text(out, "vdom", self.vdom);
        text(out, "path", self.path);
        text(out, "name", self.name);
        if let Some(action) = self.action {
            text(out, "action", action);
        }
        if let Some(mkey) = &self.mkey {
            json_member(out, "mkey", mkey);
        }
        text(out, "status", if self.error.is_none() { "success" } else { "error" });
        if !self.monitor || self.error.is_some() {
            json_member(out, "http_status", &json!(self.status()));
        }
        text(out, "serial", &identity.serial);
        text(out, "version", &format!("v{}", identity.firmware));
        render::name(out, "build");
        out.extend_from_slice(identity.firmware.build().to_string().as_bytes());
        out.push(b'}');
    }
}

/// One envelope as it is, or several as a list.
pub(crate) fn reply(envelopes: &[Envelope<'_>], as_list: bool, identity: &Identity) -> Reply {
    let mut body = Vec::new();
    if as_list {
        body.push(b'[');
    }
    for (count, envelope) in envelopes.iter().enumerate() {
        if count > 0 {
            body.push(b',');
        }
        envelope.write(&mut body, identity);
    }
    if as_list {
        body.push(b']');
    }
    let failed = envelopes.iter().find(|envelope| envelope.error.is_some());
    let status = failed.map_or(200, Envelope::status);
    let mut reply = Reply::raw(status, "application/json", body);
    reply.outcome = failed.map_or_else(|| "ok".to_owned(), Envelope::outcome);
    reply
}

fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    render::name(out, name);
    render::string(out, value);
    out.push(b',');
}

fn json_member(out: &mut Vec<u8>, name: &str, value: &Json) {
    render::name(out, name);
    out.extend_from_slice(value.to_string().as_bytes());
    out.push(b',');
}
