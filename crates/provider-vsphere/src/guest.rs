//! What a new guest is told when it first starts: the host's template, filled with the tenant's values.
//!
//! The template is the host's text and is compiled when the settings are read; what a tenant writes is only ever a
//! value of it. All values are names and addresses that validation has held to their forms.

use std::net::IpAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tera::{Context, Tera};
use vertskommune_core::tenant::{Server, ValidatedTenant};
use vsphere_client::{Adapter, Address, Customization, Identity, Secret};

/// How a guest is reached when it first starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum GuestKind {
    /// Not at all: the template sets itself up.
    #[default]
    None,
    /// cloud-init's VMware datasource, by `guestinfo`.
    CloudInit,
    /// vCenter's customization, by the text of a Sysprep answer file.
    Windows,
}

/// A compiled template of guest data.
pub(crate) struct Guest {
    kind: GuestKind,
    tera: Tera,
    has_metadata: bool,
}

/// The values that a guest's template is filled with, as they stand in a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Values {
    pub(crate) computer_name: String,
    pub(crate) tenant: String,
    /// The municipality's full name: free text, and the only one here.
    pub(crate) display_name: String,
    /// One for each interface, in their order.
    pub(crate) networks: Vec<Attachment>,
    /// Of the first interface.
    pub(crate) gateway: Option<IpAddr>,
    /// Of the first interface.
    pub(crate) dns: Vec<IpAddr>,
    /// Those that are fixed.
    pub(crate) addresses: Vec<IpAddr>,
}

/// One interface of a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attachment {
    pub(crate) name: String,
    pub(crate) vlan: u16,
    pub(crate) address: Option<IpAddr>,
    pub(crate) prefix: u8,
    pub(crate) netmask: IpAddr,
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) dns: Vec<IpAddr>,
}

/// What a clone's specification holds for its guest.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Settings of `extraConfig`.
    pub(crate) extra: Vec<(String, String)>,
    /// vCenter's own customization.
    pub(crate) customization: Option<Customization>,
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the text: an answer file may hold a product key or a password.
        f.debug_struct("Guest").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Guest {
    /// Compiles the host's text, or says what is wrong with it.
    pub(crate) fn compile(kind: GuestKind, data: &str, metadata: Option<&str>) -> Result<Self, String> {
        let mut tera = Tera::default();
        // The names decide what is escaped: an answer file is XML.
        for (name, text) in [(Self::data_name(kind), Some(data)), ("metadata.yaml", metadata)] {
            if let Some(text) = text {
                tera.add_raw_template(name, text).map_err(|error| format!("{name}: {error}"))?;
            }
        }
        let guest = Self { kind, tera, has_metadata: metadata.is_some() };
        // A name that no server has is found here, and not when the first one is made.
        guest.tell(&Values::sample(), "sample")?;
        Ok(guest)
    }

    fn data_name(kind: GuestKind) -> &'static str {
        match kind {
            GuestKind::Windows => "data.xml",
            GuestKind::None | GuestKind::CloudInit => "data.yaml",
        }
    }

    /// Fills the template. `instance` identifies the guest to cloud-init: another one means a new machine.
    pub(crate) fn tell(&self, values: &Values, instance: &str) -> Result<Told, String> {
        let context = Context::from_serialize(values).map_err(|error| error.to_string())?;
        let render = |name| self.tera.render(name, &context).map_err(|error| error.to_string());
        Ok(match self.kind {
            GuestKind::None => Told::default(),
            GuestKind::CloudInit => {
                let metadata = if self.has_metadata {
                    render("metadata.yaml")?
                } else {
                    metadata(values, instance).to_string()
                };
                let data = render(Self::data_name(self.kind))?;
                let extra =
                    [("metadata", metadata), ("userdata", data)].into_iter().flat_map(|(name, text)| {
                        let key = format!("guestinfo.{name}");
                        [(format!("{key}.encoding"), "base64".to_owned()), (key, BASE64.encode(text))]
                    });
                Told { extra: extra.collect(), customization: None }
            }
            GuestKind::Windows => {
                let answers = render(Self::data_name(self.kind))?;
                let adapters = values.networks.iter().map(adapter).collect();
                let identity = Identity::Sysprep(Secret::from(answers));
                Told { extra: Vec::new(), customization: Some(Customization { identity, adapters }) }
            }
        })
    }
}

impl Values {
    /// Values of a server that has everything.
    fn sample() -> Self {
        let address = IpAddr::from([192, 0, 2, 10]);
        let network = Attachment {
            name: "servers".to_owned(),
            vlan: 1,
            address: Some(address),
            prefix: 24,
            netmask: IpAddr::from([255, 255, 255, 0]),
            gateway: Some(address),
            dns: vec![address],
        };
        Self {
            computer_name: "sample".to_owned(),
            tenant: "sample".to_owned(),
            display_name: "Sample kommune".to_owned(),
            gateway: network.gateway,
            dns: network.dns.clone(),
            addresses: vec![address],
            networks: vec![network],
        }
    }

    /// The values of one server.
    pub(crate) fn of(tenant: &ValidatedTenant, server: &Server) -> Self {
        let networks: Vec<_> = server
            .interfaces
            .iter()
            .filter_map(|interface| {
                let network = tenant.network(&interface.network)?;
                Some(Attachment {
                    name: network.name.clone(),
                    vlan: network.vlan,
                    address: interface.address,
                    prefix: network.cidr.prefix_len(),
                    netmask: network.cidr.netmask(),
                    gateway: network.gateway,
                    dns: network.dns.clone(),
                })
            })
            .collect();
        Self {
            computer_name: server.computer_name.clone(),
            tenant: tenant.name.to_string(),
            display_name: tenant.display_name.clone(),
            gateway: networks.first().and_then(|network| network.gateway),
            dns: networks.first().map(|network| network.dns.clone()).unwrap_or_default(),
            addresses: networks.iter().filter_map(|network| network.address).collect(),
            networks,
        }
    }
}

/// cloud-init's metadata where the host writes none of its own. Interfaces are known by the names that Linux gives to
/// VMware's paravirtual cards, in the order of their slots.
fn metadata(values: &Values, instance: &str) -> Json {
    const NAMES: [&str; 4] = ["ens192", "ens224", "ens256", "ens161"];
    let ethernets: serde_json::Map<String, Json> = values
        .networks
        .iter()
        .zip(NAMES)
        .enumerate()
        .map(|(index, (network, name))| {
            let config = match network.address {
                Some(address) => json!({
                    "addresses": [format!("{address}/{}", network.prefix)],
                    // One default route, by the first interface.
                    "routes": network.gateway.filter(|_| index == 0)
                        .map(|gateway| json!([{"to": "default", "via": gateway}])).unwrap_or(json!([])),
                    "nameservers": {"addresses": network.dns},
                }),
                None => json!({"dhcp4": true}),
            };
            (name.to_owned(), config)
        })
        .collect();
    json!({
        "instance-id": instance,
        "local-hostname": values.computer_name,
        "network": {"version": 2, "ethernets": ethernets},
    })
}

fn adapter(network: &Attachment) -> Adapter {
    let address = match (network.address, network.netmask) {
        (Some(IpAddr::V4(address)), IpAddr::V4(mask)) => {
            let gateways = network.gateway.iter().filter_map(|gateway| match gateway {
                IpAddr::V4(gateway) => Some(*gateway),
                IpAddr::V6(_) => None,
            });
            Address::Fixed { address, mask, gateways: gateways.collect() }
        }
        _ => Address::Dhcp,
    };
    Adapter { address, dns_servers: network.dns.clone(), dns_domain: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let network = Attachment {
            name: "servers".to_owned(),
            vlan: 1310,
            address: "10.13.10.11".parse().ok(),
            prefix: 24,
            netmask: "255.255.255.0".parse().unwrap(),
            gateway: "10.13.10.1".parse().ok(),
            dns: vec!["10.13.10.5".parse().unwrap()],
        };
        Values {
            computer_name: "IBE-FS01".to_owned(),
            tenant: "ibestad".to_owned(),
            display_name: "Ibestad kommune".to_owned(),
            gateway: network.gateway,
            dns: network.dns.clone(),
            addresses: network.address.into_iter().collect(),
            networks: vec![network],
        }
    }

    #[test]
    fn base64_as_the_rfc_has_it() {
        for (text, encoded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(BASE64.encode(text), encoded);
        }
    }

    #[test]
    fn cloud_init_is_told_by_guestinfo() {
        let guest =
            Guest::compile(GuestKind::CloudInit, "fqdn: {{ computerName }}.{{ tenant }}", None).unwrap();
        let told = guest.tell(&values(), "id-1").unwrap();
        let keys: Vec<_> = told.extra.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "guestinfo.metadata.encoding",
                "guestinfo.metadata",
                "guestinfo.userdata.encoding",
                "guestinfo.userdata"
            ]
        );
        assert_eq!(told.extra[3].1, BASE64.encode(b"fqdn: IBE-FS01.ibestad"));
        assert!(metadata(&values(), "id-1").to_string().contains("10.13.10.11/24"));
    }

    #[test]
    fn windows_is_told_by_an_answer_file_without_markup_of_values() {
        let guest = Guest::compile(GuestKind::Windows, "<Name>{{ computerName }}</Name>", None).unwrap();
        let mut odd = values();
        odd.computer_name = "<b>".to_owned();
        let told = guest.tell(&odd, "id-1").unwrap().customization.unwrap();
        let Identity::Sysprep(text) = told.identity else { panic!("not Windows") };
        assert_eq!(text.expose(), "<Name>&lt;b&gt;</Name>");
        assert!(matches!(told.adapters[0].address, Address::Fixed { .. }));
    }

    #[test]
    fn a_value_is_never_a_template() {
        let guest = Guest::compile(GuestKind::CloudInit, "{{ computerName }}", None).unwrap();
        let mut odd = values();
        odd.computer_name = "{{ tenant }}".to_owned();
        assert_eq!(guest.tell(&odd, "id-1").unwrap().extra[3].1, BASE64.encode(b"{{ tenant }}"));
    }
}
