//! What a clone's guest is told when it first starts.

use std::net::IpAddr;

use crate::Secret;
use crate::xml::Body;

/// How a clone's guest is set up by vCenter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customization {
    /// Who it becomes.
    pub identity: Identity,
    /// Its network cards, in their order. There have to be as many as the VM has.
    pub adapters: Vec<Adapter>,
}

/// Who a guest becomes. The texts may hold passwords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Windows, by the text of an answer file for Sysprep.
    Sysprep(Secret),
    /// Linux with cloud-init 21.1 or later; from vCenter 7.0U3 on.
    CloudInit {
        /// cloud-init's metadata, as YAML or JSON.
        metadata: Secret,
        /// cloud-init's user data.
        userdata: Option<Secret>,
    },
}

/// One network card's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// How it gets its IPv4 address.
    pub address: Address,
    /// Its name servers.
    pub dns_servers: Vec<IpAddr>,
    /// Its DNS domain.
    pub dns_domain: Option<String>,
}

/// How a network card gets its IPv4 address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// By DHCP.
    Dhcp,
    /// This one.
    Fixed {
        /// The address.
        address: std::net::Ipv4Addr,
        /// The mask, such as 255.255.255.0.
        mask: std::net::Ipv4Addr,
        /// The gateways.
        gateways: Vec<std::net::Ipv4Addr>,
    },
}

impl Customization {
    pub(crate) fn write(&self, b: &mut Body) {
        b.element("customization", |b| {
            match &self.identity {
                Identity::Sysprep(answers) => {
                    b.typed("options", "CustomizationWinOptions", |b| {
                        b.value("changeSID", true).value("deleteAccounts", false).value("reboot", "reboot");
                    });
                    b.typed("identity", "CustomizationSysprepText", |b| {
                        b.value("value", answers.expose());
                    });
                }
                Identity::CloudInit { metadata, userdata } => {
                    b.typed("identity", "CustomizationCloudinitPrep", |b| {
                        b.value("metadata", metadata.expose());
                        b.option("userdata", userdata.as_ref().map(Secret::expose));
                    });
                }
            }
            b.element("globalIPSettings", |_| {});
            for adapter in &self.adapters {
                b.element("nicSettingMap", |b| {
                    b.element("adapter", |b| write_adapter(b, adapter));
                });
            }
        });
    }
}

fn write_adapter(b: &mut Body, adapter: &Adapter) {
    match &adapter.address {
        Address::Dhcp => {
            b.typed("ip", "CustomizationDhcpIpGenerator", |_| {});
        }
        Address::Fixed { address, mask, gateways } => {
            b.typed("ip", "CustomizationFixedIp", |b| {
                b.value("ipAddress", address);
            });
            b.value("subnetMask", mask);
            for gateway in gateways {
                b.value("gateway", gateway);
            }
        }
    }
    for server in &adapter.dns_servers {
        b.value("dnsServerList", server);
    }
    b.option("dnsDomain", adapter.dns_domain.as_ref());
}
