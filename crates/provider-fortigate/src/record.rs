//! Configuration revisions that the device keeps, and what one of them says of a tenant.
//!
//! `keep` says when one is saved, `text` reads FortiOS's configuration text, and `rows` gives the rows of it as the REST
//! API would. From there on it is seen by the code that sees the tables of today, so that a thing is the same in both.

mod keep;
mod rows;
mod text;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use futures::future::try_join_all;
use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde_json::Value as Json;
use vertskommune_core::firewall::{PortForward, Protocol, Published, Written};
use vertskommune_core::names::{Kind, ProviderName, ResourceId, ResourceKey, TenantName};
use vertskommune_core::observation::{Observation, Present, Scope, Seen};
use vertskommune_core::resource::Resource;
use vertskommune_core::tenant::Network;
use vertskommune_provider::{Ctx, ProviderError, Record, Recorded};

use crate::Fortigate;
use crate::client::{At, Client};
use crate::marks::{
    ADDRESS, ADDRESS_GROUP, INTERFACE, OLD, ORDER, POLICY, SCHEDULE, SERVICE, SERVICE_GROUP, VIP, ZONE,
};
use crate::names;
use crate::observe::standing;
use crate::schema::TABLES;

pub(crate) use keep::Keeping;
use text::Section;

/// The monitor that keeps revisions. They are the device's, not a VDOM's.
pub(crate) const REVISIONS: &str = "system/config-revision";

/// What a field of these kinds names, by the kinds that it may be: what must be there first.
const NAMES: &[(&str, &[&str], &[&str])] = &[
    (ZONE, &["interface"], &[INTERFACE]),
    (ADDRESS_GROUP, &["member"], &[ADDRESS, ADDRESS_GROUP]),
    (SERVICE_GROUP, &["member"], &[SERVICE, SERVICE_GROUP]),
    (crate::marks::ROUTE, &["device"], &[INTERFACE]),
    (POLICY, &["srcintf", "dstintf"], &[ZONE, INTERFACE]),
    (POLICY, &["srcaddr", "dstaddr"], &[ADDRESS, ADDRESS_GROUP, VIP]),
    (POLICY, &["service"], &[SERVICE, SERVICE_GROUP]),
    (POLICY, &["schedule"], &[SCHEDULE]),
];

impl Fortigate {
    /// The revisions that the device keeps, the newest first.
    pub(crate) async fn list_records(&self, ctx: &Ctx) -> Result<Vec<Record>, ProviderError> {
        let client = self.client(ctx).await?;
        let (results, serial, _) =
            client.monitor(REVISIONS, None).await.map_err(|error| self.fail(&error))?;
        self.is_pinned(&serial)?;
        let mut records = read_list(&results).map_err(ProviderError::Protocol)?;
        records.sort_by_key(|record| Reverse((record.saved_at, record.id.parse::<u64>().ok())));
        Ok(records)
    }

    /// What a revision says of this tenant.
    pub(crate) async fn read_record(
        &self,
        id: &str,
        tenant: &TenantName,
        ctx: &Ctx,
    ) -> Result<Recorded, ProviderError> {
        let client = self.client(ctx).await?;
        self.identify(&client).await?;
        let query = [("config_id", id)];
        let text =
            client.text(&format!("{REVISIONS}/file"), &query).await.map_err(|error| self.fail(&error))?;
        let asked = TABLES.iter().map(|table| async {
            let at = At { vdom: &self.settings.vdom, table: table.path };
            Ok((table.kind, client.defaults(at).await?))
        });
        let defaults: BTreeMap<_, _> =
            try_join_all(asked).await.map_err(|error| self.fail(&error))?.into_iter().collect();
        let unreadable = |why: String| ProviderError::Protocol(format!("revision {id}: {why}"));
        let whole = Section::read(&text).map_err(|error| unreadable(error.to_string()))?;
        self.is_shared(tenant, &whole, &client).await?;
        let read =
            rows::read(&whole, &[&self.settings.vdom], &self.installation, &defaults).map_err(unreadable)?;
        let seen = self.seen(&read, &Scope::of([tenant.clone()]), None).await?;
        recorded(&seen, tenant, &self.host.name, &format!("revision {id}")).map_err(unreadable)
    }

    /// Refuses a tenant that has a virtual firewall of its own, or had one then: that is made and linked in stages of which
    /// a record's resources say nothing.
    async fn is_shared(
        &self,
        tenant: &TenantName,
        whole: &Section,
        client: &Client,
    ) -> Result<(), ProviderError> {
        let own = names::vdom(self.installation.as_str(), tenant.as_str());
        let had = whole.tables.get("vdom").is_some_and(|vdoms| vdoms.row(&own).is_some());
        let at = At { vdom: self.settings.device(), table: "system/vdom" };
        let has = self.settings.dedicated.is_some()
            && client.row(at, &own).await.map_err(|error| self.fail(&error))?.is_some();
        if had || has {
            return Err(ProviderError::Refused(format!(
                "{tenant} has a virtual firewall of its own, {own}, which is not taken back: revert its manifest instead"
            )));
        }
        Ok(())
    }
}

fn read_list(results: &Json) -> Result<Vec<Record>, String> {
    let listed = results["revisions"].as_array().ok_or("a list of revisions without revisions")?;
    let record = |it: &Json| {
        let text = |field: &str| it[field].as_str().unwrap_or_default().to_owned();
        let saved_at = it["time"].as_i64().and_then(|time| Timestamp::from_second(time).ok());
        Some(Record {
            id: it["id"].as_u64()?.to_string(),
            saved_at: saved_at?,
            by: text("admin"),
            comment: text("comment"),
        })
    };
    let records: Option<Vec<Record>> = listed.iter().map(record).collect();
    records.ok_or_else(|| "a revision without a number or a time".to_owned())
}

/// All that was the tenant's, as what it should have.
fn recorded(
    seen: &Observation,
    tenant: &TenantName,
    provider: &ProviderName,
    origin: &str,
) -> Result<Recorded, String> {
    let mut kinds = TABLES.iter().map(|table| Kind::from(table.kind));
    if let Some(why) = kinds.find_map(|kind| seen.coverage.gap(tenant, &kind).cloned()) {
        return Err(why.to_string());
    }
    let mut things: BTreeMap<ResourceKey, &Present> = BTreeMap::new();
    for (key, seen) in seen.seen.get(tenant).into_iter().flatten() {
        match seen {
            Seen::Present(_) if key.name.ends_with(OLD) => {
                return Err(format!(
                    "it was saved while {}/{} was being replaced: choose one from before or after",
                    key.kind,
                    key.name.trim_end_matches(OLD)
                ));
            }
            Seen::Present(present) => drop(things.insert(key.clone(), present)),
            Seen::Unknown(why) => return Err(format!("{key}: {why}")),
            Seen::InProgress { .. } | Seen::Lost { .. } => {}
        }
    }
    let id = |key: &ResourceKey| ResourceId::new(tenant, provider, key.clone());
    let order_key = ResourceKey::new(ORDER, "policies");
    let sequence: Vec<String> =
        things.remove(&order_key).into_iter().flat_map(standing).filter_map(|row| row.key).collect();
    let above: BTreeMap<&str, &String> =
        sequence.windows(2).map(|pair| (pair[1].as_str(), &pair[0])).collect();
    let mut resources = Vec::new();
    for (key, present) in &things {
        let mut resource = Resource::new(id(key), origin);
        for (field, value) in &present.fields {
            resource = resource.with(field, value.clone());
        }
        resource.after = needs(key, present, &things).map(&id).collect();
        if let Some(first) = above.get(key.name.as_str()).filter(|_| key.kind.as_str() == POLICY) {
            resource.after.insert(id(&ResourceKey::new(POLICY, first.as_str())));
        }
        resources.push(resource);
    }
    if let Some(last) = sequence.last() {
        let mut order = Resource::new(id(&order_key), origin).with("sequence", sequence.clone());
        order.after.insert(id(&ResourceKey::new(POLICY, last.as_str())));
        resources.push(order);
    }
    let of = |kind: &'static str| things.iter().filter(move |(key, _)| key.kind.as_str() == kind);
    Ok(Recorded {
        networks: of(INTERFACE).filter_map(|(key, it)| network(&key.name, it)).collect(),
        published: of(VIP).filter_map(|(key, it)| published(&key.name, it, origin)).collect(),
        resources,
    })
}

/// The tenant's things that this one names.
fn needs<'a>(
    key: &'a ResourceKey,
    present: &'a Present,
    things: &'a BTreeMap<ResourceKey, &'a Present>,
) -> impl Iterator<Item = &'a ResourceKey> {
    let of_kind = NAMES.iter().filter(|(kind, ..)| *kind == key.kind.as_str());
    let named = of_kind.flat_map(move |(_, fields, kinds)| {
        let values = fields.iter().filter_map(|field| present.fields.get(field));
        let texts = values.flat_map(|value| match value {
            Json::Array(list) => list.iter().collect(),
            one => vec![one],
        });
        texts.filter_map(Json::as_str).map(move |name| (name, *kinds))
    });
    named.filter_map(|(name, kinds)| {
        let is =
            |(key, it): &(&ResourceKey, &&Present)| it.identity == name && kinds.contains(&key.kind.as_str());
        things.iter().find(is).map(|(key, _)| key)
    })
}

fn network(name: &str, interface: &Present) -> Option<Network> {
    let (address, mask) = interface.fields.get("ip")?.as_str()?.split_once(' ')?;
    let (address, mask): (Ipv4Addr, Ipv4Addr) = (address.parse().ok()?, mask.parse().ok()?);
    Some(Network {
        name: name.to_owned(),
        vlan: u16::try_from(interface.fields.get("vlanid")?.as_u64()?).ok()?,
        cidr: Ipv4Net::with_netmask(address, mask).ok()?.trunc().into(),
        gateway: Some(address.into()),
        dns: Vec::new(),
    })
}

fn published(name: &str, vip: &Present, origin: &str) -> Option<Published> {
    let text = |field: &str| vip.fields.get(field).and_then(Json::as_str);
    let port = match text("portforward") {
        Some("enable") => Some(PortForward {
            protocol: if text("protocol") == Some("udp") { Protocol::Udp } else { Protocol::Tcp },
            external: text("extport")?.parse().ok()?,
            internal: text("mappedport")?.parse().ok()?,
        }),
        _ => None,
    };
    Some(Published {
        name: name.to_owned(),
        external: text("extip")?.parse().ok()?,
        internal: text("mappedip")?.parse().ok()?,
        port,
        written: Written { origin: origin.to_owned(), ..Written::default() },
    })
}

#[cfg(test)]
mod tests;
