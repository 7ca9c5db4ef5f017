//! Manifests as tests apply them: the host's own file for one of the lab's vCenters, and small tenants.

use std::path::Path;

use serde_json::{Value as Json, json};

use crate::lab::VCenter;

/// The host's own file, with the name, address, identity and CA of this vCenter.
///
/// # Errors
/// Where the file cannot be read.
pub fn host(vcenter: &VCenter) -> anyhow::Result<Json> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tenants/host/vcenter-main.yaml");
    let mut host: Json = serde_saphyr::from_str(&std::fs::read_to_string(file)?)?;
    host["metadata"]["name"] = json!(vcenter.name);
    host["spec"]["credentials"]["secretName"] = json!(vcenter.name);
    host["spec"]["endpoint"] = json!(vcenter.url);
    host["spec"]["identity"] = json!(vcenter.instance_uuid);
    host["spec"]["caBundle"] = json!(std::fs::read_to_string(&vcenter.ca)?);
    // As many tenants as a test wants.
    host["spec"]["tenants"]["vlans"] = json!(["1-4094"]);
    host["spec"]["tenants"]["networks"] = json!(["10.0.0.0/8"]);
    host["spec"]["tenants"]["reserved"] = json!([]);
    host["spec"]["tenants"]["namePrefixes"] = json!(["t"]);
    host["spec"]["budget"] = json!({"concurrency": 8, "requestsPerSecond": 500});
    Ok(host)
}

/// The `number`-th small tenant: a network, and an anti-affinity group of two servers with a disk each.
pub fn tenant(number: u16) -> Json {
    let name = tenant_name(number);
    let network = subnet(number);
    json!({
        "apiVersion": "vertskommune.no/v1alpha1", "kind": "Tenant", "metadata": {"name": name},
        "spec": {
            "displayName": format!("{name} kommune"),
            "networks": [{
                "name": "servers", "vlan": number, "cidr": format!("{network}.0/24"),
                "gateway": format!("{network}.1"), "dns": [format!("{network}.5")],
            }],
            "compute": {"provider": "vcenter-main", "quota": {"vcpus": 16, "memory": "64Gi", "storage": "1Ti"}},
            "servers": [server(number, 1), server(number, 2)],
        },
    })
}

/// The `index`-th server of the `number`-th tenant.
pub fn server(number: u16, index: u16) -> Json {
    json!({
        "name": server_name(number, index),
        "template": "ubuntu-24.04@1",
        "vcpus": 2,
        "memory": "4Gi",
        "disks": [{"name": "data", "size": "10Gi"}],
        "interfaces": [{"network": "servers", "address": format!("{}.{}", subnet(number), 10 + index)}],
        "antiAffinity": "pair",
    })
}

/// The name of the `index`-th server of the `number`-th tenant.
pub fn server_name(number: u16, index: u16) -> String {
    format!("{}-srv{index:02}", tenant_name(number))
}

fn subnet(number: u16) -> String {
    format!("10.{}.{}", number / 256, number % 256)
}

/// The name of the `number`-th tenant.
pub fn tenant_name(number: u16) -> String {
    format!("t{number:04}")
}
