//! Expansion and steps as pure functions: a valid tenant, one thing that differs, the expected steps.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use vertskommune_core::difference::{Cause, Difference, FieldChange, What};
use vertskommune_core::domain::{Inputs, Proposal};
use vertskommune_core::facts::Facts;
use vertskommune_core::names::ProviderName;
use vertskommune_core::observation::{Capacity, Observation, Present};
use vertskommune_core::resource::{Resource, Value};
use vertskommune_core::step::{Class, Step, Wait};
use vertskommune_core::tenant::{
    Compute, DeletionPolicy, Disk, DriftPolicy, Interface, Network, Quota, Server, ValidatedTenant,
};
use vertskommune_core::windows::Maintenance;

use crate::expand::expand;
use crate::marks::instance_uuid;
use crate::schema::schema;
use crate::settings::Settings;
use crate::steps::Maker;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn settings() -> Settings {
    Settings::read(&json!({
        "datacenter": "DC0", "cluster": "C0", "switch": "DVS0", "folder": "Tenants", "resourcePool": "Tenants",
        "datastores": ["san-1", "san-2"], "storagePolicies": {"ssd": {"datastores": ["ssd-1"]}},
        "templates": [{"name": "ubuntu@1", "path": "Templates/ubuntu"}],
    }))
    .unwrap()
}

fn tenant() -> ValidatedTenant {
    let server = |name: &str| Server {
        name: name.to_owned(),
        computer_name: name.to_uppercase(),
        template: "ubuntu@1".to_owned(),
        vcpus: 2,
        memory: 4 << 30,
        disks: vec![Disk { name: "data".to_owned(), size: 10 << 30, storage_policy: Some("ssd".to_owned()) }],
        interfaces: vec![Interface { network: "servers".to_owned(), address: None }],
        anti_affinity: Some("fs".to_owned()),
        adopt: None,
        recreate: None,
        restart_before: None,
    };
    ValidatedTenant {
        name: "ibestad".into(),
        display_name: "Ibestad kommune".to_owned(),
        municipality_number: None,
        networks: vec![Network {
            name: "servers".to_owned(),
            vlan: 1310,
            cidr: "10.13.10.0/24".parse().unwrap(),
            gateway: None,
            dns: Vec::new(),
        }],
        compute: Some(Compute {
            provider: "vc".into(),
            quota: Quota { vcpus: 64, memory: 1 << 40, storage: 1 << 43 },
            retire_after: SignedDuration::from_hours(720),
        }),
        servers: vec![server("ibe-fs01"), server("ibe-fs02")],
        maintenance: Maintenance::default(),
        firewall: None,
        backup: None,
        directory: None,
        drift_policy: DriftPolicy::Heal,
        deletion_policy: DeletionPolicy::default(),
        suspend: false,
        allow_destroy: std::collections::BTreeSet::new(),
        accept_loss: None,
    }
}

fn expanded(tenant: ValidatedTenant) -> Vec<Resource> {
    expand(&Inputs { installation: "nord".into(), tenant }, &"vc".into(), &settings()).unwrap()
}

fn server() -> Resource {
    expanded(tenant()).into_iter().find(|resource| resource.id.key.name == "ibe-fs01").unwrap()
}

fn observation() -> Observation {
    let mut seen = Observation::empty(&ProviderName::from("vc"));
    let store = Capacity { free: 1 << 40, total: 1 << 41 };
    seen.capacity =
        ["san-1", "san-2", "ssd-1"].into_iter().map(|name| (format!("datastore {name}"), store)).collect();
    seen
}

fn steps(difference: Difference) -> Proposal {
    let (settings, schema, seen) = (settings(), schema(), observation());
    let installation = "nord".into();
    let maker =
        Maker { installation: &installation, settings: &settings, schema: &schema, seen: &seen, now: NOW };
    maker.steps(&[difference])
}

/// A running server as it is after all went well, but for some fields.
fn present(fields: &[(&str, serde_json::Value)]) -> Present {
    let uuid = instance_uuid(&"nord".into(), &"ibestad".into(), "ibe-fs01", None);
    let usual = [("power", json!("on")), ("vcpus", json!(2)), ("memory", json!(4_u64 << 30))];
    let fields = usual.iter().chain(fields).map(|(name, value)| ((*name).to_owned(), value.clone()));
    let present = Present { fields: fields.collect(), identity: uuid, ..Present::default() };
    Present { interrupted: present.fields.contains_key("order"), ..present }
}

fn changed(present: Present, changes: &[(&str, serde_json::Value, serde_json::Value, Cause)]) -> Proposal {
    let desired = server();
    let changes = changes.iter().map(|(field, from, to, cause)| FieldChange {
        field: (*field).to_owned(),
        from: Some(from.clone()),
        to: Value::Known(to.clone()),
        cause: *cause,
    });
    steps(Difference {
        id: desired.id.clone(),
        what: What::Changed(changes.collect()),
        desired: Some(desired),
        present: Some(present),
    })
}

fn operations(proposal: &Proposal) -> Vec<(&str, Class, bool)> {
    let steps = proposal.steps.iter();
    steps.map(|step| (step.operation.as_str(), step.class, step.blocked.is_none())).collect()
}

#[test]
fn a_tenant_becomes_resources_in_the_order_of_its_manifest() {
    let keys: Vec<_> = expanded(tenant()).iter().map(|resource| resource.id.key.to_string()).collect();
    assert_eq!(
        keys,
        [
            "folder/ibestad",
            "pool/ibestad",
            "network/servers",
            "server/ibe-fs01",
            "server/ibe-fs02",
            "anti-affinity/fs"
        ]
    );
    let mut alone = tenant();
    alone.servers.pop();
    assert!(
        expanded(alone).iter().all(|resource| resource.id.key.kind.as_str() != "anti-affinity"),
        "one is no group"
    );
    let mut elsewhere = tenant();
    elsewhere.compute.as_mut().unwrap().provider = "other".into();
    assert_eq!(expanded(elsewhere), []);
}

#[test]
fn what_the_settings_do_not_offer_is_named_by_its_field() {
    let mut odd = tenant();
    odd.servers[0].template = "ubuntu@9".to_owned();
    odd.servers[1].disks[0].storage_policy = Some("gold".to_owned());
    let inputs = Inputs { installation: "nord".into(), tenant: odd };
    let violations = expand(&inputs, &"vc".into(), &settings()).unwrap_err();
    let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["spec.servers[0].template", "spec.servers[1].disks[0].storagePolicy"]);
}

#[test]
fn the_steps_after_a_clone_have_the_same_ids_when_they_are_planned_after_a_crash() {
    let desired = server();
    let all = steps(Difference {
        id: desired.id.clone(),
        what: What::Missing,
        desired: Some(desired),
        present: None,
    });
    let names: Vec<_> = all.steps.iter().map(|step| step.operation.as_str()).collect();
    assert_eq!(names, ["create", "name-disks", "power-on", "record-birth"]);
    let rest = changed(
        present(&[("power", json!("off"))]),
        &[
            ("born", json!(false), json!(true), Cause::Manifest),
            ("diskNames", json!("by place"), json!("kept"), Cause::Manifest),
        ],
    );
    let ids = |proposal: &Proposal| proposal.steps.iter().map(Step::id).collect::<Vec<_>>();
    assert_eq!(ids(&rest), ids(&all)[1..]);
    assert_eq!(all.steps[0].uses["datastore ssd-1"], 10 << 30);
    assert_eq!(all.steps[0].uses["memory"], 4 << 30);
}

#[test]
fn a_machine_that_came_another_way_is_recorded_and_not_started() {
    let restored = Present { identity: "another".to_owned(), ..present(&[("power", json!("off"))]) };
    let proposal = changed(restored, &[("born", json!(false), json!(true), Cause::Manifest)]);
    assert_eq!(operations(&proposal), [("record-birth", Class::Change, true)]);
}

#[test]
fn sizes_change_hot_or_with_a_restart_or_not_at_all() {
    let hot: &[(&str, serde_json::Value)] = &[("hotAdd.vcpus", json!(true))];
    let off: &[(&str, serde_json::Value)] = &[("power", json!("off"))];
    let resize = ("resize", Class::Change, true);
    let restart = [
        ("shut-down", Class::Restart, true),
        ("resize", Class::Change, false),
        ("power-on", Class::Change, false),
    ];
    for (fields, to, cause, expected) in [
        (hot, 4, Cause::Manifest, &[resize][..]),
        (hot, 4, Cause::Drift, &[resize][..]),
        (hot, 1, Cause::Manifest, &restart[..]),
        (&[], 4, Cause::Manifest, &restart[..]),
        (&[], 4, Cause::Drift, &[][..]),
        (off, 1, Cause::Manifest, &[resize][..]),
    ] {
        let proposal = changed(present(fields), &[("vcpus", json!(2), json!(to), cause)]);
        assert_eq!(operations(&proposal), expected, "{fields:?} to {to} by {cause:?}");
        assert_eq!(proposal.shown.len(), usize::from(expected.is_empty()));
    }
}

#[test]
fn a_restart_that_has_begun_is_finished_whatever_the_window() {
    let order = |text: &str| ("order", json!(text));
    let restarting = ("restarting", json!(true), json!(false), Cause::Manifest);
    let asked = order("restart 1970-01-01T00:00:00Z 1");
    let late = order("restart 1969-12-31T23:00:00Z 1");
    let refused = order("restart 1969-12-31T23:00:00Z 45");
    let off = ("power", json!("off"));
    let (shut, resize, on) = ("shut-down", "resize", "power-on");
    let change = Class::Change;
    for (fields, expected) in [
        (vec![asked.clone()], vec![(shut, change, false), (resize, change, false), (on, change, false)]),
        (vec![late], vec![(shut, change, true), (resize, change, false), (on, change, false)]),
        (vec![refused], vec![(shut, change, false), (resize, change, false), (on, change, false)]),
        (vec![asked, off.clone()], vec![(resize, change, true), (on, change, true)]),
        (vec![order("start"), off], vec![(resize, change, true), (on, change, true)]),
    ] {
        let size = ("vcpus", json!(2), json!(4), Cause::Manifest);
        let proposal = changed(present(&fields), &[size, restarting.clone()]);
        assert_eq!(operations(&proposal), expected, "{fields:?}");
    }
    let up_again = changed(present(&[order("start")]), &[restarting]);
    assert_eq!(operations(&up_again), [(on, change, true)], "all that is left is to say so");
}

#[test]
fn data_is_destroyed_only_as_a_class_of_its_own_and_a_folder_last() {
    let desired = server();
    let retired = Present { retired_at: Some(NOW), ..present(&[("power", json!("off"))]) };
    let gone = |what, present| {
        let id = desired.id.clone();
        steps(Difference { id, what, desired: None, present: Some(present) })
    };
    assert_eq!(
        operations(&gone(What::Retire, present(&[]))),
        [("shut-down", Class::Retire, true), ("retire", Class::Retire, false)]
    );
    assert_eq!(
        operations(&gone(What::Remove, retired)),
        [("destroy", Class::Destroy, true), ("forget", Class::Remove, false)]
    );
    let folder = expanded(tenant()).remove(0);
    let full = Present { fields: Facts::from([("children", json!(1))]), ..Present::default() };
    let proposal =
        steps(Difference { id: folder.id, what: What::Remove, desired: None, present: Some(full) });
    assert!(matches!(proposal.steps[0].blocked, Some(Wait::InUse { .. })), "{proposal:#?}");
}

#[test]
fn the_schema_has_a_rule_for_every_field_that_is_expanded() {
    let schema = schema();
    let unruled: BTreeMap<_, _> = expanded(tenant())
        .into_iter()
        .flat_map(|resource| {
            resource.fields.into_keys().map(move |field| (field, resource.id.key.kind.clone()))
        })
        .filter(|(field, kind)| {
            let rules = &schema.kinds[kind];
            // The rule of a field without one bears the field's own path.
            !rules.fields.iter().any(|rule| rule.path == rules.rule(field).path)
        })
        .collect();
    assert_eq!(unruled, BTreeMap::new());
}
