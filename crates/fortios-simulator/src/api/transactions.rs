//! `/api/v2/cmdb?action=transaction-…`

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::reply::{Envelope, Failure, Reply, reply};
use super::request::Request;
use super::scope::{MANAGEMENT, VdomScope};
use crate::cmdb::CmdbError;
use crate::device::Device;
use crate::store::Vdom;
use crate::sync::{read, write};

/// The transaction that a request names in its body or its parameters.
pub(crate) fn named(request: &Request) -> Option<u64> {
    let action = request.parameter("action")?;
    if !action.starts_with("transaction-") {
        return None;
    }
    number(request, &request.object().ok()?).ok()
}

/// Starts, ends or shows a transaction.
pub(crate) fn serve(device: &Device, request: &Request) -> Reply {
    let action = request.parameter("action");
    let vdom = VdomScope::of(request, read(&device.config).store()).and_then(|scope| scope.single());
    let outcome = vdom.and_then(|vdom| act(device, request, action.unwrap_or_default(), &vdom));
    let results = outcome.as_ref().ok().cloned().flatten();
    let envelope = Envelope {
        method: &request.method,
        change: (request.method != "GET").then(|| (false, String::new())),
        results: results.map(|results| results.to_string().into_bytes()),
        vdom: request.parameter("vdom").unwrap_or(MANAGEMENT),
        action,
        error: outcome.as_ref().err().map(Failure::from),
        ..Envelope::default()
    };
    reply(&[envelope], false, &device.identity)
}

fn act(device: &Device, request: &Request, action: &str, vdom: &Vdom) -> Result<Option<Json>, CmdbError> {
    if !device.identity.firmware.has_transactions() {
        return Err(CmdbError::NoSuchTable);
    }
    let now = device.clock.now();
    let body = request.object()?;
    match (request.method.as_str(), action) {
        ("POST", "transaction-start") => {
            let timeout = body.get("timeout").and_then(Json::as_u64).map(Duration::from_secs);
            let id = write(&device.config).transactions.start(vdom, timeout, now);
            Ok(Some(json!({"transaction-id": id})))
        }
        ("POST", "transaction-commit") => {
            write(&device.config).commit(number(request, &body)?, now)?;
            Ok(None)
        }
        ("POST", "transaction-abort") => {
            write(&device.config).transactions.abort(number(request, &body)?, now)?;
            Ok(None)
        }
        ("GET", "transaction-show") => {
            let mut config = write(&device.config);
            config.transactions.expire(now);
            let id = number(request, &body)?;
            let open = config.transactions.get(id)?;
            Ok(Some(json!(open.lines)))
        }
        ("GET", "transaction-list") => {
            let mut config = write(&device.config);
            config.transactions.expire(now);
            let listed = config.transactions.iter().map(|open| {
                let left = open.expires.saturating_sub(now).as_secs();
                json!({"transaction-id": open.id, "vdom": &*open.vdom, "expires-in": left})
            });
            Ok(Some(listed.collect()))
        }
        _ => Err(CmdbError::BadRequest(format!("there is no action {action}"))),
    }
}

/// With a hyphen as documented, or with the underscore that one client sends.
fn number(request: &Request, body: &Map<String, Json>) -> Result<u64, CmdbError> {
    let given = body.get("transaction-id").or_else(|| body.get("transaction_id"));
    let number = match given {
        Some(Json::Number(number)) => number.as_u64(),
        Some(Json::String(text)) => text.parse().ok(),
        _ => request.parameter("transaction-id").and_then(|text| text.parse().ok()),
    };
    number.ok_or_else(|| CmdbError::BadRequest("name the transaction-id".into()))
}
