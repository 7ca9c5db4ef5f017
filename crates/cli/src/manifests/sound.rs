//! The sound part of a refused manifest, so that its other mistakes are found in the same run: what collides with
//! other tenants or lies outside of the host's ground. Only ever checked, never planned.

use std::collections::BTreeSet;

use vertskommune_api::manifest::Origin;
use vertskommune_api::{Catalogue, Tenant, validate_tenant};
use vertskommune_core::tenant::ValidatedTenant;
use vertskommune_core::violation::Violation;

/// One mistake can hide the next, but not many times.
const ROUNDS: usize = 8;

/// In place of a quota that is no size, or too small: that has been said.
const LARGEST: &str = "8191Pi";

/// A tenant as far as it is sound.
pub(crate) struct SoundPart {
    pub(crate) tenant: ValidatedTenant,
    pub(crate) origin: Origin,
    kept: Kept,
}

/// Where what is left stood in the manifest.
#[derive(Default)]
struct Kept {
    networks: Vec<usize>,
    servers: Vec<(usize, Vec<usize>)>,
}

/// What is wrong, as far as it can be left out.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Wrong {
    Network(usize),
    Server(usize),
    Interface(usize, usize),
    Disk(usize, usize),
}

impl SoundPart {
    /// The whole of a tenant with nothing wrong.
    pub(super) fn whole(tenant: ValidatedTenant, origin: Origin) -> Self {
        let kept = Kept {
            networks: (0..tenant.networks.len()).collect(),
            servers: tenant
                .servers
                .iter()
                .map(|server| (0..server.interfaces.len()).collect())
                .enumerate()
                .collect(),
        };
        Self { tenant, origin, kept }
    }

    /// What is left of a refused one; `None` where that is nothing to speak of.
    pub(super) fn of_refused(manifest: &Tenant, catalogue: &Catalogue, origin: Origin) -> Option<Self> {
        let mut manifest = manifest.clone();
        let spec = &manifest.spec;
        let mut kept = Kept {
            networks: (0..spec.networks.len()).collect(),
            servers: spec
                .servers
                .iter()
                .map(|server| (0..server.interfaces.len()).collect())
                .enumerate()
                .collect(),
        };
        for _ in 0..ROUNDS {
            match validate_tenant(&manifest, catalogue) {
                Ok(tenant) => return Some(Self { tenant, origin, kept }),
                Err(violations) => leave_out(&mut manifest, &mut kept, &violations),
            }
        }
        None
    }

    /// The field as the manifest has it, of a field of the sound part.
    pub(crate) fn field(&self, field: &str) -> String {
        if let Some((at, rest)) = index(field, "spec.networks") {
            return format!("spec.networks[{}]{rest}", self.kept.networks.get(at).copied().unwrap_or(at));
        }
        let Some((at, rest)) = index(field, "spec.servers") else { return field.to_owned() };
        let Some((server, interfaces)) = self.kept.servers.get(at) else { return field.to_owned() };
        match index(rest, ".interfaces") {
            Some((at, rest)) => {
                let interface = interfaces.get(at).copied().unwrap_or(at);
                format!("spec.servers[{server}].interfaces[{interface}]{rest}")
            }
            None => format!("spec.servers[{server}]{rest}"),
        }
    }
}

/// The index behind `list`, and what follows it.
fn index<'a>(field: &'a str, list: &str) -> Option<(usize, &'a str)> {
    let (at, rest) = field.strip_prefix(list)?.strip_prefix('[')?.split_once(']')?;
    Some((at.parse().ok()?, rest))
}

/// Leaves out what is wrong, as little as possible.
fn leave_out(manifest: &mut Tenant, kept: &mut Kept, violations: &[Violation]) {
    let mut wrong = BTreeSet::new();
    for violation in violations {
        let field = violation.field.as_str();
        if let Some((at, rest)) = index(field, "spec.networks") {
            wrong.extend(in_network(manifest, at, rest));
        } else if let Some((at, rest)) = index(field, "spec.servers") {
            wrong.extend(in_server(manifest, at, rest));
        } else {
            at_large(manifest, field);
        }
    }
    let spec = &mut manifest.spec;
    retain(&mut spec.networks, |at| !wrong.contains(&Wrong::Network(at)));
    retain(&mut kept.networks, |at| !wrong.contains(&Wrong::Network(at)));
    for (at, (server, (_, interfaces))) in spec.servers.iter_mut().zip(&mut kept.servers).enumerate() {
        retain(&mut server.interfaces, |inner| !wrong.contains(&Wrong::Interface(at, inner)));
        retain(interfaces, |inner| !wrong.contains(&Wrong::Interface(at, inner)));
        retain(&mut server.disks, |inner| !wrong.contains(&Wrong::Disk(at, inner)));
    }
    retain(&mut spec.servers, |at| !wrong.contains(&Wrong::Server(at)));
    retain(&mut kept.servers, |at| !wrong.contains(&Wrong::Server(at)));
}

fn in_network(manifest: &mut Tenant, at: usize, rest: &str) -> Option<Wrong> {
    let network = manifest.spec.networks.get_mut(at)?;
    if rest.starts_with(".gateway") {
        network.gateway = None;
    } else if rest.starts_with(".dns") {
        network.dns.clear();
    } else {
        return Some(Wrong::Network(at));
    }
    None
}

fn in_server(manifest: &mut Tenant, at: usize, rest: &str) -> Option<Wrong> {
    if let Some((inner, _)) = index(rest, ".interfaces") {
        return Some(Wrong::Interface(at, inner));
    }
    if let Some((inner, _)) = index(rest, ".disks") {
        return Some(Wrong::Disk(at, inner));
    }
    let server = manifest.spec.servers.get_mut(at)?;
    match rest {
        ".vcpus" => server.vcpus = 1,
        ".memory" => server.memory = "4Mi".into(),
        ".antiAffinity" => server.anti_affinity = None,
        ".adopt" => server.adopt = None,
        ".recreate" => server.recreate = None,
        ".restartBefore" => server.restart_before = None,
        _ => return Some(Wrong::Server(at)),
    }
    None
}

fn at_large(manifest: &mut Tenant, field: &str) {
    let spec = &mut manifest.spec;
    match (field, &mut spec.compute) {
        ("spec.displayName", _) => "-".clone_into(&mut spec.display_name),
        ("spec.municipalityNumber", _) => spec.municipality_number = None,
        ("spec.compute.retireAfter", Some(compute)) => compute.retire_after = "720h".into(),
        ("spec.compute.quota.vcpus", Some(compute)) => compute.quota.vcpus = 65536,
        ("spec.compute.quota.memory", Some(compute)) => compute.quota.memory = LARGEST.into(),
        ("spec.compute.quota.storage", Some(compute)) => compute.quota.storage = LARGEST.into(),
        // Rules hang together: what is left of some of them would be another firewall.
        (field, _) if field.starts_with("spec.firewall") => spec.firewall = None,
        (field, _) if field.starts_with("spec.maintenance") => spec.maintenance = None,
        (field, _) if field.starts_with("metadata.annotations") => manifest.metadata.annotations = None,
        // Without a provider there is nothing to hold the servers against.
        (field, _) if field.starts_with("spec.compute") => {
            spec.compute = None;
            spec.servers.clear();
        }
        _ => {}
    }
}

fn retain<T>(items: &mut Vec<T>, keep: impl Fn(usize) -> bool) {
    let mut at = 0;
    items.retain(|_| {
        at += 1;
        keep(at - 1)
    });
}
