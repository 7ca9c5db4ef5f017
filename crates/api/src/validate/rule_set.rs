//! A rule set of the host's catalogue.

use std::net::IpAddr;

use ipnet::IpNet;
use vertskommune_core::tenant::{Interface, Network, Server};
use vertskommune_core::violation::Violation;

use super::fields::Fields;
use crate::rule_set::{RuleSet, RuleSetSpec, Values};

/// The rule set that this manifest describes: its template compiles, and gives rules for a tenant that has everything.
///
/// # Errors
/// All that is wrong with it, each with its field.
pub fn validate_rule_set(manifest: &RuleSet) -> Result<RuleSetSpec, Vec<Violation>> {
    let mut fields = Fields::default();
    let spec = &manifest.spec;
    fields.label("spec.name", &spec.name, 24);
    let version: u32 = fields.number("spec.version", spec.version, 1, 999_999);
    let wanted = format!("{}-v{version}", spec.name);
    let name = manifest.metadata.name.as_deref().unwrap_or_default();
    fields.must(
        name == wanted || i32::try_from(version) != Ok(spec.version),
        "metadata.name",
        format!("is {name:?} and must be {wanted}: a version of a set is an object of its own"),
    );
    if !spec.description.is_empty() {
        fields.text("spec.description", &spec.description, 512);
    }
    let networks = [network()];
    let servers = [server()];
    // A name that would break out of its place if it could.
    let values = Values {
        tenant: "sample",
        display_name: "Sample: \"kommune\"\n- #",
        networks: &networks,
        servers: &servers,
    };
    fields.take("spec.template", spec.render(&values).map(drop));
    fields.finish(Some(spec.clone()))
}

fn network() -> Network {
    Network {
        name: "servers".to_owned(),
        vlan: 1,
        cidr: IpNet::from(IpAddr::from([192, 0, 2, 0])),
        gateway: Some(IpAddr::from([192, 0, 2, 1])),
        dns: vec![IpAddr::from([192, 0, 2, 5])],
    }
}

fn server() -> Server {
    Server {
        name: "sample-srv01".to_owned(),
        computer_name: "SAMPLE-SRV01".to_owned(),
        template: "sample@1".to_owned(),
        vcpus: 1,
        memory: 1 << 30,
        disks: Vec::new(),
        interfaces: vec![Interface {
            network: "servers".to_owned(),
            address: Some(IpAddr::from([192, 0, 2, 10])),
        }],
        anti_affinity: None,
        adopt: None,
        recreate: None,
        restart_before: None,
    }
}
