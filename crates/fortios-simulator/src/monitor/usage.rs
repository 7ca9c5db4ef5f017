//! `system/object/usage`: who refers to an object.

use serde_json::{Value as Json, json};

use super::Question;
use crate::cmdb::CmdbError;
use crate::config::Config;
use crate::store::Place;
use crate::sync::read;
use crate::value::Key;

pub(crate) fn usage(question: &Question<'_>) -> Result<Json, CmdbError> {
    let parameter = |name: &str| {
        let found = question.request.parameter(name);
        found.ok_or_else(|| CmdbError::BadRequest(format!("name the object's {name}")))
    };
    let table = Config::table(&format!("{}/{}", parameter("q_path")?, parameter("q_name")?))?;
    let key = Key::parse(table.table(), parameter("mkey")?).ok_or(CmdbError::NotFound)?;
    let config = read(&question.device.config);
    let place = Place::of(table, question.vdom);
    let users = config.committed().users(&place, &key).into_iter().map(|user| {
        let referrer = user.place.table.table();
        json!({
            "path": referrer.path,
            "name": referrer.name,
            "mkey": user.key.to_string(),
            "attribute": user.attribute,
            "vdom": user.place.vdom.as_deref().unwrap_or("global"),
        })
    });
    Ok(json!({"currently_using": users.collect::<Vec<_>>(), "can_use": []}))
}
