//! Why a tenant waits, told for each reason by its real cause; the advice is followed, and it clears. Each tenant has a
//! hindrance of its own, all at the same time, so that none is taken for another's.

mod backups;
mod firewall;
mod passing;

use serde_json::{Value as Json, json};
use vertskommune_tests::estate::{server, server_name, tenant, tenant_name};

use crate::stage::Stage;

/// A hindrance, and what people do about it.
struct Case {
    reason: &'static str,
    /// A part of the advice that says it all.
    advice: &'static str,
    cause: fn(&Stage, u16),
    remedy: fn(&Stage, u16, &Json),
}

/// What a manifest asks for that cannot be: nothing of it is begun.
const NEWCOMERS: &[Case] = &[
    Case {
        reason: "UnknownProvider",
        advice: "correct the provider's name",
        cause: |stage, number| {
            newcomer(stage, number, |spec| spec["compute"]["provider"] = json!("vcenter-nowhere"));
        },
        remedy: |stage, number, _| {
            take_away(stage, number);
            newcomer(stage, number, |_| {});
        },
    },
    Case {
        reason: "OutsideGround",
        advice: "choose a value that the host grants",
        cause: |stage, number| {
            newcomer(stage, number, |spec| {
                spec["networks"][0] = json!({"name": "servers", "vlan": number, "cidr": "192.168.7.0/24"});
                spec["servers"] = json!([]);
            });
        },
        remedy: |stage, number, _| newcomer(stage, number, |_| {}),
    },
    Case {
        reason: "Refused",
        advice: "mend every field that is named",
        cause: |stage, number| {
            newcomer(stage, number, |spec| {
                let gateway = spec["networks"][0]["gateway"].clone();
                spec["servers"][0]["interfaces"][0]["address"] = gateway;
            });
        },
        remedy: |stage, number, _| newcomer(stage, number, |_| {}),
    },
    Case {
        reason: "NotOffered",
        advice: "name something that HostProvider vcenter-main offers",
        cause: |stage, number| {
            newcomer(stage, number, |spec| spec["servers"][0]["template"] = json!("plan9@4"));
        },
        remedy: |stage, number, _| newcomer(stage, number, |_| {}),
    },
    Case {
        reason: "InsufficientCapacity",
        advice: "ask for less in the manifest",
        cause: |stage, number| {
            newcomer(stage, number, |spec| {
                spec["compute"]["quota"]["storage"] = json!("900Ti");
                spec["servers"][0]["disks"] =
                    json!([{"name": "data", "size": "10Gi"}, {"name": "films", "size": "800Ti"}]);
            });
        },
        remedy: |stage, number, _| newcomer(stage, number, |_| {}),
    },
    Case {
        reason: "NotFound",
        advice: "correct the name in the manifest",
        cause: |stage, number| {
            newcomer(stage, number, |spec| spec["servers"][0]["adopt"] = json!("/DC0/vm/Tenants/lost"));
        },
        remedy: |stage, number, _| newcomer(stage, number, |_| {}),
    },
];

/// What comes in the way of a tenant that was whole.
const ONBOARDED: &[Case] = &[
    // The API server refuses it where it knows what was before; of a manifest that is new it does not.
    Case {
        reason: "CannotShrink",
        advice: "put the bigger value back",
        cause: |stage, number| {
            anew(stage, number, |spec| spec["servers"][0]["disks"][0]["size"] = json!("5Gi"));
        },
        remedy: |stage, number, _| as_it_was(stage, number),
    },
    Case {
        reason: "NotOurs",
        advice: "rename or remove one of the two by hand",
        cause: |stage, number| {
            let folder = format!("/DC0/vm/Tenants/{}", tenant_name(number));
            let place = ["vm.create", "-folder", &folder, "-pool", "/DC0/host/DC0_C0/Resources/Drift"];
            let name = server_name(number, 3);
            let rest = ["-ds", "LocalDS_0", "-net", "drift-servers", "-on=false", &name];
            stage.govc(&[&place[..], &rest[..]].concat());
            stage.change(
                number,
                &json!({"servers": [server(number, 1), server(number, 2), server(number, 3)]}),
            );
        },
        remedy: |stage, number, _| stage.govc(&["vm.destroy", &path(number, 3)]),
    },
    Case {
        reason: "Lost",
        advice: "set recreate: to the identity that is named",
        cause: |stage, number| stage.govc(&["vm.destroy", &path(number, 1)]),
        remedy: |stage, number, hindrance| {
            let message = hindrance["message"].as_str().unwrap();
            let identity = message.split("recreate: ").nth(1).unwrap().chars().take(36).collect::<String>();
            first_server(stage, number, "recreate", &json!(identity));
        },
    },
    Case {
        reason: "SnapshotPresent",
        advice: "remove the snapshot from ",
        cause: |stage, number| {
            stage.govc(&["snapshot.create", "-vm", &path(number, 1), "before-the-patch"]);
            // It has been seen by then.
            stage.cluster.plugin(&["reconcile", &tenant_name(number)]).unwrap();
            first_server(stage, number, "disks", &json!([{"name": "data", "size": "12Gi"}]));
        },
        remedy: |stage, number, _| {
            stage.govc(&["snapshot.remove", "-vm", &path(number, 1), "before-the-patch"]);
        },
    },
    Case {
        reason: "MaintenanceWindow",
        advice: "or set restartBefore: to a time that is yet to come",
        cause: |stage, number| first_server(stage, number, "vcpus", &json!(1)),
        remedy: |stage, number, _| {
            let mut first = server(number, 1);
            (first["vcpus"], first["restartBefore"]) = (json!(1), json!("2100-01-01T00:00:00Z"));
            stage.change(number, &json!({"servers": [first, server(number, 2)]}));
        },
    },
    Case {
        reason: "Retired",
        advice: "to have it back put its entry into the manifest again",
        cause: |stage, number| stage.change(number, &json!({"servers": [server(number, 1)]})),
        remedy: |stage, number, _| as_it_was(stage, number),
    },
    Case {
        reason: "Drifted",
        advice: "bring it back by hand",
        cause: |stage, number| stage.govc(&["vm.change", "-vm", &path(number, 1), "-c", "4"]),
        remedy: |stage, number, _| stage.govc(&["vm.change", "-vm", &path(number, 1), "-c", "2"]),
    },
];

/// What the host says of a whole endpoint: one after the other.
const ENDPOINT: &[Case] = &[
    Case {
        reason: "ObserveOnly",
        advice: "set spec.mode: Manage on HostProvider vcenter-main",
        cause: |stage, number| {
            of_host(stage, &json!({"mode": "Observe"}));
            first_server(stage, number, "disks", &json!([{"name": "data", "size": "13Gi"}]));
        },
        remedy: |stage, _, _| of_host(stage, &json!({"mode": "Manage"})),
    },
    Case {
        reason: "InvalidSettings",
        advice: "correct the fields of HostProvider vcenter-main that are named",
        cause: |stage, _| of_host(stage, &json!({"settings": {"datastores": []}})),
        remedy: |stage, _, _| of_host(stage, &json!({"settings": {"datastores": ["LocalDS_0"]}})),
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_names_each_reason_and_its_advice_helps() {
    let Some(stage) = Stage::set(1).await else { return };
    let onboarded = (1..).zip(ONBOARDED);
    let newcomers = (101..).zip(NEWCOMERS);
    stage.onboard(onboarded.clone().map(|(number, _)| number)).await;
    let all: Vec<(u16, &Case)> = onboarded.chain(newcomers).collect();
    for (number, case) in &all {
        (case.cause)(&stage, *number);
    }
    for (number, case) in &all {
        let hindrance = is_told(&stage, *number, case).await;
        (case.remedy)(&stage, *number, &hindrance);
    }
    for (number, _) in &all {
        clears(&stage, *number).await;
    }
    for case in ENDPOINT {
        (case.cause)(&stage, 1);
        let hindrance = is_told(&stage, 1, case).await;
        (case.remedy)(&stage, 1, &hindrance);
        clears(&stage, 1).await;
    }
}

/// Waits until `why` names the reason, and gives what it says.
async fn is_told(stage: &Stage, number: u16, case: &Case) -> Json {
    stage.hindered(number, case.reason, case.advice).await
}

async fn clears(stage: &Stage, number: u16) {
    stage.settled(number).await;
    stage.unhindered(number).await;
}

/// A tenant of one server, but for what is changed.
fn newcomer(stage: &Stage, number: u16, change: impl FnOnce(&mut Json)) {
    let mut newcomer = tenant(number);
    newcomer["spec"]["servers"] = json!([server(number, 1)]);
    change(&mut newcomer["spec"]);
    stage.cluster.apply(&newcomer).unwrap();
}

/// Takes a manifest away, and nothing else.
fn take_away(stage: &Stage, number: u16) {
    stage.cluster.lab.kubectl(&["delete", "tenant", &tenant_name(number), "--timeout=60s"], "").unwrap();
}

/// Brings another manifest as if it were the first.
fn anew(stage: &Stage, number: u16, change: impl FnOnce(&mut Json)) {
    take_away(stage, number);
    let mut next = tenant(number);
    change(&mut next["spec"]);
    stage.cluster.apply(&next).unwrap();
}

fn first_server(stage: &Stage, number: u16, field: &str, value: &Json) {
    let mut first = server(number, 1);
    first[field] = value.clone();
    stage.change(number, &json!({"servers": [first, server(number, 2)]}));
}

fn as_it_was(stage: &Stage, number: u16) {
    stage.change(number, &json!({"servers": [server(number, 1), server(number, 2)]}));
}

fn of_host(stage: &Stage, spec: &Json) {
    stage.cluster.patch("hostprovider", "vcenter-main", &json!({"spec": spec})).unwrap();
}

fn path(number: u16, index: u16) -> String {
    format!("/DC0/vm/Tenants/{}/{}", tenant_name(number), server_name(number, index))
}
