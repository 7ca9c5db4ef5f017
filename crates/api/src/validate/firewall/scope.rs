//! What a name within one part of a firewall means: something of that part, of the tenant, of the host, or a word.

use std::net::IpAddr;

use ipnet::IpNet;
use vertskommune_core::firewall::{Address, AddressKind, Firewall, Peer, Peers, Side};

use super::{Known, note, side_of};
use crate::tenant::firewall as written;
use crate::validate::fields::Fields;

/// The word for whoever is outside.
pub(super) const INTERNET: &str = "internet";
/// What a place of the host's is written with.
const HOST: &str = "host:";

/// One part of a firewall: the tenant's own, or that of a rule set.
pub(super) struct Scope<'a> {
    /// The field of the manifest that what is wrong is said of.
    pub(super) field: &'a str,
    /// The rule set.
    pub(super) set: Option<&'a str>,
    pub(super) part: &'a written::Fragment,
    pub(super) known: &'a Known<'a>,
}

impl Scope<'_> {
    /// A field of this part. What a rule set gives is said of the entry that pins it.
    pub(super) fn at(&self, field: &str) -> String {
        match self.set {
            None => format!("{}.{field}", self.field),
            Some(_) => self.field.to_owned(),
        }
    }

    /// The name within the tenant of something that this part makes.
    pub(super) fn own_name(&self, name: &str) -> String {
        self.set.map_or_else(|| name.to_owned(), |set| format!("{set}.{name}"))
    }

    /// Who these names mean, all on one side of the firewall.
    pub(super) fn peers(
        &self,
        names: &[String],
        field: &str,
        inward: bool,
        made: &mut Firewall,
        fields: &mut Fields,
    ) -> Option<Peers> {
        fields.must(!names.is_empty(), field, "is empty: name a network, a server, an address or internet");
        fields.entries(field, names.len(), 64);
        let mut found: Vec<(&str, Side, Peer)> = Vec::new();
        for (i, name) in names.iter().enumerate() {
            let field = if self.set.is_some() { field.to_owned() } else { format!("{field}[{i}]") };
            if let Some((side, peer)) = fields.take(&field, self.peer(name, inward, made)) {
                found.push((name, side, peer));
            }
        }
        let (first, side, _) = found.first()?;
        if let Some((other, ..)) = found.iter().find(|(_, it, _)| it != side) {
            let message = format!(
                "has {first} and {other} on different sides of the firewall: write a rule for each side"
            );
            fields.wrong(field, message);
        }
        let side = side.clone();
        let mut members: Vec<Peer> = found.into_iter().map(|(.., peer)| peer).collect();
        members.sort();
        members.dedup();
        // Whoever is there includes all others.
        if members.contains(&Peer::Any) {
            members = vec![Peer::Any];
        }
        Some(Peers { side, members })
    }

    fn peer(&self, name: &str, inward: bool, made: &mut Firewall) -> Result<(Side, Peer), String> {
        if name == INTERNET {
            return Ok((Side::Internet, Peer::Any));
        }
        if let Some(place) = name.strip_prefix(HOST) {
            return host(place);
        }
        if let Some(published) = made.published.iter().find(|it| it.name == name) {
            let outside =
                "is a published server: it can only stand in `to`, what comes from it comes from the server";
            return if inward {
                Ok((Side::Tenant, Peer::Published(published.name.clone())))
            } else {
                Err(format!("{name:?} {outside}"))
            };
        }
        if let Some(known) = self.own(name) {
            return known;
        }
        for name in [self.own_name(name), name.to_owned()] {
            if let Some(address) = made.addresses.iter().find(|it| it.name == name) {
                return Ok((address.side.clone(), Peer::Address(name)));
            }
            if let Some(group) = made.address_groups.iter().find(|it| it.name == name) {
                return Ok((group.side.clone(), Peer::Group(name)));
            }
        }
        match raw(name) {
            Some(net) => self.raw(net, made),
            None => Err(self.unknown(name, made)),
        }
    }

    /// A network or a server of the tenant.
    pub(super) fn own(&self, name: &str) -> Option<Result<(Side, Peer), String>> {
        if self.known.networks.iter().any(|it| it.name == name) {
            return Some(Ok((Side::Tenant, Peer::Network(name.to_owned()))));
        }
        let server = self.known.servers.iter().find(|it| it.name == name)?;
        let addressed = server.interfaces.iter().any(|interface| interface.address.is_some());
        Some(if addressed {
            Ok((Side::Tenant, Peer::Server(name.to_owned())))
        } else {
            Err(format!("{name} has no fixed address that a rule could name: write one in its interfaces"))
        })
    }

    /// An address object for an address that is written in a rule itself.
    fn raw(&self, net: IpNet, made: &mut Firewall) -> Result<(Side, Peer), String> {
        let side = side_of((net.network(), net.broadcast()), self.known, &made.routes)
            .map_err(|error| format!("{net} {error}"))?;
        let name = format!("raw-{}-{}", net.network().to_string().replace(['.', ':'], "-"), net.prefix_len());
        if !made.addresses.iter().any(|it| it.name == name) {
            let written = note(self.field, "", None);
            let what = AddressKind::Network(net);
            made.addresses.push(Address { name: name.clone(), what, side: side.clone(), written });
        }
        Ok((side, Peer::Address(name)))
    }

    fn unknown(&self, name: &str, made: &Firewall) -> String {
        let networks = self.known.networks.iter().map(|it| it.name.as_str());
        let addresses = made.addresses.iter().map(|it| it.name.as_str());
        let groups = made.address_groups.iter().map(|it| it.name.as_str());
        let known: Vec<&str> = networks.chain(addresses).chain(groups).take(12).collect();
        format!(
            "{name:?} is no network, server, address, group or published server of this municipality, and no address: \
             there are {}, its servers, internet and host:NAME",
            known.join(", ")
        )
    }

    /// The services that these names mean: of this part, of the tenant, or such as the firewall knows by itself.
    pub(super) fn services(
        &self,
        names: &[String],
        field: &str,
        made: &Firewall,
        fields: &mut Fields,
    ) -> Vec<String> {
        fields.must(!names.is_empty(), field, "is empty: name a service, such as HTTPS, or ALL");
        fields.entries(field, names.len(), 64);
        let exists = |name: &str| {
            made.services.iter().any(|it| it.name == name)
                || made.service_groups.iter().any(|it| it.name == name)
        };
        let mut found = Vec::new();
        for name in names {
            let scoped = self.own_name(name);
            match [scoped, name.clone()].into_iter().find(|name| exists(name)) {
                Some(own) => found.push(own),
                // The firewall's own are written in capitals; a name in small letters is one that was forgotten.
                None if name.chars().any(|letter| letter.is_ascii_lowercase()) && !name.contains(' ') => {
                    fields.wrong(
                        field,
                        format!("{name:?} is no service of this municipality: add it to services"),
                    );
                }
                None => {
                    fields.text(field, name, 79);
                    found.push(name.clone());
                }
            }
        }
        found.sort();
        found.dedup();
        found
    }

    pub(super) fn schedule(
        &self,
        name: &str,
        field: &str,
        made: &Firewall,
        fields: &mut Fields,
    ) -> Option<String> {
        let found = [self.own_name(name), name.to_owned()]
            .into_iter()
            .find(|name| made.schedules.iter().any(|it| it.name == *name));
        let missing = || format!("{name:?} is none of the schedules: add it, or correct the name");
        fields.take(field, found.ok_or_else(missing))
    }
}

fn host(place: &str) -> Result<(Side, Peer), String> {
    let (name, object) = place.split_once('/').map_or((place, None), |(name, object)| (name, Some(object)));
    let wrong =
        || format!("{:?} names no place: write host:NAME or host:NAME/OBJECT", format!("{HOST}{place}"));
    if name.is_empty() || object.is_some_and(str::is_empty) {
        return Err(wrong());
    }
    let peer = object.map_or(Peer::Any, |object| Peer::Host(object.to_owned()));
    Ok((Side::Host(name.to_owned()), peer))
}

/// An address or a network with its host bits zero.
fn raw(text: &str) -> Option<IpNet> {
    if let Ok(single) = text.parse::<IpAddr>() {
        return Some(single.into());
    }
    text.parse::<IpNet>().ok().filter(|net| *net == net.trunc())
}
