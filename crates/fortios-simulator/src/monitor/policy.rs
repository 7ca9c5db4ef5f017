//! `firewall/policy`: the counters of each policy. No traffic passes a simulator, so they have the short form of
//! policies that were never hit.

use serde_json::{Value as Json, json};

use super::Question;
use crate::config::Config;
use crate::store::Place;
use crate::sync::read;

pub(crate) fn counters(question: &Question<'_>) -> Json {
    let Ok(policies) = Config::table("firewall/policy") else { return json!([]) };
    let wanted: Option<i64> = question.request.parameter("policyid").and_then(|id| id.parse().ok());
    let config = read(&question.device.config);
    let rows = config.committed().list(&Place::of(policies, question.vdom));
    let implicit = json!({"policyid": 0, "active_sessions": 0, "bytes": 0, "packets": 0});
    let own = rows.into_iter().map(|row| {
        json!({
            "policyid": row.key.json(),
            "uuid": row.text(policies.table(), "uuid"),
            "uuid_type": "firewall.policy",
            "active_sessions": 0,
            "bytes": 0,
            "packets": 0,
        })
    });
    let all = std::iter::once(implicit).chain(own);
    all.filter(|row| wanted.is_none_or(|wanted| row["policyid"] == wanted)).collect()
}
