//! Exports of the configuration, and the revisions that are kept on the device.

use serde_json::{Value as Json, json};

use super::Question;
use crate::api::{Reply, VdomScope};
use crate::cmdb::CmdbError;
use crate::export::{self, Extent};
use crate::sync::{lock, read};

/// The saved configurations.
#[derive(Debug, Default)]
pub(crate) struct Revisions {
    saved: Vec<Revision>,
    /// How many writes the latest one knows.
    changes: u64,
}

#[derive(Debug)]
struct Revision {
    id: u64,
    time: u64,
    admin: String,
    comment: String,
    text: String,
}

/// Answers that are text and not JSON; `None` where the question is another's.
pub(crate) fn raw(
    question: &Question<'_>,
    scope: &VdomScope,
    path: &str,
    name: &str,
    action: &str,
) -> Option<Result<Reply, CmdbError>> {
    match (path, name, action) {
        ("system", "config", "backup") => Some(backup(question, scope)),
        ("system", "config-revision", "file") => Some(file(question)),
        _ => None,
    }
}

fn backup(question: &Question<'_>, scope: &VdomScope) -> Result<Reply, CmdbError> {
    let parameter = |name: &str| {
        let body = question.request.object().unwrap_or_default();
        let posted = body.get(name).and_then(Json::as_str).map(str::to_owned);
        posted.or_else(|| question.request.parameter(name).map(str::to_owned))
    };
    let extent = match parameter("scope").as_deref() {
        Some("global") => Extent::Device,
        Some("vdom") => Extent::Vdom(scope.single()?),
        _ => return Err(CmdbError::BadRequest("scope is global or vdom".into())),
    };
    Ok(attachment(question, exported(question, &extent)))
}

fn exported(question: &Question<'_>, extent: &Extent) -> String {
    let config = read(&question.device.config);
    export::configuration(&config, &question.device.identity, &question.principal.name, extent)
}

fn attachment(question: &Question<'_>, text: String) -> Reply {
    let name = format!("{}.conf", question.device.identity.hostname);
    Reply::raw(200, "application/octet-stream", text.into_bytes())
        .with("content-disposition", format!("attachment; filename=\"{name}\""))
}

pub(crate) fn revisions(question: &Question<'_>) -> Json {
    let firmware = question.device.identity.firmware;
    let kept = lock(&question.device.revisions);
    let listed: Vec<Json> = kept
        .saved
        .iter()
        .rev()
        .map(|revision| {
            json!({
                "id": revision.id,
                "time": revision.time,
                "version_id": "1",
                "admin": revision.admin,
                "comment": revision.comment,
            })
        })
        .collect();
    json!({
        "revisions": listed,
        "categories": {"1": {
            "major_version": firmware.major,
            "minor_version": firmware.minor,
            "patch_number": firmware.patch,
            "build_number": firmware.build(),
            "release_number": 0,
        }},
        "current_config_unsaved": read(&question.device.config).changes() != kept.changes,
    })
}

pub(crate) fn save(question: &Question<'_>) -> Result<Json, CmdbError> {
    let body = question.request.object()?;
    let text = exported(question, &Extent::Device);
    let changes = read(&question.device.config).changes();
    let mut kept = lock(&question.device.revisions);
    let id = kept.saved.len() as u64 + 1;
    kept.changes = changes;
    kept.saved.push(Revision {
        id,
        time: question.device.clock.now().as_secs(),
        admin: question.principal.name.clone(),
        comment: body.get("comments").and_then(Json::as_str).unwrap_or_default().to_owned(),
        text,
    });
    Ok(json!({"config_id": id}))
}

fn file(question: &Question<'_>) -> Result<Reply, CmdbError> {
    let id: Option<u64> = question.request.parameter("config_id").and_then(|id| id.parse().ok());
    let kept = lock(&question.device.revisions);
    let found = kept.saved.iter().find(|revision| Some(revision.id) == id).ok_or(CmdbError::NotFound)?;
    Ok(attachment(question, found.text.clone()))
}
