use std::time::Duration;

use super::*;
use vertskommune_api::HostProviderSpec;
use vertskommune_api::conditions::{RECONCILING, STALLED, check, find};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn manifest() -> HostProvider {
    let spec = HostProviderSpec { identity: "uuid-1".to_owned(), ..HostProviderSpec::default() };
    let mut manifest = HostProvider::new("vcenter-main", spec);
    manifest.metadata.generation = Some(1);
    manifest
}

fn health(health: Health, observed: Option<i64>) -> EndpointHealth {
    EndpointHealth { health, version: "8.0.3".to_owned(), observed_at: observed.map(at) }
}

#[test]
fn every_state_is_reported_by_the_rules_of_conditions() {
    let misidentified =
        Blindness::Misidentified { expected: "uuid-1".to_owned(), found: "uuid-2".to_owned() };
    for (known, ready, reachable, extra) in [
        (Health::Seen, "True", "True", None),
        (Health::Blind(Blindness::NotYetObserved), "Unknown", "Unknown", Some(RECONCILING)),
        (Health::Blind(Blindness::Unreachable("no route".to_owned())), "False", "False", Some(RECONCILING)),
        (Health::Blind(misidentified), "False", "False", Some(STALLED)),
        (Health::Blind(Blindness::CredentialsRefused), "False", "Unknown", Some(STALLED)),
        (Health::Blind(Blindness::NoSight("root".to_owned())), "False", "True", Some(STALLED)),
    ] {
        let status = status(&manifest(), None, &State::Known(&health(known.clone(), Some(5))), at(10));
        check::all(&status.conditions, Some(1));
        assert_eq!(find(&status.conditions, READY).unwrap().status, ready, "{known:?}");
        assert_eq!(status.reachable.as_deref(), Some(reachable), "{known:?}");
        if let Some(extra) = extra {
            assert!(find(&status.conditions, extra).is_some(), "{known:?}");
        }
    }
}

#[test]
fn nothing_is_written_while_the_state_stays() {
    let manifest = manifest();
    let first = status(&manifest, None, &State::Known(&health(Health::Seen, Some(5))), at(10));
    let later = health(Health::Seen, Some(5 + i64::try_from(Duration::from_hours(1).as_secs()).unwrap()));
    assert_eq!(status(&manifest, Some(&first), &State::Known(&later), at(4000)), first, "a later look");
    let blind = |why: &str| health(Health::Blind(Blindness::Unreachable(why.to_owned())), Some(3605));
    let lost = status(&manifest, Some(&first), &State::Known(&blind("refused")), at(4001));
    assert_ne!(lost, first, "sight is lost");
    assert_eq!(lost.last_observed, Some(Time(at(3605))), "the last sight is told");
    assert_eq!(
        status(&manifest, Some(&lost), &State::Known(&blind("timed out")), at(4002)),
        lost,
        "another wording"
    );
    let restarted = health(Health::Blind(Blindness::NotYetObserved), None);
    assert_eq!(status(&manifest, Some(&lost), &State::Known(&restarted), at(4003)), lost, "after a start");
}
