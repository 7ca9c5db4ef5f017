//! A manifest that breaks rules which need the other tenants or the host is refused with every violation at once, and
//! stops only itself.

use serde_json::{Value as Json, json};
use vertskommune_tests::estate::{condition, message, tenant};

use crate::stage::Stage;

/// A tenant's number, what spoils its spec, and every violation that its status then tells.
type Row = (u16, fn(&mut Json), &'static [&'static str]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_that_breaks_rules_is_told_all_of_them_and_stops_only_itself() {
    let Some(stage) = Stage::set(1).await else { return };
    stage.onboard([1]).await;
    stage.forget_writes().await;
    let ground = json!({"vlans": ["1-99"], "networks": ["10.0.0.0/24", "10.0.1.0/24"]});
    stage.cluster.patch("hostprovider", "vcenter-main", &json!({"spec": {"tenants": ground}})).unwrap();
    let rows: [Row; 2] = [
        (
            2,
            |spec| {
                let networks = &mut spec["networks"];
                networks[0]["vlan"] = json!(1);
                let outside = json!({"name": "outside", "vlan": 4000, "cidr": "192.168.7.0/24"});
                networks.as_array_mut().unwrap().push(outside);
                spec["servers"][0]["name"] = json!("web-01");
            },
            &[
                "spec.networks[0].vlan: VLAN 1 is also wanted by t0001",
                "spec.networks[0].cidr: 10.0.2.0/24 lies in no address pool",
                "spec.networks[1].vlan: VLAN 4000 is not among those",
                "spec.networks[1].cidr: 192.168.7.0/24 lies in no address pool",
                "spec.servers[0].name: web-01 begins with none of the prefixes",
            ],
        ),
        (
            3,
            |spec| {
                spec["compute"]["provider"] = json!("vcenter-nowhere");
                spec["servers"][0]["computerName"] = json!("t0001-srv01");
            },
            &["spec.compute.provider: there is no HostProvider vcenter-nowhere", "also wanted by t0001"],
        ),
    ];
    for (number, spoil, violations) in rows {
        let mut broken = tenant(number);
        spoil(&mut broken["spec"]);
        stage.cluster.apply(&broken).unwrap();
        let refused = stage.tenant(number, "refused", |it| condition(it, "Stalled") == "True").await;
        println!("refused: {}", message(&refused, "Stalled"));
        for violation in violations {
            assert!(message(&refused, "Stalled").contains(violation), "{violation}: {refused:#}");
        }
        assert_eq!(condition(&refused, "Ready"), "False", "{refused:#}");
    }
    assert_eq!(stage.writes().await, Vec::<String>::new(), "nothing is made for them");
    // The others go on.
    stage.settled(1).await;
}
