//! What a firewall refuses to be changed to, and what waits for the rest of its transaction.

use fortios_simulator::{Options, Simulator};
use serde_json::{Value as Json, json};
use vertskommune_tests::estate::{Cluster, NAMESPACE, in_tree, is_ready, tenant, tenant_name};
use vertskommune_tests::lab::http_client;

const TOKEN: &str = "a-token-of-the-lab";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_names_what_a_firewall_cannot_do() {
    let Some(cluster) = Cluster::start_with(&["--vcenters", "1"]).await else { return };
    let fortigate = start(&cluster).await;
    cluster.apply_host(&cluster.lab.peers.vcenters[0]).unwrap();
    let controller = cluster.process().unwrap();
    let name = tenant_name(1);

    // A name that is taken by what is not shown to us. FortiOS takes a transaction as a whole or not at all.
    let fault = json!({"method": "POST", "path": "cmdb/firewall.service/custom", "status": 500, "error": -5});
    order(&fortigate, "POST", "/fault", &fault).await;
    cluster.apply(&filtered("Shared")).unwrap();
    cluster.hindered(&name, "RetryLater", "mend what the error names").await;
    order(&fortigate, "DELETE", "/fault", &Json::Null).await;
    cluster.plugin(&["reconcile", &name]).unwrap();
    cluster.wait_for(&name, "Ready", is_ready).await.unwrap();
    cluster.unhindered(&name).await;

    // The API server refuses it where it knows what was before; of a manifest that is new it does not.
    cluster.lab.kubectl(&["delete", "tenant", &name, "--timeout=60s"], "").unwrap();
    cluster.apply(&filtered("Dedicated")).unwrap();
    cluster.hindered(&name, "Immutable", "put the field back as it was").await;
    cluster.lab.kubectl(&["delete", "tenant", &name, "--timeout=60s"], "").unwrap();
    cluster.apply(&filtered("Shared")).unwrap();
    cluster.unhindered(&name).await;
    controller.stop().await;
}

/// Starts a FortiGate and describes it to the cluster by the host's own file.
async fn start(cluster: &Cluster) -> Simulator {
    let seed = std::fs::read_to_string(in_tree("tests/lab/fortigate/seed.json")).unwrap();
    let options = Options {
        token: Some(TOKEN.to_owned()),
        seed: Some(serde_json::from_str(&seed).unwrap()),
        vdom_limit: 10,
        ..Options::default()
    };
    let fortigate = Simulator::start(&options).await.unwrap();
    cluster
        .apply(&json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "fortigate-main", "namespace": NAMESPACE},
            "stringData": {"token": TOKEN},
        }))
        .unwrap();
    let file = std::fs::read_to_string(in_tree("tenants/host/fortigate-main.yaml")).unwrap();
    let mut host: Json = serde_saphyr::from_str(&file).unwrap();
    let spec = &mut host["spec"];
    spec["endpoint"] = json!(fortigate.url());
    spec["identity"] = json!(options.identity.serial);
    spec["caBundle"] = json!(fortigate.authority);
    spec["settings"]["dedicated"] = json!({"profiles": ["default"]});
    spec["settings"]["places"]["services"] =
        json!({"interface": "port3", "networks": ["10.13.0.0/24"], "addresses": {"host-dns": "10.13.0.5"}});
    cluster.apply(&host).unwrap();
    fortigate
}

async fn order(fortigate: &Simulator, method: &str, path: &str, body: &Json) {
    let url = format!("{}{path}", fortigate.admin_url());
    let request = http_client(None).unwrap().request(method.parse().unwrap(), url).json(body);
    request.send().await.unwrap().error_for_status().unwrap();
}

/// A small tenant without servers, with a service and two rules in such a virtual firewall. What it has stays when its
/// manifest goes.
fn filtered(vdom: &str) -> Json {
    let mut tenant = tenant(1);
    let spec = &mut tenant["spec"];
    spec["servers"] = json!([]);
    spec["deletionPolicy"] = json!({"firewall": "Retain"});
    spec["firewall"] = json!({
        "provider": "fortigate-main",
        "vdom": vdom,
        "services": [{"name": "cases", "tcp": ["8443"]}],
        "rules": [
            {"id": "dns", "from": ["servers"], "to": ["host:services/host-dns"], "services": ["DNS"]},
            {"id": "cases", "from": ["servers"], "to": ["internet"], "services": ["cases"]},
        ],
    });
    tenant
}
