//! Whether a FortiGate is as needed, one line for each. What the device does not tell is said, and is no fault.

mod rights;

use serde_json::Value as Json;
use vertskommune_provider::{Checked, Ctx};

use crate::Fortigate;
use crate::client::{self, Ask, At, Client, Error};
use crate::offered;

/// What a virtual firewall has of the things that tenants get, as `system/vdom-resource` calls them.
const RESOURCES: [&str; 6] = [
    "firewall-policy",
    "firewall-address",
    "firewall-addrgrp",
    "custom-service",
    "service-group",
    "recurring-schedule",
];
/// From how much of a hundred on a table counts as good as full.
const FULL: u64 = 90;

impl Fortigate {
    pub(crate) async fn check_all(&self, ctx: &Ctx) -> Vec<Checked> {
        let checked = |what: &str, result: Result<String, String>| Checked { what: what.to_owned(), result };
        let client = match self.client(ctx).await {
            Ok(client) => client,
            Err(error) => return vec![checked("reachability", Err(error.to_string()))],
        };
        let version = self.identify(&client).await;
        let mut all = vec![checked("identity", version.map_err(|error| error.to_string()))];
        all.push(checked("cluster", self.cluster(&client).await));
        all.push(checked("rights to read", self.may_read(&client).await));
        all.push(checked("rights to write", self.may_write(&client).await));
        all.push(checked("room", self.room(&client).await));
        all.push(checked("virtual firewalls", self.virtual_firewalls(&client).await));
        all.push(checked("saving", self.saving(&client).await));
        all.push(checked("manager", self.manager(&client).await));
        all.push(checked("parent", self.there(&client, "system/interface", &self.settings.parent).await));
        all.push(checked("internet", self.interface(&client, &self.settings.internet).await));
        for (name, place) in &self.settings.places {
            all.push(checked(&format!("place {name}"), self.interface(&client, &place.interface).await));
            for object in place.addresses.keys() {
                all.push(checked(&format!("place {name}/{object}"), self.address(&client, object).await));
            }
        }
        if let Some(pool) = &self.settings.ip_pool {
            all.push(checked("ip pool", self.there(&client, "firewall/ippool", pool).await));
        }
        for profile in &self.settings.profiles {
            all.push(checked(&format!("profile {profile}"), self.profile(&client, profile).await));
        }
        all.push(checked("anchor", self.anchored(&client).await));
        all.push(checked("revisions", Ok(self.revisions(&client, ctx).await)));
        all
    }

    /// Whether the device keeps what a rollback needs. It works well without, so this is never wrong.
    async fn revisions(&self, client: &Client, ctx: &Ctx) -> String {
        let kept = match self.list_records(ctx).await {
            Ok(kept) => kept,
            Err(error) => return format!("none can be seen, so no rollback is possible: {error}"),
        };
        if let Some(newest) = kept.first() {
            return format!("{} kept, the newest of {:.0}", kept.len(), newest.saved_at);
        }
        let status = client.monitor("system/status", None).await.unwrap_or_default().0;
        match status["log_disk_status"].as_str() {
            None | Some("available") => "none kept yet: one is saved before the first change".to_owned(),
            Some(disk) => format!("none kept, and its disk is {disk}: a rollback may not be possible"),
        }
    }

    /// All members of the cluster are those that are pinned, and they are in step.
    async fn cluster(&self, client: &Client) -> Result<String, String> {
        let (peers, ..) = client.monitor("system/ha-checksums", None).await.map_err(|error| said(&error))?;
        let peers = peers.as_array().map(Vec::as_slice).unwrap_or_default();
        let serial = |peer: &Json| peer["serial_no"].as_str().unwrap_or_default().to_owned();
        let there: Vec<String> = peers.iter().map(serial).collect();
        let mut wrong = Vec::new();
        let unknown = there.iter().filter(|serial| !self.serials().any(|pinned| pinned == *serial));
        wrong.extend(unknown.map(|serial| {
            format!(
                "{serial} is in the cluster and not in spec.identity: add it, or take it out of the cluster"
            )
        }));
        // One that stands alone may name no members, and it answered.
        let missing = self
            .serials()
            .filter(|pinned| self.serials().count() > 1 && !there.iter().any(|it| it == pinned));
        wrong.extend(missing.map(|serial| {
            format!("{serial} is in spec.identity and not in the cluster: bring it back, or take it out of spec.identity")
        }));
        let behind = peers.iter().filter(|peer| peer["checksum"]["all"] != peers[0]["checksum"]["all"]);
        wrong.extend(behind.map(|peer| format!("{} is not in step with the others", serial(peer))));
        if wrong.is_empty() { Ok(format!("{} in step", peers.len().max(1))) } else { Err(wrong.join("; ")) }
    }

    /// How much room the tables have, where the device tells.
    async fn room(&self, client: &Client) -> Result<String, String> {
        let told = client.monitor("system/vdom-resource", Some(&self.settings.vdom)).await;
        let told = match told {
            Ok((told, ..)) => told,
            Err(error) => return Ok(format!("the device does not tell: {error}")),
        };
        let (mut free, mut short) = (Vec::new(), Vec::new());
        for name in RESOURCES {
            let number = |field: &str| told[name][field].as_u64().filter(|number| *number > 0);
            // What the VDOM is given, or else what the device has; 0 is no limit.
            let Some(most) = number("custom_max").or_else(|| number("global_max")) else { continue };
            let used = number("current_usage").unwrap_or_default();
            let line = format!("{used} of {most} {name}");
            if used.saturating_mul(100) >= most.saturating_mul(FULL) {
                short.push(line);
            } else {
                free.push(line);
            }
        }
        match (short.as_slice(), free.as_slice()) {
            ([], []) => Ok("the device tells no limits".to_owned()),
            ([], _) => Ok(free.join(", ")),
            _ => Err(format!(
                "{} are used in {}: take away what is not needed there, or raise the limit of the VDOM",
                short.join(", "),
                self.settings.vdom
            )),
        }
    }

    /// How many virtual firewalls the licence has left, where the device tells, and whether there can be several at all.
    async fn virtual_firewalls(&self, client: &Client) -> Result<String, String> {
        let are_offered = self.settings.dedicated.is_some();
        if are_offered {
            let global = client.single("system/global").await.map_err(|error| said(&error))?;
            let mode = global.get("vdom-mode").and_then(Json::as_str).unwrap_or("multi-vdom");
            if mode != "multi-vdom" {
                return Err(format!(
                    "vdom-mode is {mode}: set it to multi-vdom, or take dedicated out of spec.settings"
                ));
            }
        }
        match client.monitor("license/status", None).await {
            Ok((told, ..)) => match (told["vdom"]["used"].as_u64(), told["vdom"]["max"].as_u64()) {
                (Some(used), Some(max)) if are_offered && used >= max => Err(format!(
                    "{used} of {max} are used: extend the licence before another tenant has one of its own"
                )),
                (Some(used), Some(max)) => Ok(format!("{used} of {max} are used")),
                _ => Ok("the device does not tell how many there may be".to_owned()),
            },
            Err(error) => Ok(format!("the device does not tell: {error}")),
        }
    }

    /// A security profile of any sort.
    async fn profile(&self, client: &Client, name: &str) -> Result<String, String> {
        let mut sorts = Vec::new();
        let filter = client::equals("name", name);
        for (word, table) in offered::profiles() {
            let at = At { vdom: &self.settings.vdom, table };
            let rows =
                client.rows(at, &Ask::those(&["name"], &filter)).await.map_err(|error| said(&error))?;
            if rows.iter().any(|row| row.get("name").and_then(Json::as_str) == Some(name)) {
                sorts.push(word);
            }
        }
        if sorts.is_empty() {
            return Err(format!(
                "there is no security profile {name}: make it, or correct spec.settings.profiles"
            ));
        }
        Ok(sorts.join(", "))
    }

    /// A device that saves only when it is told to would forget us at its next start.
    async fn saving(&self, client: &Client) -> Result<String, String> {
        let global = client.single("system/global").await.map_err(|error| said(&error))?;
        match global.get("cfg-save").and_then(Json::as_str) {
            Some("automatic") | None => Ok("changes are saved at once".to_owned()),
            Some(other) => {
                Err(format!("cfg-save is {other}: set it to automatic, or changes are lost at a restart"))
            }
        }
    }

    /// A FortiManager's next installation would overwrite what we write.
    async fn manager(&self, client: &Client) -> Result<String, String> {
        let central = client.single("system/central-management").await.map_err(|error| said(&error))?;
        let text = |name: &str| central.get(name).and_then(Json::as_str).unwrap_or_default();
        if text("type") == "fortimanager" && !text("fmg").trim_matches(['"', ' ']).is_empty() {
            return Err(
                "a FortiManager manages this device, and its next installation would undo ours".to_owned()
            );
        }
        Ok("none".to_owned())
    }

    async fn there(&self, client: &Client, table: &str, name: &str) -> Result<String, String> {
        let at = At { vdom: &self.settings.vdom, table };
        match client.row(at, name).await.map_err(|error| said(&error))? {
            Some(_) => Ok(name.to_owned()),
            None => Err(format!("there is no {name} in {table}: make it, or correct the settings")),
        }
    }

    /// An interface, or a zone.
    async fn interface(&self, client: &Client, name: &str) -> Result<String, String> {
        match self.there(client, "system/interface", name).await {
            Err(_) => self.there(client, "system/zone", name).await,
            there => there,
        }
    }

    async fn address(&self, client: &Client, name: &str) -> Result<String, String> {
        match self.there(client, "firewall/address", name).await {
            Err(_) => self.there(client, "firewall/addrgrp", name).await,
            there => there,
        }
    }

    async fn anchored(&self, client: &Client) -> Result<String, String> {
        match self.anchor(client).await.map_err(|error| said(&error))? {
            Some(id) => Ok(format!("{} is policy {id}", self.settings.anchor)),
            None => {
                Err(format!("there is no policy {}: make it, or correct policyAnchor", self.settings.anchor))
            }
        }
    }
}

fn said(error: &Error) -> String {
    error.to_string()
}
