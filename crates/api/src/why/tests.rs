//! One status each, and what then hinders and helps.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::conditions::{Conditions, ONBOARDED, UP_TO_DATE};
use crate::tenant::{Compute, PlanStatus};
use crate::{HostProviderSpec, HostProviderStatus, TenantSpec, TenantStatus};

const ASKER: Asker<'_> = Asker { program: "kubectl vertskommune", namespace: "vertskommune-system" };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn host(truth: bool, reason: &str, message: &str) -> HostProvider {
    let mut host = HostProvider::new("vcenter-main", HostProviderSpec::default());
    let mut conditions = Conditions::new(&[], Some(1), at(50));
    conditions.set(READY, truth, reason, message);
    host.status =
        Some(HostProviderStatus { conditions: conditions.finish(), ..HostProviderStatus::default() });
    host
}

/// A tenant of the third generation whose conditions these are.
fn tenant(say: impl FnOnce(&mut Conditions<'_>)) -> Tenant {
    let spec = TenantSpec {
        compute: Some(Compute { provider: "vcenter-main".to_owned(), ..Compute::default() }),
        ..TenantSpec::default()
    };
    let mut tenant = Tenant::new("ibestad", spec);
    tenant.metadata.generation = Some(3);
    let mut conditions = Conditions::new(&[], Some(3), at(100));
    say(&mut conditions);
    tenant.status = Some(TenantStatus {
        observed_generation: Some(3),
        conditions: conditions.finish(),
        ..TenantStatus::default()
    });
    tenant
}

fn waiting(id: &str, class: &str, summary: &str, reason: Reason) -> StepStatus {
    StepStatus {
        id: id.to_owned(),
        summary: summary.to_owned(),
        class: class.to_owned(),
        waiting: Some(WaitingStatus { reason: reason.word().to_owned(), message: "a sentence".to_owned() }),
    }
}

fn with_steps(mut tenant: Tenant, steps: Vec<StepStatus>) -> Tenant {
    if let Some(status) = &mut tenant.status {
        status.plan = Some(PlanStatus { digest: "d".to_owned(), total: 1, steps });
    }
    tenant
}

fn well(conditions: &mut Conditions<'_>) {
    conditions.set(READY, true, "Converged", "Converged");
    conditions.set(UP_TO_DATE, true, "UpToDate", "Nothing to do");
}

fn answer(tenant: &Tenant, host: HostProvider) -> String {
    text("ibestad", &why(tenant, &[host], ASKER), at(220), Colour::Never)
}

fn seen() -> HostProvider {
    host(true, "Seen", "It answers as the one that is pinned")
}

#[test]
fn nothing_hinders_a_tenant_that_has_converged() {
    assert_eq!(answer(&tenant(well), seen()), "tenant ibestad  nothing hinders it\n");
}

#[test]
fn a_dead_endpoint_is_told_once_and_by_its_own_words() {
    let blind = tenant(|it| {
        it.set(
            READY,
            crate::conditions::Truth::Unknown,
            "Unreachable",
            "Unknown: server/ibe-fs01 on vcenter-main",
        );
        it.set(SERVERS_READY, crate::conditions::Truth::Unknown, "Unreachable", "0 of 1 servers");
        it.set(
            ONBOARDED,
            crate::conditions::Truth::Unknown,
            "Unknown",
            "It cannot be told of everything: see Ready",
        );
    });
    assert_eq!(
        answer(&blind, host(false, "Unreachable", "it does not answer: connection refused")),
        "tenant ibestad  1 hindrance, 1 needs a person\n  \
         ✗ HostProvider/vcenter-main  [Unreachable]  since 2m50s\n      \
         it does not answer: connection refused\n      \
         → bring vcenter-main back, or the way there: kubectl vertskommune preflight --cluster tells what fails; nothing \
         is changed meanwhile\n"
    );
}

#[test]
fn a_step_that_destroys_is_told_with_the_words_that_let_it_go() {
    let steps = vec![
        waiting("2330b43102f9", "destroy", "server/ibe-fs02: destroy it", Reason::ApprovalNeeded),
        waiting("aaaaaaaaaaaa", "destroy", "server/ibe-fs03: destroy it", Reason::ApprovalNeeded),
        waiting("dddddddddddd", "change", "server/ibe-fs03: clear its record", Reason::ApprovalNeeded),
    ];
    let deferred = tenant(|it| {
        it.set(READY, true, "Converged", "Converged; server/ibe-fs02: waits");
        it.set(UP_TO_DATE, false, "Deferred", "2 steps wait");
    });
    let found = why(&with_steps(deferred, steps), &[seen()], ASKER);
    let helps: Vec<&str> = found.iter().map(|it| it.help.as_str()).collect();
    assert_eq!(
        helps,
        [
            "look at what it destroys, then name it: kubectl vertskommune approve ibestad 2330b43102f9 --apply",
            "look at what it destroys, then name it: kubectl vertskommune approve ibestad aaaaaaaaaaaa --apply",
        ]
    );
    assert!(found.iter().all(|it| it.needs_person), "{found:#?}");
}

#[test]
fn what_waits_for_one_reason_is_told_in_one_block() {
    let steps = (0..7)
        .map(|number| {
            let summary = format!("server/ibe-fs0{number}: set memory");
            waiting(&format!("00000000000{number}"), "restart", &summary, Reason::MaintenanceWindow)
        })
        .chain([waiting("bbbbbbbbbbbb", "change", "network/a: x", Reason::WaitingForDependency)])
        .collect();
    let found = why(&with_steps(tenant(well), steps), &[seen()], ASKER);
    assert_eq!(found.len(), 1, "what only follows is left out: {found:#?}");
    assert!(found[0].what.starts_with("steps 000000000000 server/ibe-fs00: set memory; "), "{found:#?}");
    assert!(found[0].what.ends_with("; 2 more"), "{found:#?}");
    assert!(found[0].help.contains("restartBefore: to a time that is yet to come on ibe-fs00"), "{found:#?}");
}

#[test]
fn what_the_manifest_itself_tells_is_told_before_any_controller_has_answered() {
    let mut new = Tenant::new("ibestad", TenantSpec::default());
    new.metadata.creation_timestamp = Some(Time(at(100)));
    let reasons = |tenant: &Tenant| -> Vec<String> {
        why(tenant, &[seen()], ASKER).into_iter().map(|it| it.reason).collect()
    };
    assert_eq!(reasons(&new), ["Pending"]);

    let mut changed = tenant(well);
    changed.metadata.generation = Some(4);
    assert_eq!(reasons(&changed), ["Pending"]);

    let mut suspended = tenant(|it| it.set(READY, false, "Suspended", "server/a: the tenant is suspended"));
    suspended.spec.suspend = true;
    let steps = vec![waiting("bbbbbbbbbbbb", "change", "server/a: x", Reason::Suspended)];
    assert_eq!(reasons(&with_steps(suspended, steps)), ["Suspended"]);

    let mut nowhere = tenant(well);
    nowhere.spec.compute = Some(Compute { provider: "vcenter-nowhere".to_owned(), ..Compute::default() });
    assert_eq!(reasons(&nowhere), ["UnknownProvider"]);

    let mut leaving = tenant(well);
    leaving.metadata.deletion_timestamp = Some(Time(at(150)));
    assert_eq!(reasons(&leaving), ["Leaving"]);
}

#[test]
fn every_reason_that_a_condition_can_give_gets_its_advice() {
    for reason in Reason::ALL.iter().filter(|reason| reason.who() != Who::Well) {
        let hindered = tenant(|it| it.set(READY, false, reason.word(), "server/ibe-fs01: a sentence"));
        let found = why(&hindered, &[seen()], ASKER);
        assert_eq!(found.len(), 1, "{reason:?}: {found:#?}");
        assert_eq!(found[0].reason, reason.word());
        assert!(!found[0].help.is_empty() && !found[0].help.contains("PROVIDER"), "{reason:?}: {found:#?}");
        assert!(!found[0].help.contains("NAME"), "{reason:?}: {found:#?}");
    }
}

#[test]
fn each_thing_that_cannot_be_backed_up_is_told_with_its_own_advice() {
    let mut hindered = tenant(|it| {
        well(it);
        it.set(PROTECTED, false, "NotEverythingCanBeBackedUp", "ibe-db01: disk data: it has no snapshot");
    });
    let server = |name: &str, why: &[Reason]| ServerBackupStatus {
        name: name.to_owned(),
        problem: Some("NotEverythingCanBeBackedUp".to_owned()),
        hindered_by: why.iter().map(|reason| reason.word().to_owned()).collect(),
        ..ServerBackupStatus::default()
    };
    let servers = vec![
        server("ibe-db01", &[Reason::RawDeviceMapping, Reason::SharedDisk]),
        server("ibe-db02", &[Reason::SharedDisk]),
    ];
    if let Some(status) = &mut hindered.status {
        status.backup = Some(crate::tenant::BackupStatus { servers, ..Default::default() });
    }
    let told: Vec<(String, String)> =
        why(&hindered, &[seen()], ASKER).into_iter().map(|it| (it.reason, it.message)).collect();
    let expected = [
        ("NotEverythingCanBeBackedUp", "ibe-db01: disk data: it has no snapshot"),
        ("RawDeviceMapping", "of ibe-db01: see Protected"),
        ("SharedDisk", "of ibe-db01, ibe-db02: see Protected"),
    ];
    assert_eq!(told, expected.map(|(reason, message)| (reason.to_owned(), message.to_owned())));
}

#[test]
fn a_reason_of_another_version_is_told_as_it_is() {
    let strange = tenant(|it| it.set(READY, false, "Tomorrow", "a sentence"));
    let found = why(&strange, &[seen()], ASKER);
    assert_eq!((found[0].reason.as_str(), found[0].message.as_str()), ("Tomorrow", "a sentence"));
    assert!(found[0].needs_person);
}

#[test]
fn the_name_of_a_thing_is_read_from_a_sentence() {
    for (message, expected) in [
        ("server/ibe-fs01: set memory", Some("ibe-fs01")),
        ("Unknown: server/ibe-fs01 on vcenter-main", Some("ibe-fs01")),
        ("3/7 servers", Some("7")),
        ("nothing here", None),
        ("https://example.org", None),
    ] {
        assert_eq!(thing_in(message), expected, "{message}");
    }
}
