//! What a tenant's things are called on the device: names that follow from the manifest alone, within FortiOS's limits
//! (`config firewall …` in the CLI reference gives the size of each). All of them have a dot or a
//! tilde, so that none is a word of FortiOS's own such as `all` or `any`, or the name of a virtual firewall.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use vertskommune_core::firewall::{Firewall, Written};
use vertskommune_core::resource::Resource;

/// The most characters of the name of an interface, without its ending.
const INTERFACE: usize = 15;
/// Of a zone and of a policy.
const SHORT: usize = 35;
/// Of everything else.
const OBJECT: usize = 79;
/// How much of a hash tells two long names apart.
const HASH: usize = 8;

/// The VLAN interface of a network.
pub(crate) fn interface(tenant: &str, network: &str) -> String {
    fit(&format!("{tenant}.{network}"), INTERFACE)
}

/// The zone that holds a tenant's interfaces.
pub(crate) fn zone(tenant: &str) -> String {
    fit(&format!("zone.{tenant}"), SHORT)
}

/// An address, group, service, virtual IP. What this plugin adds to a manifest has colons in its key, which no name of a
/// manifest has, and FortiOS is not asked to take them.
pub(crate) fn object(tenant: &str, name: &str) -> String {
    fit(&format!("{tenant}.{}", name.replace(':', ".")), OBJECT)
}

/// The virtual firewall of a tenant's own: at most eleven characters, and none that FortiOS refuses there. Its end is a hash
/// of installation and tenant, which nobody comes by without meaning it.
pub(crate) fn vdom(installation: &str, tenant: &str) -> String {
    let head: String = tenant.chars().take(4).collect();
    format!("{head}-{}", proof(installation, tenant))
}

/// The link between that and the host's, which has nothing but its name to say whose it is.
pub(crate) fn link(installation: &str, tenant: &str) -> String {
    let head: String = tenant.chars().take(4).collect();
    format!("{head}_{}", proof(installation, tenant))
}

/// The interface at the host's end of a link, which FortiOS names.
pub(crate) fn host_end(link: &str) -> String {
    format!("{link}0")
}

/// The interface at the tenant's end.
pub(crate) fn tenant_end(link: &str) -> String {
    format!("{link}1")
}

/// Six letters and digits of a hash: thirty bits.
fn proof(installation: &str, tenant: &str) -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let digest = Sha256::digest(format!("{installation}/{tenant}").as_bytes());
    digest.iter().take(6).map(|byte| char::from(DIGITS[usize::from(byte & 31)])).collect()
}

/// A schedule, which has no comment: its name ends with a hash of the rest and of the installation, which nobody comes
/// by without meaning it.
pub(crate) fn schedule(installation: &str, tenant: &str, name: &str) -> String {
    let head = format!("{}.{}", schedule_prefix(tenant), schedule_key(name));
    format!("{head}~{}", hash(&format!("{installation}/{head}")))
}

/// What a schedule is known by within its tenant.
pub(crate) fn schedule_key(name: &str) -> String {
    fit(name, 11)
}

/// What the names of a tenant's schedules begin with.
pub(crate) fn schedule_prefix(tenant: &str) -> String {
    fit(tenant, 10)
}

/// The prefix and the key of a schedule that this installation made.
pub(crate) fn read_schedule<'a>(installation: &str, name: &'a str) -> Option<(&'a str, &'a str)> {
    let (head, proof) = name.rsplit_once('~')?;
    (hash(&format!("{installation}/{head}")) == proof).then(|| head.split_once('.')).flatten()
}

/// A policy.
pub(crate) fn policy(tenant: &str, rule: &str) -> String {
    fit(&format!("{tenant}.{}", rule.replace(':', ".")), SHORT - 2)
}

/// All names that a policy may have, the first before the others: one that replaces another stands beside it for a moment,
/// and a crash may leave that one behind, which is not to go before there is a third.
pub(crate) fn policies(tenant: &str, rule: &str) -> impl Iterator<Item = String> {
    let first = policy(tenant, rule);
    std::iter::once(first.clone()).chain((2..=9).map(move |nth| format!("{first}~{nth}")))
}

/// The names that a tenant's things have on the device where others refer to them: what is taken over keeps the one that
/// it has there.
pub(crate) struct Names<'a> {
    tenant: &'a str,
    firewall: &'a Firewall,
    addresses: BTreeMap<&'a str, &'a str>,
    services: BTreeMap<&'a str, &'a str>,
}

/// A name on the device.
pub(crate) struct Named {
    pub(crate) name: String,
    /// Whether something stands under it that is to be taken over.
    adopted: bool,
}

impl<'a> Names<'a> {
    pub(crate) fn new(tenant: &'a str, firewall: &'a Firewall) -> Self {
        let taken = |name: &'a String, written: &'a Written| Some((name.as_str(), written.adopt.as_deref()?));
        let of_networks_and_servers =
            firewall.adopt.addresses.iter().map(|(name, adopt)| (name.as_str(), adopt.as_str()));
        let addresses = (firewall.addresses.iter().filter_map(|it| taken(&it.name, &it.written)))
            .chain(firewall.address_groups.iter().filter_map(|it| taken(&it.name, &it.written)))
            .chain(firewall.published.iter().filter_map(|it| taken(&it.name, &it.written)))
            .chain(of_networks_and_servers)
            .collect();
        let services = (firewall.services.iter().filter_map(|it| taken(&it.name, &it.written)))
            .chain(firewall.service_groups.iter().filter_map(|it| taken(&it.name, &it.written)))
            .collect();
        Self { tenant, firewall, addresses, services }
    }

    /// The zone of the tenant's networks.
    pub(crate) fn zone(&self) -> Named {
        named(self.firewall.adopt.zone.as_deref(), || zone(self.tenant))
    }

    /// The interface of a network.
    pub(crate) fn interface(&self, network: &str) -> Named {
        let adopted = self.firewall.adopt.interfaces.get(network);
        named(adopted.map(String::as_str), || interface(self.tenant, network))
    }

    /// The address object, group or virtual IP that the tenant calls so.
    pub(crate) fn address(&self, name: &str) -> Named {
        named(self.addresses.get(name).copied(), || object(self.tenant, name))
    }

    /// The service or group of services that the tenant calls so.
    pub(crate) fn service(&self, name: &str) -> Named {
        named(self.services.get(name).copied(), || object(self.tenant, name))
    }
}

impl Named {
    /// The thing under this name.
    pub(crate) fn of(&self, thing: Resource) -> Resource {
        let mut thing = thing.with("name", self.name.clone());
        thing.permits.adopt = self.adopted.then(|| self.name.clone());
        thing
    }
}

fn named(adopted: Option<&str>, ours: impl FnOnce() -> String) -> Named {
    Named { name: adopted.map_or_else(ours, str::to_owned), adopted: adopted.is_some() }
}

/// The name itself where it is short enough; otherwise its beginning and a hash of all of it.
fn fit(name: &str, most: usize) -> String {
    if name.len() <= most {
        return name.to_owned();
    }
    let head = &name[..name.floor_char_boundary(most - HASH - 1)];
    format!("{head}~{}", hash(name))
}

fn hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().flat_map(|byte| [byte >> 4, byte & 15]).take(HASH).map(digit).collect()
}

fn digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_within_the_limits_and_tell_apart() {
        let tenant = "a-municipality-with-a-long-name";
        for (one, other, most) in [
            (interface(tenant, "servers"), interface(tenant, "clients"), 15),
            (zone(tenant), zone("b-municipality-with-a-long-name"), 35),
            (policy(tenant, "clients-to-files"), policy(tenant, "clients-to-dns"), 35),
            (
                schedule("nord", tenant, "school.office-hours"),
                schedule("nord", tenant, "school.school-hours"),
                31,
            ),
            (object(tenant, "x"), object(tenant, "y"), 79),
        ] {
            assert!(one.len() <= most && other.len() <= most, "{one} {other}");
            assert_ne!(one, other);
        }
        let name = schedule("nord", "ibestad", "office-hours");
        assert_eq!(read_schedule("nord", &name), Some(("ibestad", schedule_key("office-hours").as_str())));
        assert_eq!(read_schedule("sor", &name), None, "another installation's");
        assert_eq!(read_schedule("nord", "ibestad.office-hours"), None, "a lookalike");
        for word in ["all", "any", "none", "always", "root", "global", "ALL"] {
            for name in [
                interface(word, word),
                zone(word),
                object(word, word),
                policy(word, word),
                schedule("nord", word, word),
            ] {
                assert!(name.contains(['.', '~']), "{name}");
            }
        }
        let long = "Gáivuotna-".repeat(12);
        assert!(object("x", &long).len() <= 79 && interface("x", &long).len() <= 15, "bytes are counted");
        assert_eq!(interface("ibestad", "servers"), "ibestad.servers");
        assert_eq!(policy("ibestad", "clients-to-files"), "ibestad.clients-to-files");
        for tenant in ["ibestad", tenant, "a"] {
            let (vdom, link) = (vdom("nord", tenant), link("nord", tenant));
            assert!(vdom.len() <= 11 && link.len() <= 11, "{vdom} {link}");
            assert!(vdom.chars().all(|it| it.is_ascii_alphanumeric() || it == '-'), "{vdom}");
            assert_ne!(vdom, super::vdom("sor", tenant), "another installation's");
            assert_ne!(vdom, super::vdom("nord", &format!("{tenant}x")), "another tenant's");
            let all: std::collections::BTreeSet<String> = policies(tenant, "clients-to-files").collect();
            assert_eq!(all.len(), 9);
            assert!(all.iter().all(|name| name.len() <= 35), "{all:?}");
        }
    }
}
