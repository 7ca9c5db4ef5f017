//! What time has brought: servers whose turn it is, and the disks that are proven next. Pure.

use jiff::Timestamp;
use vertskommune_core::backup::proving::next_proofs;
use vertskommune_core::backup::{Backups, Schedule};
use vertskommune_core::names::{Installation, ProviderName, ResourceKey};
use vertskommune_core::observation::Observation;
use vertskommune_core::tenant::ValidatedTenant;
use vertskommune_core::transfer::{Due, Transfer, Work};

use crate::schema::{REPOSITORY, field};

/// What is due of this tenant. Nothing while its repository is not there or was not seen: then something else comes first,
/// and what is seen next asks again.
pub(crate) fn due(
    provider: &ProviderName,
    installation: &Installation,
    tenant: &ValidatedTenant,
    seen: &Observation,
    now: Timestamp,
) -> Due {
    let backup = tenant.backup.as_ref().filter(|backup| backup.provider == *provider);
    let Some((backup, window)) = backup.and_then(|backup| Some((backup, backup.window()?))) else {
        return Due::default();
    };
    let key = ResourceKey::new(REPOSITORY, tenant.name.as_str());
    let repository = seen.present(&tenant.name, &key);
    let Some(repository) = repository.filter(|repository| repository.retired_at.is_none()) else {
        return Due::default();
    };
    let none = Backups::default();
    let known = seen.backups.get(&tenant.name).map_or(&none, |known| &known.backups);
    let transfer = |due, server: &str, work| Transfer {
        due,
        provider: provider.clone(),
        tenant: tenant.name.clone(),
        server: server.to_owned(),
        work,
    };
    let schedule = Schedule::new(window, installation, &tenant.name);
    let asked = backup.after.filter(|after| *after <= now);
    let yet_to_come = backup.after.filter(|after| *after > now);
    let next = schedule.next(now).map(|turn| turn.begins).into_iter().chain(yet_to_come).min();
    let mut due = Due { now: Vec::new(), next };
    for server in tenant.servers.iter().filter(|server| backup.selection.covers(server)) {
        let good = known.servers.get(&server.name).and_then(|known| known.last_good);
        // What cannot be backed up now will hardly be a minute later: it has had its turn.
        let attempt = repository.fields.get(&format!("{}{}", field::ATTEMPTS, server.name));
        let attempt: Option<Timestamp> = attempt.and_then(|begun| begun.as_str()?.parse().ok());
        let begun = || good.into_iter().chain(attempt);
        let turn = schedule.turn(now).filter(|_| schedule.is_due(begun(), now));
        let order = asked.filter(|after| begun().all(|begun| begun < *after || begun > now));
        if let Some(due_at) = order.or(turn.map(|turn| turn.begins)) {
            due.now.push(transfer(due_at, &server.name, Work::Backup));
        }
    }
    for target in next_proofs(backup, &tenant.servers, known, now) {
        if target.due <= now {
            due.now.push(transfer(target.due, &target.server, Work::Proof { disk: target.disk }));
        } else {
            due.next = Some(due.next.map_or(target.due, |next| next.min(target.due)));
        }
    }
    due.now.sort();
    due
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use jiff::SignedDuration;
    use vertskommune_core::backup::Known;
    use vertskommune_core::backup::facts::{DiskBackup, Outcome, Proof, ServerBackups};
    use vertskommune_core::observation::Blindness;

    use super::*;
    use crate::observe::{Inner, View};
    use crate::testing::{description, state, tenant};

    const INSTALLATION: &str = "nord";

    fn seen(backups: Backups, attempts: &[(&str, Timestamp)]) -> Observation {
        let attempts = attempts.iter().map(|(server, at)| ((*server).to_owned(), *at)).collect();
        let inner = Inner::Read { fits: true, backups: Arc::new(backups), attempts };
        let view = View {
            provider: &"room-2".into(),
            description: &description(),
            now: Timestamp::UNIX_EPOCH,
            quota: None,
        };
        view.observation(&[(state(), inner)], None)
    }

    fn ask(seen: &Observation, now: Timestamp) -> (Vec<String>, Option<Timestamp>) {
        let due = due(&"room-2".into(), &INSTALLATION.into(), &tenant(), seen, now);
        (due.now.iter().map(ToString::to_string).collect(), due.next)
    }

    fn turn() -> Timestamp {
        let tenant = tenant();
        let window = tenant.backup.as_ref().unwrap().window().unwrap().clone();
        let schedule = Schedule::new(&window, &INSTALLATION.into(), &tenant.name);
        schedule.next("2026-11-28T12:00:00Z".parse().unwrap()).unwrap().begins
    }

    fn taken(at: Timestamp, proof: Option<Timestamp>) -> Backups {
        let proof = proof.map(|at| Proof { at, outcome: Outcome::Intact });
        let disks = BTreeMap::from([("data".to_owned(), DiskBackup { bytes: 1, taken: at, proof })]);
        let server = ServerBackups { last_good: Some(at), disks, ..ServerBackups::default() };
        Backups { servers: BTreeMap::from([("ibe-fs01".to_owned(), server)]), ..Backups::default() }
    }

    #[test]
    fn a_server_has_its_turn_once_a_night() {
        let (turn, minute) = (turn(), SignedDuration::from_mins(1));
        let none = seen(Backups::default(), &[]);
        assert_eq!(ask(&none, turn - minute), (vec![], Some(turn)));
        assert_eq!(ask(&none, turn + minute).0, ["backing up ibe-fs01"]);
        let tried = seen(Backups::default(), &[("ibe-fs01", turn)]);
        assert_eq!(ask(&tried, turn + minute * 2).0, [""; 0], "it came to nothing this night");
        assert_eq!(ask(&tried, turn + SignedDuration::from_hours(24) + minute).0, ["backing up ibe-fs01"]);
        let done = seen(taken(turn, Some(turn)), &[]);
        assert_eq!(ask(&done, turn + minute).0, [""; 0]);
    }

    #[test]
    fn who_asks_for_a_backup_gets_one_whatever_the_hour() {
        let (turn, hour) = (turn(), SignedDuration::from_hours(1));
        let noon = turn + hour * 12;
        let ask = |seen: &Observation, after: Timestamp, now: Timestamp| {
            let mut tenant = tenant();
            tenant.backup.as_mut().unwrap().after = Some(after);
            let due = due(&"room-2".into(), &INSTALLATION.into(), &tenant, seen, now);
            (due.now.iter().map(ToString::to_string).collect::<Vec<_>>(), due.next)
        };
        let last_night = seen(taken(turn, Some(turn)), &[]);
        let both = ["backing up ibe-fs01", "proving ibe-fs01/data"];
        assert_eq!(ask(&last_night, noon, noon).0, both);
        assert_eq!(ask(&last_night, noon + hour, noon), (vec![], Some(noon + hour)), "it is yet to come");
        let ask = |seen: &Observation, after: Timestamp, now: Timestamp| ask(seen, after, now).0;
        assert_eq!(ask(&last_night, turn - hour, noon), [""; 0], "there is one already");
        let done = seen(taken(noon + hour, Some(noon + hour)), &[]);
        assert_eq!(ask(&done, noon, noon + hour * 2), [""; 0]);
        let tried = seen(taken(turn, Some(noon + hour)), &[("ibe-fs01", noon + hour)]);
        assert_eq!(ask(&tried, noon, noon + hour * 2), [""; 0], "it came to nothing");
    }

    #[test]
    fn the_first_proof_comes_with_the_first_backup() {
        let turn = turn();
        let unproven = seen(taken(turn, None), &[]);
        assert_eq!(ask(&unproven, turn).0, ["proving ibe-fs01/data"]);
    }

    #[test]
    fn a_proof_of_next_year_does_not_end_proving() {
        let turn = turn();
        let ahead = seen(taken(turn, Some(turn + SignedDuration::from_hours(24 * 365))), &[]);
        assert_eq!(ask(&ahead, turn).0, ["proving ibe-fs01/data"]);
    }

    #[test]
    fn what_was_not_seen_is_not_due() {
        let now = turn();
        let blind = Observation::blind(&"room-2".into(), Blindness::NotYetObserved);
        assert_eq!(ask(&blind, now), (vec![], None));
        let mut known = Observation::blind(&"room-2".into(), Blindness::NotYetObserved);
        known.backups.insert("ibestad".into(), Known { seen_at: now, backups: Arc::default() });
        assert_eq!(ask(&known, now), (vec![], None));
    }
}
