//! What is said of the trust, from a plan that is converged but for one change.

use std::collections::BTreeSet;
use std::sync::Arc;

use vertskommune_core::directory::health::{
    Abilities, Channel, Dns, End, Looked, Object, Refused, Ticket, Way, Which,
};
use vertskommune_core::directory::{Direction, Directory, Report, Signals, TrustKind, report};
use vertskommune_core::observation::Observation;

use super::*;
use crate::conditions::{DIRECTORY_READY, ONBOARDED};
use crate::{Catalogue, Tenant, validate_tenant};

const SID: &str = "S-1-5-21-1-2-3";

fn wanted(mode: &str) -> Directory {
    let mut manifest = serde_json::json!({
        "apiVersion": "vertskommune.no/v1alpha1", "kind": "Tenant", "metadata": {"name": "ibestad"},
        "spec": {
            "displayName": "Ibestad kommune",
            "directory": {
                "provider": "ad-host", "domain": "ibestad.test", "domainSid": SID,
                "access": [{"usersOf": "tenant", "servicesOf": "host"}, {"usersOf": "host", "servicesOf": "tenant"}],
                "domainControllers": ["ibedc.ibestad.test"], "dnsServers": ["10.77.0.11"],
                "partnerSide": {"mode": mode, "secretRef": "ibestad-dc"},
            },
        },
    });
    if mode == "Agent" {
        let side = &mut manifest["spec"]["directory"]["partnerSide"];
        side["endpoint"] = "ssh://svc-trust@10.77.0.11:22".into();
        side["identity"] = "ssh-ed25519 AAAA".into();
    }
    let manifest: Tenant = serde_json::from_value(manifest).unwrap();
    validate_tenant(&manifest, &Catalogue::default()).unwrap().directory.unwrap()
}

fn well() -> Signals {
    let end = || End {
        object: Looked::Present(Object {
            sid: SID.to_owned(),
            direction: Some(Direction::Both),
            kind: Some(TrustKind::Forest),
            selective: false,
            conflicts: Vec::new(),
        }),
        channel: Some(Channel::Well),
        ticket: Some(Ticket::Had),
        has_orphan: false,
        can: Abilities::default(),
    };
    Signals {
        host: end(),
        tenant: end(),
        way: Some(Way::default()),
        sid: Some(SID.to_owned()),
        host_sid: None,
        refusal: None,
        todo: Vec::new(),
    }
}

type Signal = fn(&mut Signals);

/// What the report says where both sides are well but for the change.
fn judged(change: Signal) -> Report {
    let mut signals = well();
    change(&mut signals);
    seen(&wanted("Agent"), signals)
}

fn seen(wanted: &Directory, signals: Signals) -> Report {
    let mut seen = Observation::empty(&"ad-host".into());
    seen.trusts.insert("ibestad".into(), Arc::new(signals));
    report(wanted, &"ibestad".into(), Some(&seen))
}

fn asking(report: Report) -> Plan {
    let mut plan = converged();
    plan.directory = Some(report);
    plan.concerns.insert(Concern::Directory, Part { tally: Tally { ready: 1, total: 1 }, doubt: None });
    plan
}

fn valid() -> Plan {
    asking(judged(|_| {}))
}

fn trust() -> ResourceId {
    ResourceId::new(&"ibestad".into(), &"ad-host".into(), ResourceKey::new("trust", "ibestad.test"))
}

fn refusal() -> Refusal {
    let (field, message) = ("spec.directory".to_owned(), "a trust stands and is none of ours".to_owned());
    Refusal { resource: trust(), field, reason: RefusalReason::NotOurs, message }
}

/// Ready, DirectoryReady and Onboarded in short.
fn said(status: &TenantStatus) -> String {
    check::all(&status.conditions, Some(4));
    let of = |kind| {
        find(&status.conditions, kind).map_or("-".to_owned(), |it| format!("{} {}", it.status, it.reason))
    };
    [READY, DIRECTORY_READY, ONBOARDED].map(of).join(", ")
}

fn message(status: &TenantStatus, kind: &str) -> String {
    find(&status.conditions, kind).map(|it| it.message.clone()).unwrap_or_default()
}

#[test]
fn without_a_directory_our_side_is_all_of_it() {
    let mut plan = converged();
    let status = self::status(None, &input(&plan), now());
    assert_eq!((said(&status).as_str(), status.directory), ("True Converged, -, True Onboarded", None));
    plan.steps.push(step(Class::Create, None));
    assert_eq!(said(&self::status(None, &input(&plan), now())), "False Progressing, -, False NotReady");
}

#[test]
fn each_verdict_has_its_word_and_ready_waits_for_our_side_alone() {
    let cases: [(&str, Signal, &str); 12] = [
        ("all is well", |_| {}, "True Valid, True Onboarded"),
        (
            "no side stands",
            |it| (it.host, it.tenant) = (absent(), absent()),
            "False NotMade, False DirectoryNotReady",
        ),
        ("one side stands", |it| it.tenant = absent(), "False OneSided, False DirectoryNotReady"),
        (
            "DNS is silent, and so nobody is seen behind it",
            |it| {
                it.way.as_mut().unwrap().their_dns = Dns::Silent;
                it.tenant.object = Looked::Blind(Blindness::Unreachable("timeout".to_owned()));
            },
            "False DnsSilent, False DirectoryNotReady",
        ),
        (
            "ports are closed",
            |it| it.way.as_mut().unwrap().closed = BTreeSet::from(["88/udp".to_owned()]),
            "False PortsClosed, False DirectoryNotReady",
        ),
        (
            "the clocks are apart",
            |it| it.way.as_mut().unwrap().skew = Some(900),
            "False ClockSkew, False DirectoryNotReady",
        ),
        (
            "other secrets",
            |it| it.host.channel = Some(Channel::WrongSecret),
            "False WrongSecret, False DirectoryNotReady",
        ),
        (
            "no ticket",
            |it| it.host.ticket = Some(Ticket::Refused("no".to_owned())),
            "False TicketRefused, False DirectoryNotReady",
        ),
        (
            "a side refuses",
            |it| {
                let (reason, message) = ("PartnerNotAllowed".to_owned(), "not in its file".to_owned());
                it.refusal = Some(Refused { by: Which::Tenant, reason, message });
            },
            "False PartnerNotAllowed, False DirectoryNotReady",
        ),
        (
            "the tenant's agent is not seen",
            |it| it.tenant.object = Looked::Blind(Blindness::CredentialsRefused),
            "Unknown CredentialsRefused, Unknown DirectoryUnknown",
        ),
        (
            "the host's agent is not seen",
            |it| it.host.object = Looked::Blind(Blindness::Unreachable("timeout".to_owned())),
            "Unknown Unreachable, Unknown DirectoryUnknown",
        ),
        ("it was not tried yet", |it| it.host.channel = None, "Unknown Incomplete, Unknown DirectoryUnknown"),
    ];
    for (case, change, expected) in cases {
        let status = status(None, &input(&asking(judged(change))), now());
        assert_eq!(said(&status), format!("True Converged, {expected}"), "{case}");
        let word = expected.split([' ', ',']).nth(1);
        assert_eq!(status.directory.as_ref().map(|it| it.trust.as_str()), word, "{case}");
        // Why it is not onboarded is said there too.
        if !expected.starts_with("True") {
            assert_eq!(message(&status, ONBOARDED), message(&status, DIRECTORY_READY), "{case}");
        }
    }
}

fn absent() -> End {
    End { object: Looked::Absent, ..End::default() }
}

#[test]
fn what_the_plan_tells_goes_with_it() {
    type Change = fn(&mut Plan);
    let cases: [(&str, Change, &str); 8] = [
        (
            "it is to be changed yet",
            |it| {
                it.concerns
                    .insert(Concern::Directory, Part { tally: Tally { ready: 0, total: 1 }, doubt: None });
                it.steps.push(step(Class::Change, None));
            },
            "False Progressing, False NotAllReady, False NotReady",
        ),
        (
            "what waits for a window is not urgent",
            |it| it.steps.push(step(Class::Restart, Some(Wait::MaintenanceWindow { opens: None }))),
            "True Converged, True Valid, True Onboarded",
        ),
        (
            "what others made stands in the way of what is not there",
            |it| {
                *it = asking(judged(|it| (it.host, it.tenant) = (absent(), absent())));
                it.refusals.push(refusal());
            },
            "False NotOurs, False NotOurs, False NotReady",
        ),
        (
            "what is wrong with a trust that stands tells more than a refusal",
            |it| {
                *it = asking(judged(|it| it.host.channel = Some(Channel::WrongSecret)));
                it.refusals.push(refusal());
            },
            "False NotOurs, False WrongSecret, False NotReady",
        ),
        (
            "another tenant has the domain",
            |it| it.findings.push(Finding { field: "spec.directory.domain".to_owned(), ..collision() }),
            "False Collision, False Collision, False NotReady",
        ),
        (
            "another tenant has the VLAN, which is none of the trust's",
            |it| it.findings.push(collision()),
            "False Collision, True Valid, False NotReady",
        ),
        (
            "a server is to be made yet",
            |it| it.steps.push(step(Class::Create, None)),
            "False Progressing, True Valid, False NotReady",
        ),
        (
            "vCenter does not answer",
            |it| it.doubts.push(doubt(Blindness::Unreachable("timeout".to_owned()))),
            "Unknown Unreachable, True Valid, Unknown Unknown",
        ),
    ];
    for (case, change, expected) in cases {
        let mut plan = valid();
        change(&mut plan);
        assert_eq!(said(&status(None, &input(&plan), now())), expected, "{case}");
    }
}

#[test]
fn what_others_have_to_run_is_shown_until_the_trust_is_valid() {
    let command = "Add-DnsServerConditionalForwarderZone -Name 'host.test'";
    let manual = |change: Signal| {
        let mut signals = Signals { tenant: End::default(), todo: vec![command.to_owned()], ..well() };
        change(&mut signals);
        status(None, &input(&asking(seen(&wanted("Manual"), signals))), now())
    };
    let waiting = manual(|it| (it.host.channel, it.host.ticket) = (None, None));
    assert_eq!(said(&waiting), "True Converged, False WaitingForPartner, False DirectoryNotReady");
    let shown = serde_json::to_value(&waiting.directory).unwrap();
    let expected = serde_json::json!({
        "domain": "ibestad.test", "trustDirection": "Bidirectional", "trust": "WaitingForPartner", "partnerCommands": [command],
    });
    assert_eq!(shown, expected);
    let done = manual(|_| {});
    assert_eq!(said(&done), "True Converged, True Valid, True Onboarded");
    assert_eq!(done.directory.unwrap().partner_commands, Vec::<String>::new());
}

#[test]
fn all_problems_are_listed_and_the_first_is_the_reason() {
    let status = status(
        None,
        &input(&asking(judged(|it| {
            it.way.as_mut().unwrap().skew = Some(-900);
            it.host.ticket = Some(Ticket::Refused("x".repeat(2000)));
        }))),
        now(),
    );
    let directory = status.directory.unwrap();
    let problems: Vec<&str> = directory.problems.iter().map(|it| it.reason.as_str()).collect();
    assert_eq!((directory.trust.as_str(), problems), ("ClockSkew", vec!["ClockSkew", "TicketRefused"]));
    assert!(directory.problems[0].message.contains("900 s behind"), "{}", directory.problems[0].message);
    assert!(directory.problems[1].message.chars().count() <= 512, "as long as the schema takes");
}

#[test]
fn each_direction_has_its_word() {
    for (change, expected) in [
        ((|_| {}) as fn(&mut Directory), "Bidirectional"),
        (|it| it.to_tenant = None, "Outbound"),
        (|it| it.to_host = None, "Inbound"),
    ] {
        let mut wanted = wanted("Agent");
        change(&mut wanted);
        let status = status(None, &input(&asking(seen(&wanted, well()))), now());
        assert_eq!(status.directory.unwrap().trust_direction, expected);
    }
}

fn unseen() -> Plan {
    let blind = Observation::blind(&"ad-host".into(), Blindness::NotYetObserved);
    let mut plan = asking(report(&wanted("Agent"), &"ibestad".into(), Some(&blind)));
    // The servers have been looked at, so that something is said.
    plan.doubts.push(doubt(Blindness::Unreachable("timeout".to_owned())));
    plan
}

#[test]
fn a_start_that_has_not_looked_yet_says_what_was_said() {
    for (before, expected) in [
        (valid(), "True Valid"),
        (asking(judged(|it| it.tenant = absent())), "False OneSided"),
        (
            asking(judged(|it| it.tenant.object = Looked::Blind(Blindness::CredentialsRefused))),
            "Unknown CredentialsRefused",
        ),
    ] {
        let first = status(None, &input(&before), now());
        let next = status(Some(&first), &input(&unseen()), now());
        assert_eq!(said(&next), format!("Unknown Unreachable, {expected}, Unknown Unknown"));
        assert_eq!(next.directory, first.directory);
        assert_eq!(message(&next, DIRECTORY_READY), message(&first, DIRECTORY_READY));
    }
    let newcomer = status(None, &input(&unseen()), now());
    assert_eq!(said(&newcomer), "Unknown Unreachable, Unknown NotYetObserved, Unknown Unknown");
}

#[test]
fn nobody_to_ask_is_not_known() {
    let plan = asking(report(&wanted("Agent"), &"ibestad".into(), None));
    let status = status(None, &input(&plan), now());
    assert_eq!(said(&status), "True Converged, Unknown NoSight, Unknown DirectoryUnknown");
    assert!(message(&status, DIRECTORY_READY).contains("ad-host"));
}

#[test]
fn a_quiet_day_makes_no_write() {
    let first = status(None, &input(&valid()), now());
    let later = now() + jiff::SignedDuration::from_hours(5);
    assert_eq!(status(Some(&first), &input(&valid()), later), first);
    let broken = asking(judged(|it| it.host.channel = Some(Channel::WrongSecret)));
    assert!(is_transition(Some(&first), &status(Some(&first), &input(&broken), later)));
}

#[test]
fn a_refused_manifest_says_nothing_of_it_and_keeps_what_is_known() {
    let first = status(None, &input(&valid()), now());
    let violations = [Violation::new("spec.directory.domain", "is no DNS name")];
    let plan = converged();
    let refused = StatusInput { outcome: Outcome::Refused(&violations), ..input(&plan) };
    let next = status(Some(&first), &refused, now());
    assert_eq!(said(&next), "False Refused, Unknown Refused, Unknown Refused");
    assert_eq!(next.directory, first.directory);
    let newcomer = status(None, &refused, now());
    assert_eq!(said(&newcomer), "False Refused, -, -");
}

#[test]
fn a_directory_that_is_asked_for_no_more_is_not_spoken_of() {
    let first = status(None, &input(&valid()), now());
    let next = status(Some(&first), &input(&converged()), now());
    assert_eq!((said(&next).as_str(), next.directory), ("True Converged, -, True Onboarded", None));
}
