//! What the API user may do, as far as the device tells: what it may read is tried, what it may write stands in its profile.
//! Nothing is ever written to find out.

use serde_json::Value as Json;

use crate::Fortigate;
use crate::client::{At, Client, Error, Row};
use crate::offered;
use crate::schema::sources;

/// The groups of rights in which what we write stands, the parts of each, and where a profile says what holds for the parts.
const WRITTEN: [(&str, &str, &[&str]); 2] = [
    ("netgrp", "netgrp-permission", &["cfg", "route-cfg"]),
    ("fwgrp", "fwgrp-permission", &["policy", "address", "service", "schedule", "others"]),
];

impl Fortigate {
    /// All tables of which we need to know what is in them.
    pub(super) async fn may_read(&self, client: &Client) -> Result<String, String> {
        let (vdom, device) = (self.settings.vdom.as_str(), self.settings.device());
        let ours = sources(self.settings.dedicated.is_some());
        let ours = ours.map(|table| (table.path, table.mkey, if table.is_global { device } else { vdom }));
        let named = offered::tables(&self.settings).map(|table| (table, "name", vdom));
        let (mut read, mut wrong) = (0, Vec::new());
        for (table, mkey, at) in ours.chain(named) {
            match client.revisions(table, mkey, &[at]).await {
                Ok(_) => read += 1,
                Err(Error::Right(_)) => wrong.push(table.to_owned()),
                Err(error) => wrong.push(format!("{table} ({error})")),
            }
        }
        if wrong.is_empty() {
            return Ok(format!("{read} tables"));
        }
        Err(format!(
            "cannot read {} in {vdom}: give the API user's profile the right, or the API user the VDOM",
            wrong.join(", ")
        ))
    }

    /// What the API user's profile says of the tables that we write.
    pub(super) async fn may_write(&self, client: &Client) -> Result<String, String> {
        let untold = |why: &str| Ok(format!("the device does not tell what the API user may write: {why}"));
        let state = match client.monitor("web-ui/state", None).await {
            Ok((state, ..)) => state,
            Err(error) => return untold(&error.to_string()),
        };
        let Some(name) = state["admin"]["profile"]["name"].as_str().filter(|name| !name.is_empty()) else {
            return untold("it names no profile");
        };
        let at = At { vdom: &self.settings.vdom, table: "system/accprofile" };
        let profile = match client.row(at, name).await {
            Ok(Some(profile)) => profile,
            Ok(None) => return untold(&format!("there is no profile {name}")),
            Err(error) => return untold(&error.to_string()),
        };
        let lacks = lacking(&profile);
        if lacks.is_empty() {
            return Ok(format!("all that is needed, by the profile {name}"));
        }
        Err(format!("the profile {name} lacks read-write for {}: grant it", lacks.join(", ")))
    }
}

/// The groups of rights, or their parts, that a profile does not let us write.
fn lacking(profile: &Row) -> Vec<String> {
    let may = |right: Option<&Json>| right.and_then(Json::as_str) == Some("read-write");
    let mut lacks = Vec::new();
    for (group, detail, parts) in WRITTEN {
        match profile.get(group).and_then(Json::as_str) {
            Some("read-write") => {}
            Some("custom") => {
                let rights = profile.get(detail);
                // Not every version has all parts.
                let known = parts.iter().filter(|part| rights.is_some_and(|it| it.get(**part).is_some()));
                let denied = known.filter(|part| !may(rights.and_then(|it| it.get(**part))));
                lacks.extend(denied.map(|part| format!("{group} {part}")));
            }
            _ => lacks.push(group.to_owned()),
        }
    }
    lacks
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_profile_lacks_what_it_does_not_grant() {
        let parts =
            json!({"policy": "read-write", "address": "read", "service": "read-write", "schedule": "none"});
        for (profile, expected) in [
            (json!({"netgrp": "read-write", "fwgrp": "read-write"}), vec![]),
            (json!({"netgrp": "read", "fwgrp": "none"}), vec!["netgrp", "fwgrp"]),
            (json!({"fwgrp": "read-write"}), vec!["netgrp"]),
            (
                json!({"netgrp": "read-write", "fwgrp": "custom", "fwgrp-permission": parts}),
                vec!["fwgrp address", "fwgrp schedule"],
            ),
        ] {
            assert_eq!(lacking(profile.as_object().unwrap()), expected, "{profile}");
        }
    }
}
