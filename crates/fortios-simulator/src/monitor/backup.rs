//! Exports of the configuration, and the revisions that are kept on the device.

use std::collections::VecDeque;

use serde_json::{Value as Json, json};

use super::Question;
use crate::api::{Reply, VdomScope};
use crate::cmdb::CmdbError;
use crate::export::{self, Extent};
use crate::sync::{lock, read};

/// The saved configurations of the device, whichever VDOM they were asked for in.
#[derive(Debug, Default)]
pub(crate) struct Revisions {
    /// How many are kept; the oldest goes. None at all where the device has no disk for them.
    room: usize,
    saved: VecDeque<Revision>,
    /// How many were ever saved: an id is never given again.
    count: u64,
    /// How many writes the latest one knows.
    changes: u64,
}

impl Revisions {
    /// None yet, with room for so many.
    pub(crate) fn with_room(room: usize) -> Self {
        Self { room, ..Self::default() }
    }

    /// Whether the device has where to keep them.
    pub(crate) fn has_disk(&self) -> bool {
        self.room > 0
    }

    /// Puts another text in the place of a saved one, as a disk that fails does.
    pub(crate) fn damage(&mut self, id: u64, text: String) -> Result<(), CmdbError> {
        self.find(Some(id)).map(|revision| revision.text = text)
    }

    fn find(&mut self, id: Option<u64>) -> Result<&mut Revision, CmdbError> {
        self.saved.iter_mut().find(|revision| Some(revision.id) == id).ok_or(CmdbError::NotFound)
    }
}

#[derive(Debug)]
struct Revision {
    id: u64,
    time: u64,
    admin: String,
    comment: String,
    text: String,
}

impl Revision {
    fn described(&self) -> Json {
        json!({
            "id": self.id,
            "time": self.time,
            "version_id": "1",
            "admin": self.admin,
            "comment": self.comment,
        })
    }
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
    let listed: Vec<Json> = kept.saved.iter().rev().map(Revision::described).collect();
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

/// One of them without its text.
pub(crate) fn info(question: &Question<'_>) -> Result<Json, CmdbError> {
    let id = question.request.parameter("config_id").and_then(|id| id.parse().ok());
    Ok(lock(&question.device.revisions).find(id)?.described())
}

pub(crate) fn save(question: &Question<'_>) -> Result<Json, CmdbError> {
    let comment = comment(question)?;
    let text = exported(question, &Extent::Device);
    let changes = read(&question.device.config).changes();
    let mut kept = lock(&question.device.revisions);
    if !kept.has_disk() {
        return Err(CmdbError::NoDisk);
    }
    kept.count += 1;
    kept.changes = changes;
    let id = kept.count;
    kept.saved.push_back(Revision {
        id,
        time: question.device.clock.now().as_secs(),
        admin: question.principal.name.clone(),
        comment,
        text,
    });
    if kept.saved.len() > kept.room {
        kept.saved.pop_front();
    }
    Ok(json!({"config_id": id}))
}

pub(crate) fn update_comments(question: &Question<'_>) -> Result<Json, CmdbError> {
    let id = question.request.object()?.get("config_id").and_then(Json::as_u64);
    let comment = comment(question)?;
    lock(&question.device.revisions).find(id)?.comment = comment;
    Ok(Json::Null)
}

pub(crate) fn delete(question: &Question<'_>) -> Result<Json, CmdbError> {
    let body = question.request.object()?;
    let ids: Option<Vec<u64>> = body
        .get("config_ids")
        .and_then(Json::as_array)
        .and_then(|ids| ids.iter().map(Json::as_u64).collect());
    let ids = ids.ok_or_else(|| CmdbError::BadRequest("config_ids is a list of numbers".into()))?;
    let mut kept = lock(&question.device.revisions);
    for id in &ids {
        kept.find(Some(*id))?;
    }
    kept.saved.retain(|revision| !ids.contains(&revision.id));
    Ok(Json::Null)
}

/// By the body, or in the URL as some clients have it.
fn comment(question: &Question<'_>) -> Result<String, CmdbError> {
    let body = question.request.object()?;
    let comment =
        body.get("comments").and_then(Json::as_str).or_else(|| question.request.parameter("comments"));
    Ok(comment.unwrap_or_default().to_owned())
}

fn file(question: &Question<'_>) -> Result<Reply, CmdbError> {
    let id = question.request.parameter("config_id").and_then(|id| id.parse().ok());
    let text = lock(&question.device.revisions).find(id)?.text.clone();
    Ok(attachment(question, text))
}
