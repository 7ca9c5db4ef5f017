//! What a `HostProvider` says to this plugin: where the host's directory is, whom to trust there, and what the tenants' side has to
//! know of it.

use std::net::IpAddr;

use serde::Deserialize;
use ssh_session::HostKey;
use vertskommune_core::host::Host;
use vertskommune_core::names::{is_domain_name, is_domain_sid, is_netbios_name};
use vertskommune_core::violation::Violation;
use vertskommune_provider_ssh::address;

use crate::agent::Address;
use crate::ldap::{Reader, authorities};

/// LDAPS where no port is named.
const LDAPS: u16 = 636;

/// The entry of the Secret with the reading account's password.
const PASSWORD: &str = "ldapPassword";

/// An endpoint for this plugin, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The agent on the PDC emulator.
    pub(crate) agent: Address,
    /// The key that its host must show.
    pub(crate) host_key: HostKey,
    /// The Secret with the key that it lets in, and with the password of the reading account.
    pub(crate) credentials: String,
    /// The host's domain, the root of its forest.
    pub(crate) domain: String,
    /// The same by its NetBIOS name.
    pub(crate) netbios: String,
    /// Its SID. A directory with another is another.
    pub(crate) sid: String,
    /// Its controllers, for tickets from the other side.
    pub(crate) controllers: Vec<String>,
    /// What the tenants' DNS is to ask for its names.
    pub(crate) dns: Vec<IpAddr>,
    /// How it is read without its agent; not at all where no account is named.
    pub(crate) reader: Option<Reader>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    domain: String,
    netbios_name: String,
    domain_sid: String,
    controllers: Vec<String>,
    dns_servers: Vec<IpAddr>,
    #[serde(default)]
    ldap: Option<WrittenLdap>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenLdap {
    server: String,
    #[serde(default)]
    address: Option<String>,
    user: String,
    ca: String,
}

impl Settings {
    /// Reads an endpoint, or says all that is wrong with it.
    pub(crate) fn read(host: &Host) -> Result<Self, Vec<Violation>> {
        let mut violations = Vec::new();
        let mut wrong = |field: &str, message: String| violations.push(Violation::new(field, message));
        let agent = Address::read(&host.endpoint);
        if agent.is_none() {
            let message = format!(
                "{:?} is no directory agent: write ssh://root@host or ssh://user@host:port, the PDC emulator's",
                host.endpoint
            );
            wrong("spec.endpoint", message);
        }
        let host_key = host.identity.parse::<HostKey>();
        if let Err(error) = &host_key {
            let message = format!(
                "{error}: write the controller's whole public host key, as in /etc/ssh/ssh_host_ed25519_key.pub"
            );
            wrong("spec.identity", message);
        }
        if host.credentials.is_none() {
            let message = "name a Secret with id_ed25519, the private key that the agent lets in, and with ldapPassword \
                           where settings.ldap names an account";
            wrong("spec.credentials", message.to_owned());
        }
        let written = Written::deserialize(&host.settings);
        if let Err(error) = &written {
            wrong("spec.settings", error.to_string());
        }
        if let Ok(written) = &written {
            check(written, &mut wrong);
        }
        match (agent, host_key, &host.credentials, written) {
            (Some(agent), Ok(host_key), Some(credentials), Ok(written)) if violations.is_empty() => {
                let reader = written.ldap.map(|ldap| reader(ldap, &written.domain, credentials));
                Ok(Self {
                    agent,
                    host_key,
                    credentials: credentials.clone(),
                    domain: written.domain,
                    netbios: written.netbios_name,
                    sid: written.domain_sid,
                    controllers: written.controllers,
                    dns: written.dns_servers,
                    reader,
                })
            }
            _ => Err(violations),
        }
    }
}

fn check(written: &Written, wrong: &mut impl FnMut(&str, String)) {
    let names = written.controllers.iter().enumerate();
    let names = names.map(|(i, name)| (format!("controllers[{i}]"), name));
    for (field, name) in [("domain".to_owned(), &written.domain)].into_iter().chain(names) {
        if !is_domain_name(name) {
            let message = format!("{name:?} is no DNS name in lower case: write such as host.no");
            wrong(&format!("spec.settings.{field}"), message);
        }
    }
    let netbios = &written.netbios_name;
    if !is_netbios_name(netbios) {
        let message =
            format!("{netbios:?} is no NetBIOS name: write at most 15 capitals, digits and hyphens");
        wrong("spec.settings.netbiosName", message);
    }
    let sid = &written.domain_sid;
    if !is_domain_sid(sid) {
        let message =
            format!("{sid:?} is no SID of a domain: write such as S-1-5-21-1-2-3, as Get-ADDomain shows it");
        wrong("spec.settings.domainSid", message);
    }
    for (field, count, most) in
        [("controllers", written.controllers.len(), 16), ("dnsServers", written.dns_servers.len(), 8)]
    {
        if count == 0 || count > most {
            wrong(&format!("spec.settings.{field}"), format!("write one to {most}, where there are {count}"));
        }
    }
    if let Some(ldap) = &written.ldap {
        if !is_domain_name(&ldap.server) {
            let message =
                format!("{:?} is no DNS name: write the one that stands in its certificate", ldap.server);
            wrong("spec.settings.ldap.server", message);
        }
        if ldap.address.as_deref().is_some_and(|address| place(address).is_none()) {
            wrong("spec.settings.ldap.address", "write a name or an address, and perhaps a port".to_owned());
        }
        if !ldap.user.contains(['@', '\\']) {
            wrong(
                "spec.settings.ldap.user",
                "write such as reader@host.no: a plain account, no administrator".to_owned(),
            );
        }
        if let Err(why) = authorities(&ldap.ca) {
            wrong("spec.settings.ldap.ca", format!("write the certificate of the authority in PEM: {why}"));
        }
    }
}

fn reader(ldap: WrittenLdap, domain: &str, credentials: &str) -> Reader {
    let (host, port) =
        ldap.address.as_deref().and_then(place).unwrap_or_else(|| (ldap.server.clone(), LDAPS));
    Reader {
        name: ldap.server,
        address: host,
        port,
        authority: ldap.ca,
        domain: domain.to_owned(),
        user: ldap.user,
        secret: credentials.to_owned(),
        entry: PASSWORD.to_owned(),
    }
}

/// Host and port.
fn place(text: &str) -> Option<(String, u16)> {
    let with_port = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let (host, port) = address(&format!("ssh://{text}"))?;
    Some((host, if with_port { port } else { LDAPS }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::host;

    #[test]
    fn valid_settings_are_read() {
        let settings = Settings::read(&host()).unwrap();
        assert_eq!((settings.domain.as_str(), settings.agent.port), ("host.test", 22));
        let reader = settings.reader.unwrap();
        assert_eq!((reader.address.as_str(), reader.port), ("10.77.0.10", 636));
        let mut bare = host();
        bare.settings.as_object_mut().unwrap().remove("ldap");
        assert!(Settings::read(&bare).unwrap().reader.is_none());
    }

    #[test]
    fn each_mistake_is_named_by_its_field() {
        type Break = fn(&mut Host);
        let rows: [(Break, &str); 15] = [
            (|it| it.endpoint = "ldaps://hostdc".to_owned(), "spec.endpoint"),
            (|it| it.identity = "SHA256:abc".to_owned(), "spec.identity"),
            (|it| it.credentials = None, "spec.credentials"),
            (|it| it.settings["surprise"] = json!(1), "spec.settings"),
            (|it| it.settings["domain"] = json!("HOST.TEST"), "spec.settings.domain"),
            (|it| it.settings["netbiosName"] = json!("host"), "spec.settings.netbiosName"),
            (|it| it.settings["domainSid"] = json!("S-1-5-32-544"), "spec.settings.domainSid"),
            (|it| it.settings["domainSid"] = json!("S-1-5-21-01-2-3"), "spec.settings.domainSid"),
            (|it| it.settings["controllers"] = json!(["10.77.0.10"]), "spec.settings.controllers[0]"),
            (|it| it.settings["controllers"] = json!([]), "spec.settings.controllers"),
            (|it| it.settings["controllers"] = json!(["$(id).host.test"]), "spec.settings.controllers[0]"),
            (|it| it.settings["dnsServers"] = json!([]), "spec.settings.dnsServers"),
            (|it| it.settings["ldap"]["server"] = json!("10.77.0.10"), "spec.settings.ldap.server"),
            (|it| it.settings["ldap"]["user"] = json!("reader"), "spec.settings.ldap.user"),
            (|it| it.settings["ldap"]["ca"] = json!("none"), "spec.settings.ldap.ca"),
        ];
        for (spoil, field) in rows {
            let mut host = host();
            spoil(&mut host);
            let violations = Settings::read(&host).unwrap_err();
            assert_eq!(violations.iter().map(|it| it.field.as_str()).collect::<Vec<_>>(), [field]);
        }
    }
}
