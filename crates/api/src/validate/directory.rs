//! The directory of a tenant: its trust with the host's.

use vertskommune_core::directory::{Access, Directory, Partner, TrustKind};
use vertskommune_core::names::{
    NETBIOS, ProviderName, is_domain_name, is_domain_sid, is_label, is_netbios_name,
};

use super::address;
use super::fields::Fields;
use super::server::is_computer_name;
use crate::rules::{MAX_ALLOWED, MAX_CONTROLLERS};
use crate::tenant::directory as written;
use crate::tenant::directory::{PartnerMode, Side, TrustType};

/// The directory that is written; what is wrong with it is noted.
pub(super) fn directory(written: &written::Directory, fields: &mut Fields) -> Option<Directory> {
    fields.label(&at("provider"), &written.provider, 63);
    domain(&at("domain"), &written.domain, "ibestad.local", fields);
    let netbios = netbios(written, fields);
    fields.entries(&at("domainControllers"), written.domain_controllers.len(), MAX_CONTROLLERS);
    let some = !written.domain_controllers.is_empty();
    fields.must(
        some,
        &at("domainControllers"),
        "is empty: name at least one, such as ibe-dc01.ibestad.local",
    );
    for (i, name) in written.domain_controllers.iter().enumerate() {
        domain(&at(&format!("domainControllers[{i}]")), name, "ibe-dc01.ibestad.local", fields);
    }
    fields.entries(&at("dnsServers"), written.dns_servers.len(), MAX_CONTROLLERS);
    fields.must(!written.dns_servers.is_empty(), &at("dnsServers"), "is empty: write at least one address");
    let dns = written.dns_servers.iter().enumerate();
    let dns =
        dns.filter_map(|(i, text)| fields.take(&at(&format!("dnsServers[{i}]")), address::address(text)));
    let dns = dns.collect();
    let (to_host, to_tenant) = access(&written.access, fields);
    let partner = partner(&written.partner_side, fields);
    let sid = sid(written, fields);
    let time = |name: &str, text: &Option<String>, fields: &mut Fields| {
        text.as_deref().and_then(|text| fields.time(&at(name), text))
    };
    let new_secret_after = time("newSecretAfter", &written.new_secret_after, fields);
    let restart_before = time("restartBefore", &written.restart_before, fields);
    Some(Directory {
        provider: ProviderName::from(written.provider.as_str()),
        domain: written.domain.clone(),
        netbios,
        sid,
        kind: match written.kind {
            TrustType::Forest => TrustKind::Forest,
            TrustType::External => TrustKind::External,
        },
        to_host,
        to_tenant,
        controllers: written.domain_controllers.clone(),
        dns,
        partner: partner?,
        new_secret_after,
        restart_before,
    })
}

fn at(field: &str) -> String {
    format!("spec.directory.{field}")
}

/// A DNS name of several labels, and no address: Kerberos knows names alone.
fn domain(field: &str, text: &str, example: &str, fields: &mut Fields) {
    let message = format!(
        "{text:?} is no DNS name: write labels of lower-case letters, digits and hyphens, such as {example}"
    );
    fields.must(is_domain_name(text), field, message);
}

fn netbios(written: &written::Directory, fields: &mut Fields) -> String {
    let field = at("netbiosName");
    if let Some(name) = &written.netbios_name {
        let message = format!(
            "{name:?} is no NetBIOS name: write at most 15 capitals, digits and hyphens, as `nltest /dsgetdc:` shows it"
        );
        fields.must(is_netbios_name(name), &field, message);
        return name.clone();
    }
    let label = written.domain.split('.').next().unwrap_or_default();
    let message = format!(
        "is missing: the first label of {:?} has more than 15 characters, so write the name",
        written.domain
    );
    fields.must(label.len() <= NETBIOS, &field, message);
    label.to_ascii_uppercase()
}

/// The SID, where it is written.
fn sid(written: &written::Directory, fields: &mut Fields) -> Option<String> {
    let field = at("domainSid");
    let Some(sid) = &written.domain_sid else {
        let message = "is missing: with partnerSide.mode Manual nobody of ours is there to tell it";
        fields.must(written.partner_side.mode == PartnerMode::Agent, &field, message);
        return None;
    };
    let message =
        format!("{sid:?} is no SID of a domain: write such as S-1-5-21-1-2-3, as Get-ADDomain shows it");
    fields.must(is_domain_sid(sid), &field, message);
    Some(sid.clone())
}

/// The access to the host's services, and that to the tenant's.
fn access(written: &[written::Access], fields: &mut Fields) -> (Option<Access>, Option<Access>) {
    let field = at("access");
    fields.must(!written.is_empty(), &field, "is empty: say whose users reach whose services");
    let ways = written
        .iter()
        .enumerate()
        .map(|(i, it)| (format!("{field}[{i}].usersOf"), it.users_of == Side::Tenant));
    fields.unique(ways, |_, first| format!("is the same as {first}: write one entry for each way"));
    let (mut to_host, mut to_tenant) = (None, None);
    for (i, entry) in written.iter().enumerate() {
        let at = |name: &str| format!("{field}[{i}].{name}");
        let message = "is the same side as usersOf: users of a side reach its own services without a trust";
        fields.must(entry.users_of != entry.services_of, &at("servicesOf"), message);
        let allowed = allowed(entry, &at("allowedToAuthenticate"), fields);
        let access =
            Access { selective: entry.selective_authentication, filters_sids: entry.sid_filtering, allowed };
        match entry.users_of {
            Side::Tenant => to_host = Some(access),
            Side::Host => to_tenant = Some(access),
        }
    }
    (to_host, to_tenant)
}

fn allowed(written: &written::Access, field: &str, fields: &mut Fields) -> Vec<String> {
    let names = &written.allowed_to_authenticate;
    fields.entries(field, names.len(), MAX_ALLOWED);
    fields.must(
        names.is_empty() || written.selective_authentication,
        field,
        "counts only where authentication is selective: write selectiveAuthentication: true, or remove it",
    );
    let upper: Vec<_> = names.iter().map(|name| name.to_ascii_uppercase()).collect();
    let entries = upper.iter().enumerate().map(|(i, name)| (format!("{field}[{i}]"), name));
    let entries: Vec<_> = entries.collect();
    fields.unique(entries.iter().cloned(), |name, first| {
        format!("{name:?} is {first} already: remove one of the two")
    });
    for (field, name) in entries {
        let message = format!(
            "{name:?} is no computer name: write at most 15 letters, digits and hyphens, not digits alone"
        );
        fields.must(is_computer_name(name), &field, message);
    }
    upper
}

fn partner(written: &written::PartnerSide, fields: &mut Fields) -> Option<Partner> {
    let field = |name: &str| at(&format!("partnerSide.{name}"));
    let given = [("endpoint", &written.endpoint), ("identity", &written.identity)];
    let secret = written.secret_ref.clone();
    fields.label(&field("secretRef"), &secret, 63);
    match written.mode {
        PartnerMode::Manual => {
            for (name, value) in given {
                let message = "is only for mode Agent: remove it, or write mode: Agent";
                fields.must(value.is_none(), &field(name), message);
            }
            Some(Partner::Manual { secret })
        }
        PartnerMode::Agent => {
            for (name, value) in given {
                let message = "is missing: mode Agent needs to know whom to reach and with what; mode Manual needs none";
                fields.must(value.is_some(), &field(name), message);
            }
            let (endpoint, identity) = (written.endpoint.clone()?, written.identity.clone()?);
            let formed = endpoint.strip_prefix("ssh://").is_some_and(is_place);
            let message = format!(
                "{endpoint:?} is no place of an agent: write such as ssh://10.13.10.5:22 or ssh://svc-trust@ibe-dc01.ibestad.local"
            );
            fields.must(formed, &field("endpoint"), message);
            fields.text(&field("identity"), &identity, 1024);
            Some(Partner::Agent { endpoint, identity, secret })
        }
    }
}

/// Perhaps an account, then a name or address, and perhaps a port; no password, no path.
fn is_place(text: &str) -> bool {
    match text.rsplit_once('@') {
        Some((account, place)) => is_account(account) && is_host_and_port(place),
        None => is_host_and_port(text),
    }
}

/// An account on Linux or on Windows, and nothing that a command would take for an option.
fn is_account(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=64).contains(&name.len()) && !name.starts_with('-') && name.chars().all(plain)
}

/// A name or address, and perhaps a port.
fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            host.parse::<std::net::Ipv4Addr>().is_ok()
                || host.split('.').all(|it| it.len() <= 63 && is_label(it))
        }
    };
    is_host
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0) && !port.starts_with('+'))
}
