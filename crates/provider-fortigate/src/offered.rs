//! What the device has by itself or from the host and that tenants' things name: services, security profiles, the pool of
//! addresses, and the host's interfaces and address objects. What a rule names and the device lacks is refused in the plan.
//!
//! The observation carries the names that exist, by virtual firewall and sort. Of a sort that cannot be read it says
//! nothing, and nothing that is named of it counts as missing. Tables that were read anyway are not read again; of the others
//! one small request asks for the revision, and for the names only where it is another than before.

use std::collections::{BTreeMap, BTreeSet};

use futures::future;
use serde_json::Value as Json;
use tokio::sync::Mutex;
use vertskommune_core::names::Kind;
use vertskommune_core::observation::Observation;
use vertskommune_core::resource::{Resource, Value};
use vertskommune_core::step::{Refusal, RefusalReason};

use crate::client::{Ask, At, Client, Error, Row};
use crate::entry::Attributes as _;
use crate::marks::{ADDRESS, ADDRESS_GROUP, INTERFACE, POLICY, SERVICE, SERVICE_GROUP, VIP, ZONE};
use crate::names;
use crate::schema::{VDOM, table};
use crate::settings::Settings;
use crate::tables::Read;

/// Names by virtual firewall and sort.
pub(crate) type Offered = BTreeMap<Kind, BTreeSet<String>>;

/// A sort of things that tenants' things name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Service,
    Interface,
    Address,
    Pool,
    Antivirus,
    Ips,
    WebFilter,
    Applications,
    Inspection,
}

impl Sort {
    /// What people call it.
    fn word(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Interface => "interface",
            Self::Address => "address",
            Self::Pool => "ip pool",
            Self::Antivirus => "antivirus profile",
            Self::Ips => "ips sensor",
            Self::WebFilter => "webfilter profile",
            Self::Applications => "application list",
            Self::Inspection => "ssl-ssh profile",
        }
    }

    fn key(self, vdom: &str) -> Kind {
        Kind::from(format!("{vdom}/{}", self.word()).as_str())
    }

    /// What helps where one is missing: manifests name some of them, the others stand in the host's settings.
    fn remedy(self) -> &'static str {
        match self {
            Self::Service => "make it there, define it in spec.firewall.services, or write one that is there",
            Self::Interface | Self::Address | Self::Pool => {
                "make it there, or correct spec.settings of the HostProvider"
            }
            Self::Antivirus | Self::Ips | Self::WebFilter | Self::Applications | Self::Inspection => {
                "make it there, or write one that is there"
            }
        }
    }
}

/// Security profiles: their tables, and the attributes of policies that name them.
const PROFILES: [(Sort, &str, &str); 5] = [
    (Sort::Antivirus, "antivirus/profile", "av-profile"),
    (Sort::Ips, "ips/sensor", "ips-sensor"),
    (Sort::WebFilter, "webfilter/profile", "webfilter-profile"),
    (Sort::Applications, "application/list", "application-list"),
    (Sort::Inspection, "firewall/ssl-ssh-profile", "ssl-ssh-profile"),
];
const POOLS: &str = "firewall/ippool";
/// What rules may name as addresses besides those that tenants have themselves.
const OTHER_ADDRESSES: [&str; 2] = ["firewall/vipgrp", "system/external-resource"];

/// What a kind names of the host's: the attribute, the sort, and the part of the manifest that asks for it.
fn named(kind: &str) -> impl Iterator<Item = (&'static str, Sort, &'static str)> {
    let named: &[_] = match kind {
        INTERFACE => &[("interface", Sort::Interface, "")],
        SERVICE_GROUP => &[("member", Sort::Service, ".members")],
        VIP => &[("extintf", Sort::Interface, "")],
        POLICY => &[
            ("service", Sort::Service, ".services"),
            ("srcintf", Sort::Interface, ".from"),
            ("dstintf", Sort::Interface, ".to"),
            ("srcaddr", Sort::Address, ".from"),
            ("dstaddr", Sort::Address, ".to"),
            ("poolname", Sort::Pool, ".nat"),
        ],
        _ => &[],
    };
    let profiles = PROFILES.iter().filter(move |_| kind == POLICY);
    named.iter().copied().chain(profiles.map(|(sort, _, attribute)| (*attribute, *sort, ".profiles")))
}

/// All that a resource names and that is surely not there; `own` are the names of what its tenant has or is to have.
pub(crate) fn missing(desired: &Resource, seen: &Observation, own: &BTreeSet<String>) -> Vec<Refusal> {
    let text = |field: &str| desired.fields.get(field).and_then(Value::as_known);
    let Some(vdom) = text(VDOM).and_then(Json::as_str) else { return Vec::new() };
    let tenant = desired.id.tenant.as_str();
    // What has one of our names is the tenant's also while it cannot be told how it is.
    let is_ours = |name: &str| name == names::zone(tenant) || name.starts_with(&format!("{tenant}."));
    let is_own = |name: &str| own.contains(name) || is_ours(name);
    let mut refusals = Vec::new();
    for (attribute, sort, part) in named(desired.id.key.kind.as_str()) {
        let (Some(value), Some(there)) = (text(attribute), seen.offered.get(&sort.key(vdom))) else {
            continue;
        };
        let names = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        let names = names.iter().filter_map(Json::as_str);
        for name in names.filter(|name| !is_own(name) && !is_word(sort, name) && !there.contains(*name)) {
            refusals.push(Refusal {
                resource: desired.id.clone(),
                field: format!("{}{part}", desired.origin),
                reason: RefusalReason::NotFound,
                message: format!(
                    "there is no {} {name} in {vdom} on the firewall: {}",
                    sort.word(),
                    sort.remedy()
                ),
            });
        }
    }
    refusals
}

/// The tables besides our own whose names must be known for these settings.
pub(crate) fn tables(settings: &Settings) -> impl Iterator<Item = &'static str> {
    let profiles = PROFILES.iter().filter(|_| !settings.profiles.is_empty()).map(|(_, table, _)| *table);
    settings.ip_pool.iter().map(|_| POOLS).chain(profiles)
}

/// The sorts of security profiles, and their tables.
pub(crate) fn profiles() -> impl Iterator<Item = (&'static str, &'static str)> {
    PROFILES.iter().map(|(sort, table, _)| (sort.word(), *table))
}

/// What means all or nothing and is no thing.
fn is_word(sort: Sort, name: &str) -> bool {
    name.is_empty() || (sort == Sort::Address && name == "all")
}

/// The tables of names as they were last read. Can be lost: the next look brings them back.
#[derive(Default)]
pub(crate) struct Offers {
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    /// By table.
    read: BTreeMap<&'static str, Names>,
}

/// The names in a table, and its revision when they were read.
#[derive(Clone)]
struct Names {
    revision: String,
    names: BTreeSet<String>,
}

impl Offers {
    /// What is offered now, with the tables that were just read.
    pub(crate) async fn look(
        &self,
        client: &Client,
        settings: &Settings,
        read: &Read,
    ) -> Result<Offered, Error> {
        let tables = Tables { read, settings };
        // A virtual firewall of a tenant's own has the services that FortiOS brings along, and none of the host's. They are
        // gone through while the device has something to answer.
        let services = |own| tables.others_in(own, &[SERVICE, SERVICE_GROUP]).map(|names| (own, names));
        let own = async { tables.own().filter_map(services).collect::<Vec<_>>() };
        let (hosts, own) = future::join(self.hosts(client, &tables), own).await;
        let own = own.into_iter().map(|(own, names)| (Sort::Service.key(own), names));
        Ok(hosts?.into_iter().chain(own).collect())
    }

    /// What the virtual firewall that tenants share offers.
    async fn hosts(&self, client: &Client, tables: &Tables<'_>) -> Result<Offered, Error> {
        let mut last = self.last.lock().await;
        let settings = tables.settings;
        let vdom = settings.vdom.as_str();
        let mut offered = Offered::new();
        let mut add = |sort: Sort, names: Option<BTreeSet<String>>| {
            offered.extend(names.map(|names| (sort.key(vdom), names)));
        };
        add(Sort::Service, tables.others(&[SERVICE, SERVICE_GROUP]));
        add(Sort::Interface, tables.named(&[INTERFACE, ZONE], settings.interfaces()));
        let wanted = || settings.places.values().flat_map(|place| place.addresses.keys()).map(String::as_str);
        let mut addresses = tables.named(&[ADDRESS, ADDRESS_GROUP, VIP], wanted());
        if addresses.as_ref().is_some_and(|there| wanted().any(|name| !there.contains(name))) {
            for table in OTHER_ADDRESSES {
                let more = last.names(client, vdom, table).await?;
                addresses = addresses.zip(more).map(|(mut all, more)| {
                    all.extend(more);
                    all
                });
            }
        }
        add(Sort::Address, addresses);
        for table in self::tables(settings) {
            let profile = PROFILES.iter().find(|(_, of, _)| *of == table);
            let sort = profile.map_or(Sort::Pool, |(sort, ..)| *sort);
            add(sort, last.names(client, vdom, table).await?);
        }
        Ok(offered)
    }
}

impl Last {
    /// The names of a table's rows; nothing where a right is missing. A table that this version does not have is empty.
    async fn names(
        &mut self,
        client: &Client,
        vdom: &str,
        table: &'static str,
    ) -> Result<Option<BTreeSet<String>>, Error> {
        let revision = match client.revisions(table, "name", &[vdom]).await {
            Ok(revisions) => revisions.into_values().next().unwrap_or_default(),
            Err(Error::Right(_)) => return Ok(None),
            Err(Error::NotFound) => return Ok(Some(BTreeSet::new())),
            Err(error) => return Err(error),
        };
        if let Some(known) = self.read.get(table)
            && known.revision == revision
        {
            return Ok(Some(known.names.clone()));
        }
        let rows = client.rows(At { vdom, table }, &Ask::all(&["name"])).await?;
        let name = |row: &Row| Some(row.get("name")?.as_str()?.to_owned());
        let names: BTreeSet<String> = rows.iter().filter_map(name).collect();
        self.read.insert(table, Names { revision, names: names.clone() });
        Ok(Some(names))
    }
}

/// The tables that were read for tenants' own things.
struct Tables<'a> {
    read: &'a Read,
    settings: &'a Settings,
}

impl Tables<'_> {
    /// The names in the host's tables of these kinds that no tenant has made; nothing where one of them could not be read.
    fn others(&self, kinds: &[&str]) -> Option<BTreeSet<String>> {
        self.others_in(&self.settings.vdom, kinds)
    }

    /// The virtual firewalls of tenants' own.
    fn own(&self) -> impl Iterator<Item = &str> {
        let known = self.read.get(SERVICE).and_then(|known| known.as_ref().ok());
        let vdoms = known.into_iter().flat_map(|known| known.keys()).map(String::as_str);
        vdoms.filter(|vdom| *vdom != self.settings.vdom)
    }

    /// The names in the tables of these kinds of one virtual firewall that no tenant has made.
    fn others_in(&self, vdom: &str, kinds: &[&str]) -> Option<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for kind in kinds {
            let at = if table(kind)?.is_global { self.settings.device() } else { vdom };
            let known = self.read.get(kind)?.as_ref().ok()?.get(at)?;
            let rows = known.rows.iter().filter(|row| row.mark.is_none());
            names.extend(rows.filter_map(|row| Some(row.attribute("name")?.as_str()?.to_owned())));
        }
        Some(names)
    }

    /// Those of the host, of these names alone.
    fn named<'n>(&self, kinds: &[&str], wanted: impl Iterator<Item = &'n str>) -> Option<BTreeSet<String>> {
        let others = self.others(kinds)?;
        Some(wanted.filter(|name| others.contains(*name)).map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use vertskommune_core::names::{ResourceId, ResourceKey};

    use super::*;

    #[test]
    fn of_all_that_is_named_only_what_is_surely_not_there_is_missing() {
        let sorts = [
            (INTERFACE, "interface", Sort::Interface, json!("port9"), "port9"),
            (VIP, "extintf", Sort::Interface, json!("port9"), "port9"),
            (SERVICE_GROUP, "member", Sort::Service, json!(["HTTP", "FAX", "ibestad.fax"]), "FAX"),
            (POLICY, "service", Sort::Service, json!(["FAX", "HTTP"]), "FAX"),
            (POLICY, "srcintf", Sort::Interface, json!(["port9"]), "port9"),
            (POLICY, "dstintf", Sort::Interface, json!(["zone.ibestad", "port9"]), "port9"),
            (
                POLICY,
                "srcaddr",
                Sort::Address,
                json!(["all", "host-fax", "ibestad.servers", "adopted"]),
                "host-fax",
            ),
            (POLICY, "dstaddr", Sort::Address, json!(["host-fax"]), "host-fax"),
            (POLICY, "poolname", Sort::Pool, json!(["outside"]), "outside"),
            (POLICY, "av-profile", Sort::Antivirus, json!("strict"), "strict"),
            (POLICY, "ips-sensor", Sort::Ips, json!("strict"), "strict"),
            (POLICY, "webfilter-profile", Sort::WebFilter, json!("strict"), "strict"),
            (POLICY, "application-list", Sort::Applications, json!("strict"), "strict"),
            (POLICY, "ssl-ssh-profile", Sort::Inspection, json!("strict"), "strict"),
        ];
        for (kind, attribute, sort, value, lacks) in sorts {
            let id = ResourceId::new(&"ibestad".into(), &"fg".into(), ResourceKey::new(kind, "x"));
            let desired = Resource::new(id, "spec.x").with(VDOM, "root").with(attribute, value);
            let mut seen = Observation::empty(&"fg".into());
            let own = ["adopted".to_owned()].into();
            let names = |seen: &Observation| {
                missing(&desired, seen, &own).into_iter().map(|it| it.message).collect::<Vec<_>>()
            };
            assert_eq!(names(&seen), Vec::<String>::new(), "{attribute}: what is there is not known");
            seen.offered.insert(sort.key("other"), BTreeSet::new());
            assert_eq!(names(&seen), Vec::<String>::new(), "{attribute}: that is another virtual firewall");
            seen.offered.insert(sort.key("root"), BTreeSet::from(["HTTP".to_owned()]));
            let said = names(&seen);
            let begins = format!("there is no {} {lacks} in root", sort.word());
            assert!(said.len() == 1 && said[0].starts_with(&begins), "{attribute}: {said:?}");
            seen.offered.insert(sort.key("root"), ["HTTP", lacks].map(str::to_owned).into());
            assert_eq!(names(&seen), Vec::<String>::new(), "{attribute}: it is there");
        }
    }
}
