//! What the monitor tells: status, licence, counters, exports. Its envelopes have no revision.

mod backup;
mod policy;
mod status;
mod usage;
mod vdom_resource;

use serde_json::Value as Json;

pub(crate) use backup::Revisions;
pub(crate) use status::global_text;

use crate::access::Principal;
use crate::api::{Envelope, Failure, Reply, Request, VdomScope, reply};
use crate::cmdb::CmdbError;
use crate::device::Device;
use crate::store::Vdom;
use crate::sync::{lock, read};

/// One question to the monitor, for one VDOM.
pub(crate) struct Question<'a> {
    pub(crate) device: &'a Device,
    pub(crate) request: &'a Request,
    pub(crate) principal: &'a Principal,
    pub(crate) vdom: &'a Vdom,
}

/// Answers `/api/v2/monitor/<path>/<name>[/<action>]`.
pub(crate) fn serve(device: &Device, request: &Request, principal: &Principal, rest: &[&str]) -> Reply {
    let (path, name, action) = match *rest {
        [path, name] => (path, name, ""),
        [path, name, action] => (path, name, action),
        _ => return Reply::html(404, "Not Found"),
    };
    let scope = VdomScope::of(request, read(&device.config).store());
    let scope = match scope {
        Ok(scope) => scope,
        Err(error) => return reply(&[envelope(request, "", rest, Err(&error))], false, &device.identity),
    };
    if let Some(raw) = scope.vdoms.first().and_then(|vdom| {
        let denied = lock(&device.orders).denies(vdom, &format!("{path}/{name}"));
        let question = Question { device, request, principal, vdom };
        let raw = backup::raw(&question, &scope, path, name, action)?;
        Some(if denied { Err(CmdbError::Permission) } else { raw })
    }) {
        return raw.unwrap_or_else(|error| {
            reply(&[envelope(request, "", rest, Err(&error))], scope.as_list, &device.identity)
        });
    }
    let full = format!("{path}/{name}");
    let seen = scope.vdoms.iter().filter(|vdom| !lock(&device.orders).denies(vdom, &full));
    let envelopes: Vec<Envelope<'_>> = seen
        .map(|vdom| {
            let question = Question { device, request, principal, vdom };
            let results = answer(&question, &full, action);
            envelope(request, vdom, rest, results.as_ref())
        })
        .collect();
    if envelopes.is_empty() {
        return reply(
            &[envelope(request, "", rest, Err(&CmdbError::Permission))],
            scope.as_list,
            &device.identity,
        );
    }
    reply(&envelopes, scope.as_list, &device.identity)
}

fn answer(question: &Question<'_>, full: &str, action: &str) -> Result<Json, CmdbError> {
    let get = question.request.method == "GET";
    match (full, action) {
        ("system/status", "" | "select") => Ok(status::status(question)),
        ("web-ui/state", "" | "select") => Ok(status::web_ui(question)),
        ("license/status", "" | "select") => Ok(status::license(question)),
        ("system/firmware", "" | "select") => Ok(status::firmware(question)),
        ("system/time", "" | "select") => Ok(status::time(question)),
        ("system/ha-peer", "" | "select") => Ok(status::ha_peer(question)),
        ("system/ha-checksums", "" | "select") => Ok(status::ha_checksums(question)),
        ("system/vdom-resource", "" | "select") => Ok(vdom_resource::resources(question)),
        ("firewall/policy", "" | "select") => Ok(policy::counters(question)),
        ("firewall/policy", "clear_counters" | "reset") if !get => Ok(Json::Null),
        ("system/object", "usage") => usage::usage(question),
        ("system/config-revision", "" | "select") => Ok(backup::revisions(question)),
        ("system/config-revision", "info") => backup::info(question),
        ("system/config-revision", "save") if !get => backup::save(question),
        ("system/config-revision", "update-comments") if !get => backup::update_comments(question),
        ("system/config-revision", "delete") if !get => backup::delete(question),
        _ => Err(CmdbError::NoSuchTable),
    }
}

fn envelope<'a>(
    request: &'a Request,
    vdom: &'a str,
    rest: &[&'a str],
    results: Result<&Json, &CmdbError>,
) -> Envelope<'a> {
    let at = |place: usize| rest.get(place).copied().unwrap_or_default();
    Envelope {
        method: &request.method,
        results: results.as_ref().ok().map(|results| results.to_string().into_bytes()),
        vdom,
        path: at(0),
        name: at(1),
        action: Some(at(2)),
        error: results.err().map(Failure::from),
        monitor: true,
        ..Envelope::default()
    }
}
