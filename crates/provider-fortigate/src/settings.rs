//! What a `HostProvider` says to this plugin: where tenants' rules stand on its FortiGate, and what they may name there.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use serde::Deserialize;
use serde_json::Value as Json;
use vertskommune_core::violation::Violation;

use crate::claim;
use crate::marks::{ADDRESS, ADDRESS_GROUP, INTERFACE, POLICY, SERVICE, SERVICE_GROUP, ZONE};
use crate::schema::GLOBAL;

/// The plugin's part of a `HostProvider`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The virtual firewall that tenants share, and through which those with one of their own reach all others.
    pub(crate) vdom: String,
    /// What tenants may have that ask for a virtual firewall of their own; none where the host gives no such.
    pub(crate) dedicated: Option<Dedicated>,
    /// The interface that carries the tenants' VLANs.
    pub(crate) parent: String,
    /// The policy above which tenants' rules stand, by name or id.
    pub(crate) anchor: String,
    /// The way to the internet.
    pub(crate) internet: String,
    /// The pool of addresses behind which tenants go out; the interface's own where there is none.
    pub(crate) ip_pool: Option<String>,
    /// Places of the host's that rules may name.
    pub(crate) places: BTreeMap<String, Place>,
    /// Security profiles that rules may name.
    pub(crate) profiles: BTreeSet<String>,
    /// Addresses that may be published.
    pub(crate) external: Vec<Ipv4Net>,
}

/// What a virtual firewall of a tenant's own holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dedicated {
    /// Security profiles that every virtual firewall has from its birth.
    #[serde(default)]
    pub(crate) profiles: BTreeSet<String>,
}

/// A place of the host's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The interface or zone that it lies behind.
    pub(crate) interface: String,
    /// Address objects there that rules may name, each with the network that it stands for where that is said.
    pub(crate) addresses: BTreeMap<String, Option<Ipv4Net>>,
    /// All networks there.
    pub(crate) networks: Vec<Ipv4Net>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPlace {
    interface: String,
    #[serde(default)]
    addresses: Addresses,
    #[serde(default)]
    networks: Vec<String>,
}

/// Names alone, or with what they stand for.
#[derive(Deserialize)]
#[serde(untagged)]
enum Addresses {
    Names(BTreeSet<String>),
    Networks(BTreeMap<String, String>),
}

impl Default for Addresses {
    fn default() -> Self {
        Self::Names(BTreeSet::new())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    vdom: String,
    parent: String,
    policy_anchor: Anchor,
    internet: Internet,
    #[serde(default)]
    places: BTreeMap<String, WrittenPlace>,
    #[serde(default)]
    profiles: BTreeSet<String>,
    #[serde(default)]
    external: Vec<String>,
    #[serde(default)]
    dedicated: Option<Dedicated>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Anchor {
    before: Json,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Internet {
    interface: String,
    #[serde(default)]
    ip_pool: Option<String>,
}

impl Settings {
    /// All interfaces and zones that it names.
    pub(crate) fn interfaces(&self) -> impl Iterator<Item = &str> {
        let places = self.places.values().map(|place| place.interface.as_str());
        [self.parent.as_str(), self.internet.as_str()].into_iter().chain(places)
    }

    /// Reads the settings, or says all that is wrong with them.
    pub(crate) fn read(settings: &Json) -> Result<Self, Vec<Violation>> {
        let written: Written = Written::deserialize(settings)
            .map_err(|error| vec![Violation::new("spec.settings", error.to_string())])?;
        let mut wrong = Vec::new();
        let mut must = |holds: bool, field: &str, message: String| {
            if !holds {
                wrong.push(Violation::new(format!("spec.settings.{field}"), message));
            }
        };
        let anchor = match &written.policy_anchor.before {
            Json::String(name) => name.clone(),
            Json::Number(id) => id.to_string(),
            _ => String::new(),
        };
        must(!anchor.is_empty(), "policyAnchor.before", "is no policy: write its name or id".to_owned());
        let names = [("parent", &written.parent), ("internet.interface", &written.internet.interface)];
        let places =
            written.places.iter().map(|(name, place)| (format!("places.{name}.interface"), &place.interface));
        for (field, name) in names.into_iter().map(|(field, name)| (field.to_owned(), name)).chain(places) {
            must(
                !name.is_empty() && name.len() <= 35 && name != "any",
                &field,
                format!("{name:?} is no interface: write the name of one, or of a zone"),
            );
        }
        must(
            !written.vdom.is_empty() && written.vdom.len() <= 31 && written.vdom.chars().all(is_plain),
            "vdom",
            format!("{:?} is no VDOM: write its name, such as root", written.vdom),
        );
        let mut network = |field: String, text: &str| {
            let net = text.parse().or_else(|_| text.parse::<std::net::Ipv4Addr>().map(Ipv4Net::from));
            must(net.is_ok(), &field, format!("{text:?} is no IPv4 network: write one"));
            net.ok().map(|net| net.trunc())
        };
        let mut external = Vec::new();
        for (i, text) in written.external.iter().enumerate() {
            external.extend(network(format!("external[{i}]"), text));
        }
        let mut places = BTreeMap::new();
        for (name, place) in written.places {
            let networks = place.networks.iter().enumerate();
            let networks: Vec<Ipv4Net> = networks
                .filter_map(|(i, text)| network(format!("places.{name}.networks[{i}]"), text))
                .collect();
            let addresses: BTreeMap<String, Option<Ipv4Net>> = match place.addresses {
                Addresses::Names(names) => names.into_iter().map(|name| (name, None)).collect(),
                Addresses::Networks(networks) => networks
                    .into_iter()
                    .map(|(object, text)| {
                        let net = network(format!("places.{name}.addresses.{object}"), &text);
                        (object, net)
                    })
                    .collect(),
            };
            places.insert(name, Place { interface: place.interface, addresses, networks });
        }
        for (name, place) in &places {
            let outside = place.addresses.iter().find(|(_, net)| {
                net.is_some_and(|net| {
                    !place.networks.is_empty() && !place.networks.iter().any(|it| it.contains(&net))
                })
            });
            if let Some((object, _)) = outside {
                let field = format!("places.{name}.addresses.{object}");
                must(false, &field, format!("lies in none of the networks of {name}: write that one too"));
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(Self {
            vdom: written.vdom,
            parent: written.parent,
            anchor,
            internet: written.internet.interface,
            ip_pool: written.internet.ip_pool,
            places,
            dedicated: written.dedicated,
            profiles: written.profiles,
            external,
        })
    }

    /// Where tables of the device itself are read and written. Who makes virtual firewalls has a right to the whole device.
    pub(crate) fn device(&self) -> &str {
        if self.dedicated.is_some() { GLOBAL } else { &self.vdom }
    }
}

/// What FortiOS brings along itself and rules of everybody name.
const EVERYBODYS: [&str; 3] = ["all", "none", "ALL"];

impl Settings {
    /// Why this row is the host's own, which no tenant takes over; `None` where it is not.
    pub(crate) fn hosts_own(&self, kind: &str, name: &str, key: &str) -> Option<&'static str> {
        let place = |is: fn(&Place, &str) -> bool| self.places.values().any(|place| is(place, name));
        match kind {
            POLICY if self.anchor == name || self.anchor == key => Some("tenants' rules stand above it"),
            INTERFACE | ZONE if self.parent == name => Some("it carries the tenants' VLANs"),
            INTERFACE | ZONE if self.internet == name => Some("it is the way to the internet"),
            INTERFACE | ZONE if place(|place, name| place.interface == name) => {
                Some("a place of the host's lies behind it")
            }
            ADDRESS | ADDRESS_GROUP if place(|place, name| place.addresses.contains_key(name)) => {
                Some("rules of all tenants may name it")
            }
            ADDRESS if name == claim::NAME => Some("it says who writes here"),
            ADDRESS | ADDRESS_GROUP | SERVICE | SERVICE_GROUP if EVERYBODYS.contains(&name) => {
                Some("the firewall brings it along for everybody")
            }
            _ => None,
        }
    }
}

/// What names of virtual firewalls are made of.
fn is_plain(it: char) -> bool {
    it.is_ascii_alphanumeric() || matches!(it, '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    pub(crate) fn valid() -> Json {
        json!({
            "vdom": "root", "parent": "port2", "policyAnchor": {"before": "deny-and-log"},
            "internet": {"interface": "port1"}, "external": ["203.0.113.16/28"],
            "places": {"services": {"interface": "port3", "addresses": ["host-dns"]}},
        })
    }

    #[test]
    fn what_is_the_hosts_is_no_tenants() {
        let settings = Settings::read(&valid()).unwrap();
        for (kind, name, key, own) in [
            (POLICY, "deny-and-log", "2", true),
            (POLICY, "by hand", "2", false),
            (INTERFACE, "port2", "port2", true),
            (INTERFACE, "port1", "port1", true),
            (ZONE, "port3", "port3", true),
            (INTERFACE, "vlan1310", "vlan1310", false),
            (ADDRESS, "host-dns", "host-dns", true),
            (ADDRESS_GROUP, "host-dns", "host-dns", true),
            (SERVICE, "host-dns", "host-dns", false),
            (ADDRESS, "vertskommune.claim", "vertskommune.claim", true),
            (ADDRESS, "all", "all", true),
            (SERVICE, "ALL", "ALL", true),
        ] {
            assert_eq!(settings.hosts_own(kind, name, key).is_some(), own, "{kind} {name}");
        }
        let by_id = Settings { anchor: "2".to_owned(), ..settings };
        assert!(by_id.hosts_own(POLICY, "deny-and-log", "2").is_some());
    }

    #[test]
    fn each_mistake_is_named_by_its_field() {
        type Break = fn(&mut Json);
        assert!(Settings::read(&valid()).is_ok());
        let rows: [(Break, &str); 12] = [
            (|it| it["vdom"] = json!(""), "spec.settings.vdom"),
            (|it| it["vdom"] = json!("a/b"), "spec.settings.vdom"),
            (|it| it["internet"]["interface"] = json!("any"), "spec.settings.internet.interface"),
            (|it| it["policyAnchor"]["before"] = json!(null), "spec.settings.policyAnchor.before"),
            (|it| it["internet"]["interface"] = json!(""), "spec.settings.internet.interface"),
            (
                |it| it["places"]["services"]["interface"] = json!(""),
                "spec.settings.places.services.interface",
            ),
            (|it| it["external"][0] = json!("x"), "spec.settings.external[0]"),
            (
                |it| it["places"]["services"]["networks"] = json!(["10.13.0.0/33"]),
                "spec.settings.places.services.networks[0]",
            ),
            (
                |it| it["places"]["services"]["addresses"] = json!({"host-dns": "x"}),
                "spec.settings.places.services.addresses.host-dns",
            ),
            (
                |it| {
                    it["places"]["services"]["networks"] = json!(["10.13.0.0/24"]);
                    it["places"]["services"]["addresses"] = json!({"host-dns": "10.14.0.5"});
                },
                "spec.settings.places.services.addresses.host-dns",
            ),
            (|it| it["dedicated"] = json!({"network": "x"}), "spec.settings"),
            (|it| it["surprise"] = json!(1), "spec.settings"),
        ];
        for (spoil, field) in rows {
            let mut settings = valid();
            spoil(&mut settings);
            let violations = Settings::read(&settings).unwrap_err();
            assert_eq!(violations.iter().map(|v| v.field.as_str()).collect::<Vec<_>>(), [field]);
        }
    }
}
