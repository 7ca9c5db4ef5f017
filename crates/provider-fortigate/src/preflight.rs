//! Whether a FortiGate is as needed, one line for each.

use serde_json::Value as Json;
use vertskommune_provider::{Checked, Ctx};

use crate::Fortigate;
use crate::client::{At, Client, Error};

impl Fortigate {
    pub(crate) async fn check_all(&self, ctx: &Ctx) -> Vec<Checked> {
        let checked = |what: &str, result: Result<String, String>| Checked { what: what.to_owned(), result };
        let client = match self.client(ctx).await {
            Ok(client) => client,
            Err(error) => return vec![checked("reachability", Err(error.to_string()))],
        };
        let version = self.identify(&client).await;
        let mut all = vec![checked("identity", version.map_err(|error| error.to_string()))];
        all.push(checked("cluster", self.cluster(&client).await.map_err(|error| said(&error))));
        all.push(checked("saving", self.saving(&client).await));
        all.push(checked("manager", self.manager(&client).await));
        all.push(checked("parent", self.there(&client, "system/interface", &self.settings.parent).await));
        all.push(checked("internet", self.interface(&client, &self.settings.internet).await));
        for (name, place) in &self.settings.places {
            all.push(checked(&format!("place {name}"), self.interface(&client, &place.interface).await));
            for object in &place.addresses {
                all.push(checked(&format!("place {name}/{object}"), self.address(&client, object).await));
            }
        }
        all.push(checked("anchor", self.anchored(&client).await));
        all
    }

    /// All members of the cluster are those that are pinned, and they are in step.
    async fn cluster(&self, client: &Client) -> Result<String, Error> {
        let (peers, ..) = client.monitor("system/ha-checksums", None).await?;
        let peers = peers.as_array().cloned().unwrap_or_default();
        let pinned: Vec<&str> = self.serials().collect();
        for peer in &peers {
            let serial = peer["serial_no"].as_str().unwrap_or_default();
            if !pinned.contains(&serial) {
                return Err(Error::Protocol(format!("{serial} is in the cluster and not in spec.identity")));
            }
            if peer["checksum"]["all"] != peers[0]["checksum"]["all"] {
                return Err(Error::Protocol(format!("{serial} is not in step with the others")));
            }
        }
        Ok(format!("{} in step", if peers.is_empty() { 1 } else { peers.len() }))
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
