//! Whether `why` was seen to be right for every reason that there is, and every alert to fire and clear: the end of `make test`, after all
//! that make them.

use std::collections::{BTreeMap, BTreeSet};

use vertskommune_core::reason::{Reason, Who};
use vertskommune_tests::alerts::Alerts;
use vertskommune_tests::peer::can_be_had;
use vertskommune_tests::whys;

/// What no test can make by its real cause, and why not.
const NEVER: &[(Reason, &str)] = &[
    (
        Reason::Troubled,
        "the word for a list of problems that is empty, and a trust is only ever judged so where there is a problem",
    ),
    (
        Reason::NoRights,
        "the agent for Windows Server alone tells it: that for Samba runs as root, to whom its directory denies nothing",
    ),
    (
        Reason::PartnerUnreachable,
        "the agent for Windows Server alone tells it: Samba asks nothing of the partner to make its own side of a trust",
    ),
    (
        Reason::DependencyCycle,
        "what plugins make of a manifest refers in no circle: the plan refuses one that would",
    ),
];

#[test]
fn every_reason_was_told_by_its_real_cause_and_cleared_by_its_advice() {
    // Without root neither the second room nor the directories were there to tell anything.
    if !can_be_had("the reasons of backups and trusts") {
        return;
    }
    let seen = whys::all();
    let never: BTreeMap<Reason, &str> = NEVER.iter().copied().collect();
    let hinders = |reason: &&Reason| reason.who() != Who::Well;
    let wanted: BTreeSet<Reason> = Reason::ALL.iter().filter(hinders).copied().collect();
    println!("why: {} of {} reasons told by their cause and cleared", seen.len(), wanted.len());
    let missing: Vec<&Reason> =
        wanted.difference(&seen).filter(|reason| !never.contains_key(*reason)).collect();
    assert!(missing.is_empty(), "no test of this run has seen {missing:?} come and go (target/seen)");
    let made: Vec<&Reason> = never.keys().filter(|reason| seen.contains(reason)).collect();
    assert!(made.is_empty(), "{made:?} can be made after all: take them out of NEVER");
}

#[test]
fn every_alert_fired_at_its_cause_and_cleared_after_the_remedy() {
    if !can_be_had("the causes of alerts about backups and trusts") {
        return;
    }
    let Some(alerts) = Alerts::of_the_lab() else { return };
    alerts.were_all_seen();
}
