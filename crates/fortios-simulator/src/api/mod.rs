//! The REST API: which request goes where, and what all of them have in common.

mod cmdb;
mod login;
mod reply;
mod request;
mod scope;
mod transactions;

use std::time::Instant;

pub(crate) use reply::{Envelope, Failure, Reply, reply};
pub(crate) use request::Request;
pub(crate) use scope::{MANAGEMENT, VdomScope};

use crate::access::Principal;
use crate::device::Device;
use crate::journal::Entry;
use crate::monitor;
use crate::orders::{CutAt, Fault};
use crate::schema::catalogue;
use crate::sync::{lock, read};

/// The connection is to be closed without an answer.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the connection was cut by order")]
pub(crate) struct Cut;

/// Answers a request, or says that its connection is cut.
pub(crate) fn answer(device: &Device, request: &Request) -> Result<Reply, Cut> {
    let start = Instant::now();
    let seq = request.is_write().then(|| lock(&device.journal).begin(entry(request)));
    let end = |outcome: &str, carried: Option<String>| {
        if let Some(seq) = seq {
            lock(&device.journal).end(seq, |entry| {
                outcome.clone_into(&mut entry.outcome);
                entry.carried = carried;
            });
        }
    };
    let cut = |at| seq.is_some_and(|seq| lock(&device.orders).cuts(seq, at, &described(request)));
    let answer = if cut(CutAt::Before) {
        end("cut-before", None);
        Err(Cut)
    } else {
        let (reply, mkey) = meet(device, request);
        if let Some(recording) = lock(&device.recording).as_mut().filter(|_| request.is_write()) {
            recording.note(&read(&device.config));
        }
        if let (Some(seq), Some(mkey)) = (seq, mkey) {
            lock(&device.journal).end(seq, |entry| entry.mkey = Some(mkey));
        }
        if cut(CutAt::After) {
            end("cut-after", Some(reply.outcome));
            Err(Cut)
        } else {
            end(&reply.outcome, None);
            Ok(reply)
        }
    };
    lock(&device.stats).count(&counted(request), seq.is_some(), start.elapsed());
    answer
}

/// The answer, and the key of the row that was written where the request did not name it.
fn meet(device: &Device, request: &Request) -> (Reply, Option<String>) {
    let path = request.path.strip_prefix("api/v2/").unwrap_or(&request.path);
    let fault = lock(&device.orders).fault(&request.method, path, request.parameter("vdom"));
    match fault {
        Some(fault) => (fail(device, request, fault), None),
        None => route(device, request),
    }
}

fn route(device: &Device, request: &Request) -> (Reply, Option<String>) {
    let parts: Vec<&str> = request.parts.iter().map(String::as_str).collect();
    let plain = |reply| (reply, None);
    match parts.as_slice() {
        ["api", "v2", "authentication"] => plain(login::authentication(device, request)),
        ["logincheck"] => plain(login::logincheck(device, request)),
        ["logout"] => plain(login::logout(device, request)),
        ["api", "v2", kind @ ("cmdb" | "monitor"), rest @ ..] => {
            let principal = match admitted(device, request) {
                Ok(principal) => principal,
                Err(reply) => return plain(reply),
            };
            match (*kind, rest) {
                ("cmdb", []) => plain(transactions::serve(device, request)),
                ("cmdb", rest) => cmdb::serve(device, request, rest),
                (_, rest) => plain(monitor::serve(device, request, &principal, rest)),
            }
        }
        _ => plain(Reply::html(404, "Not Found")),
    }
}

/// Who asks; a write by cookie shows its CSRF token too.
fn admitted(device: &Device, request: &Request) -> Result<Principal, Reply> {
    let config = read(&device.config);
    let view = config.committed();
    let url_token = request.parameter("access_token").filter(|_| {
        let allowed = crate::monitor::global_text(view, "rest-api-key-url-query") == "enable";
        allowed || !device.identity.firmware.guards_url_tokens()
    });
    let now = device.clock.now();
    let principal = lock(&device.access).principal(view, &request.headers, url_token, now);
    let Some(principal) = principal else { return Err(Reply::html(401, "Unauthorized")) };
    if let Some(expected) = principal.csrf.as_deref().filter(|_| request.is_write()) {
        let shown = request.header("x-csrftoken").map(|token| token.trim_matches('"'));
        if shown != Some(expected) {
            return Err(Reply::html(403, "Forbidden"));
        }
    }
    Ok(principal)
}

/// The answer that the admin port has ordered.
fn fail(device: &Device, request: &Request, fault: Fault) -> Reply {
    if fault.html || fault.status == 429 {
        return Reply::html(fault.status, reason(fault.status));
    }
    let failure = Failure { status: fault.status, code: fault.error, cli_error: fault.cli_error };
    let part = |at: usize| request.parts.get(at).map_or("", String::as_str);
    let envelope = Envelope {
        method: &request.method,
        vdom: request.parameter("vdom").unwrap_or(MANAGEMENT),
        path: part(3),
        name: part(4),
        error: Some(failure),
        ..Envelope::default()
    };
    reply(&[envelope], false, &device.identity)
}

fn reason(status: u16) -> &'static str {
    match status {
        429 => "Too Many Requests",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

fn entry(request: &Request) -> Entry {
    let transaction = request.header("x-transaction-id").and_then(|id| id.trim().parse().ok());
    Entry {
        seq: 0,
        method: request.method.clone(),
        path: request.path.strip_prefix("api/v2/").unwrap_or(&request.path).to_owned(),
        action: request.parameter("action").map(str::to_owned),
        vdom: request.parameter("vdom").map(str::to_owned),
        mkey: request.parts.get(5).cloned(),
        transaction: transaction.or_else(|| transactions::named(request)),
        outcome: "running".to_owned(),
        carried: None,
    }
}

fn described(request: &Request) -> String {
    format!("{} {}", request.method, request.path.strip_prefix("api/v2/").unwrap_or(&request.path))
}

/// The name under which a request is counted: its method and table, never a key.
fn counted(request: &Request) -> String {
    let parts: Vec<&str> = request.parts.iter().map(String::as_str).collect();
    let what = match parts.as_slice() {
        ["api", "v2", "cmdb", path, name, ..] => match catalogue().find(&format!("{path}/{name}")) {
            Some(table) => table.table().full.to_owned(),
            None => "unknown".to_owned(),
        },
        ["api", "v2", "cmdb"] => "cmdb".to_owned(),
        ["api", "v2", "monitor", path, name, ..] => format!("monitor/{path}/{name}"),
        ["api", "v2", "authentication"] => "authentication".to_owned(),
        [only @ ("logincheck" | "logout")] => (*only).to_owned(),
        _ => "unknown".to_owned(),
    };
    format!("{} {what}", request.method)
}
