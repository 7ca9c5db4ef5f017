//! Tenants that the tests onboard.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use vertskommune_core::tenant::{
    Compute, DeletionPolicy, Disk, DriftPolicy, Interface, Network, Quota, Server, ValidatedTenant,
};
use vertskommune_core::windows::Maintenance;

/// Three servers, two of them kept apart.
pub(crate) fn ibestad() -> ValidatedTenant {
    let mut tenant = tenant("ibestad", 1310);
    tenant.servers = vec![
        Server {
            disks: vec![disk("data", 10, Some("ssd-san"))],
            anti_affinity: Some("fs".to_owned()),
            ..server("ibe-fs01", "windows@2", "10.13.10.11")
        },
        Server { anti_affinity: Some("fs".to_owned()), ..server("ibe-fs02", "windows@2", "10.13.10.12") },
        server("ibe-app01", "ubuntu@1", "10.13.10.13"),
    ];
    tenant
}

/// One server with a disk.
pub(crate) fn small() -> ValidatedTenant {
    let mut tenant = tenant("dyroy", 1320);
    tenant.networks.pop();
    tenant.servers =
        vec![Server { disks: vec![disk("data", 1, None)], ..server("dyr-fs01", "ubuntu@1", "10.13.10.21") }];
    tenant
}

/// Another server for the small tenant.
pub(crate) fn second() -> Server {
    server("dyr-app01", "windows@2", "10.13.10.22")
}

pub(crate) fn disk(name: &str, gib: u64, policy: Option<&str>) -> Disk {
    Disk { name: name.to_owned(), size: gib << 30, storage_policy: policy.map(str::to_owned) }
}

fn server(name: &str, template: &str, address: &str) -> Server {
    Server {
        name: name.to_owned(),
        computer_name: name.to_uppercase(),
        template: template.to_owned(),
        vcpus: 4,
        memory: 4 << 30,
        disks: Vec::new(),
        interfaces: vec![Interface { network: "servers".to_owned(), address: address.parse().ok() }],
        anti_affinity: None,
        adopt: None,
        recreate: None,
        restart_before: None,
    }
}

fn tenant(name: &str, vlan: u16) -> ValidatedTenant {
    let network = |name: &str, vlan, cidr: &str| Network {
        name: name.to_owned(),
        vlan,
        cidr: cidr.parse().unwrap(),
        gateway: None,
        dns: Vec::new(),
    };
    ValidatedTenant {
        name: name.into(),
        display_name: format!("{name} kommune"),
        municipality_number: None,
        networks: vec![
            network("servers", vlan, "10.13.10.0/24"),
            network("clients", vlan + 1, "10.13.32.0/20"),
        ],
        compute: Some(Compute {
            provider: "vcenter-main".into(),
            quota: Quota { vcpus: 64, memory: 1 << 40, storage: 1 << 43 },
            retire_after: SignedDuration::from_hours(720),
        }),
        servers: Vec::new(),
        maintenance: Maintenance::default(),
        firewall: None,
        backup: None,
        directory: None,
        drift_policy: DriftPolicy::Heal,
        deletion_policy: DeletionPolicy::default(),
        suspend: false,
        allow_destroy: BTreeSet::new(),
        accept_loss: None,
    }
}
