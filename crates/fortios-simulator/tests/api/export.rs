//! The export as a golden file; `UPDATE=1` writes what comes out now.

use std::path::Path;

use serde_json::json;

use crate::peer::Peer;

#[tokio::test]
async fn the_configuration_reads_like_an_export() {
    let seed = json!({
        "global": {"system/interface": [
            {"name": "v1310", "vdom": "ibestad", "type": "vlan", "interface": "port2", "vlanid": 1310,
             "ip": "10.13.10.1/24", "allowaccess": "ssh ping", "ipv6": {"ip6-send-adv": "enable"},
             "secondaryip": [{"ip": "10.13.11.1/24", "allowaccess": "ping"}]},
        ], "system/vdom": [{"name": "ibestad"}]},
        "ibestad": {
            "system/zone": [{"name": "inside", "interface": [{"interface-name": "v1310"}], "description": "a zone"}],
            "firewall/address": [{"name": "servers", "subnet": "10.13.10.0/24", "uuid": "00000000-0000-4000-8000-000000000001"}],
            "firewall/policy": [{
                "policyid": 7, "name": "out", "srcintf": [{"name": "inside"}], "dstintf": [{"name": "any"}],
                "srcaddr": [{"name": "servers"}], "dstaddr": [{"name": "all"}], "schedule": "always",
                "service": [{"name": "HTTPS"}, {"name": "DNS"}], "action": "accept", "logtraffic": "all", "nat": "enable",
                "uuid": "00000000-0000-4000-8000-000000000002", "comments": "the \"way\" out",
            }],
            "router/static": [{"seq-num": 3, "dst": "10.99.0.0/16", "gateway": "10.13.10.254", "device": "v1310"}],
        },
    });
    let peer = Peer::start_with(|options| options.seed = Some(seed)).await;
    let text =
        peer.get("monitor/system/config/backup?scope=global&destination=file").await.well("backup").body;
    let text = text.as_str().unwrap().to_owned();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/export.conf");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&file).unwrap(), "UPDATE=1 writes the file anew");
    let own = peer.get("monitor/system/config/backup?scope=vdom&vdom=ibestad").await.well("one VDOM").body;
    let own = own.as_str().unwrap();
    assert!(own.contains("#global_vdom=0:vd_name=ibestad") && !own.contains("config system interface"));
}
