//! VDOMs: which are meant, and how many there may be.

use serde_json::{Value, json};

use crate::peer::Peer;

const ADDRESS: &str = "cmdb/firewall/address";

#[tokio::test]
async fn each_vdom_has_tables_of_its_own() {
    let peer = Peer::start().await;
    peer.post("cmdb/system/vdom?global=1", json!({"name": "t1"})).await.well("VDOM");
    peer.post(&format!("{ADDRESS}?vdom=t1"), json!({"name": "mine"})).await.well("address");
    peer.get(&format!("{ADDRESS}/mine?vdom=t1")).await.well("there");
    assert_eq!(peer.get(&format!("{ADDRESS}/mine")).await.status, 404, "no VDOM is the management VDOM");
    peer.get(&format!("{ADDRESS}/all?vdom=t1")).await.well("a new VDOM has what every VDOM has");
    for (vdoms, expected) in [("*", vec!["root", "t1"]), ("t1,root", vec!["t1", "root"])] {
        let answer = peer.get(&format!("{ADDRESS}?vdom={vdoms}&filter=name==all")).await.well(vdoms);
        let envelopes = answer.body.as_array().unwrap();
        let names: Vec<&Value> = envelopes.iter().map(|envelope| &envelope["vdom"]).collect();
        assert_eq!(names, expected);
        assert!(envelopes.iter().all(|envelope| envelope["results"][0]["name"] == "all"));
    }
    for (scope, is_list) in [("global=1", true), ("scope=global", false), ("vdom=root", false)] {
        let answer = peer.get(&format!("cmdb/system/global?{scope}")).await.well(scope);
        assert_eq!(answer.body.is_array(), is_list, "{scope}");
    }
    assert_eq!(peer.post(&format!("{ADDRESS}?vdom=*"), json!({"name": "x"})).await.status, 400);
}

#[tokio::test]
async fn an_interface_belongs_to_one_vdom() {
    let peer = Peer::start().await;
    peer.post("cmdb/system/vdom", json!({"name": "t1"})).await.well("VDOM");
    let vlan = |name: &str, vdom: &str, vlanid: u16| json!({"name": name, "vdom": vdom, "type": "vlan", "interface": "port2", "vlanid": vlanid, "ip": "10.1.0.1/24"});
    peer.post("cmdb/system/interface", vlan("of-root", "root", 10)).await.well("VLAN");
    peer.post("cmdb/system/interface", vlan("of-t1", "t1", 11))
        .await
        .well("the same network in another VDOM");
    let names = |answer: crate::peer::Answer| answer.column("name");
    assert_eq!(names(peer.get("cmdb/system/interface?vdom=t1").await), ["of-t1"], "a VDOM sees its own");
    assert!(
        names(peer.get("cmdb/system/interface").await).contains(&json!("of-t1")),
        "the management sees all"
    );
    let zone = |interface: &str| json!({"name": "z", "interface": [{"interface-name": interface}]});
    let foreign = peer.post("cmdb/system/zone?vdom=t1", zone("of-root")).await;
    assert_eq!(foreign.error(), -651, "another's interface is not there");
    peer.post("cmdb/system/zone?vdom=t1", zone("of-t1")).await.well("zone");
    assert_eq!(peer.delete("cmdb/system/vdom/t1").await.error(), -514, "it still has an interface");
    peer.delete("cmdb/system/zone/z?vdom=t1").await.well("zone");
    peer.delete("cmdb/system/interface/of-t1").await.well("VLAN");
    peer.delete("cmdb/system/vdom/t1").await.well("VDOM");
    assert_eq!(peer.get("cmdb/firewall/address?vdom=t1").await.status, 403);
}

#[tokio::test]
async fn the_licence_has_room_for_so_many() {
    let peer = Peer::start_with(|options| options.vdom_limit = 2).await;
    peer.post("cmdb/system/vdom", json!({"name": "t1"})).await.well("the second");
    let third = peer.post("cmdb/system/vdom", json!({"name": "t2"})).await;
    assert_eq!((third.status, third.error()), (500, -4));
    let licence = peer.get("monitor/license/status").await;
    assert_eq!(
        licence.body["results"]["vdom"],
        json!({"type": "platform", "can_upgrade": true, "used": 2, "max": 2})
    );
}

#[tokio::test]
async fn a_link_has_two_ends() {
    let peer = Peer::start().await;
    peer.post("cmdb/system/vdom-link", json!({"name": "l1-"})).await.well("link");
    for end in ["l1-0", "l1-1"] {
        let interface = peer.get(&format!("cmdb/system/interface/{end}")).await.well(end);
        assert_eq!(interface.results()[0]["type"], "vdom-link");
        assert_eq!(
            peer.delete(&format!("cmdb/system/interface/{end}")).await.error(),
            -7,
            "it goes with its link"
        );
    }
    let route = json!({"dst": "10.9.0.0/16", "gateway": "10.9.0.1", "device": "l1-0"});
    let route = peer.post("cmdb/router/static", route).await.well("route");
    assert_eq!(peer.delete("cmdb/system/vdom-link/l1-").await.error(), -23, "an end is in use");
    peer.delete(&format!("cmdb/router/static/{}", route.body["mkey"])).await.well("route");
    peer.delete("cmdb/system/vdom-link/l1-").await.well("link");
    assert_eq!(peer.get("cmdb/system/interface/l1-1").await.status, 404);
}

#[tokio::test]
async fn a_vdom_has_properties_as_long_as_it_is_there() {
    let peer = Peer::start().await;
    peer.post("cmdb/system/vdom", json!({"name": "t1"})).await.well("VDOM");
    let path = "cmdb/system/vdom-property/t1";
    let described = peer.get(path).await.results()[0]["description"].clone();
    assert_eq!(described, "property limits for vdom t1");
    peer.put(path, json!({"description": "ours"})).await.well("another description");
    assert_eq!(peer.get(path).await.results()[0]["description"], "ours");
    peer.delete("cmdb/system/vdom/t1").await.well("VDOM");
    assert_eq!(peer.get(path).await.status, 404);
}
