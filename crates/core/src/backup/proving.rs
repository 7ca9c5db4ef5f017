//! Which backup is proven next, by restoring it: a fixed rule that turns through all disks, so that nobody has to
//! remember where it was.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Backup;
use super::facts::{Backups, Outcome, Proof};
use crate::tenant::Server;

/// How long after a restore that failed the same disk is tried again.
const AGAIN: SignedDuration = SignedDuration::from_hours(24);

/// What is proven, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofRule {
    /// How old the last proof may be.
    pub max_age: SignedDuration,
    /// What must have a proof of that age.
    pub scope: ProofScope,
}

/// What must have a fresh proof.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProofScope {
    /// One disk of the tenant; they take turns.
    OneDisk,
    /// One disk of each server; its disks take turns.
    #[default]
    OneDiskPerServer,
    /// Every disk.
    EveryDisk,
}

/// The disk that is proven next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// From when on.
    pub due: Timestamp,
    /// The server.
    pub server: String,
    /// Its disk.
    pub disk: String,
}

/// A disk in a group.
#[derive(Debug)]
struct GroupDisk<'a> {
    server: &'a str,
    name: &'a str,
    taken: Timestamp,
    proof: Option<&'a Proof>,
}

/// Disks of which one must have a fresh proof.
#[derive(Debug, Default)]
pub(super) struct Group<'a> {
    disks: Vec<GroupDisk<'a>>,
}

impl ProofRule {
    /// From when on a disk that was proven at that time is proven again: a third of the time is left for what goes wrong.
    fn again(&self, proven: Timestamp) -> Timestamp {
        proven.checked_add(self.max_age * 2 / 3).unwrap_or(Timestamp::MAX)
    }

    /// What must have a fresh proof, of all that is backed up: each with the server that it is about, where it is one.
    pub(super) fn groups<'a>(
        &self,
        backup: &'a Backup,
        servers: &'a [Server],
        backups: &'a Backups,
        now: Timestamp,
    ) -> Vec<(Option<&'a str>, Group<'a>)> {
        let mut groups: BTreeMap<(&str, &str), Group<'a>> = BTreeMap::new();
        for server in servers {
            let Some(known) = backups.servers.get(&server.name) else { continue };
            for (name, disk) in known.current(server, &backup.selection) {
                let group = match self.scope {
                    ProofScope::OneDisk => ("", ""),
                    ProofScope::OneDiskPerServer => (server.name.as_str(), ""),
                    ProofScope::EveryDisk => (server.name.as_str(), name),
                };
                let (server, proof) = (server.name.as_str(), disk.proof_by(now));
                let disk = GroupDisk { server, name, taken: disk.taken, proof };
                groups.entry(group).or_default().disks.push(disk);
            }
        }
        let about = |server: &'a str| (!server.is_empty()).then_some(server);
        groups.into_iter().map(|((server, _), group)| (about(server), group)).collect()
    }
}

impl Group<'_> {
    /// When one of them was last proven to be intact.
    pub(super) fn proven(&self) -> Option<Timestamp> {
        self.disks.iter().filter_map(|disk| disk.proof?.intact()).max()
    }

    /// The one that is proven next: what was found damaged, then what was never proven, then the oldest proof. Where
    /// somebody has asked for a proof it is due as long as none is younger than that.
    fn target(&self, rule: &ProofRule, asked: Option<Timestamp>) -> Option<Target> {
        let target = |disk: &GroupDisk<'_>, due| Target {
            due,
            server: disk.server.to_owned(),
            disk: disk.name.to_owned(),
        };
        let sooner = |proven: Timestamp, again: Timestamp| {
            asked.filter(|asked| proven < *asked).map_or(again, |asked| asked.min(again))
        };
        let damaged = self.disks.iter().filter_map(|disk| {
            let proof = disk.proof.filter(|proof| matches!(proof.outcome, Outcome::Damaged(_)))?;
            let again = proof.at.checked_add(AGAIN).unwrap_or(Timestamp::MAX);
            Some(target(disk, sooner(proof.at, again)))
        });
        let sound = self.disks.iter().filter(|disk| disk.proof.is_none_or(|it| it.intact().is_some()));
        let oldest = sound.min_by_key(|disk| (disk.proof.map(|it| it.at), disk.server, disk.name));
        let next = oldest.map(|disk| {
            // The first proof is due with the first backup.
            let due = self.proven().map_or(disk.taken, |proven| sooner(proven, rule.again(proven)));
            target(disk, due)
        });
        damaged.chain(next).min()
    }
}

/// The disks that are proven next, the earliest first: one for each proof that there must be, so that one that fails holds up
/// no other. Each is to be done once its `due` is past, and then this is asked again. Of a tenant's disks each gets its turn.
pub fn next_proofs(backup: &Backup, servers: &[Server], backups: &Backups, now: Timestamp) -> Vec<Target> {
    let groups = backup.proof.groups(backup, servers, backups, now);
    let mut targets: Vec<_> =
        groups.iter().filter_map(|(_, group)| group.target(&backup.proof, backup.after)).collect();
    targets.sort();
    targets
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::testing::{at, backup, hours, server, taken};
    use super::*;

    const NIGHT: &str = "2026-11-24T22:00:00Z";

    /// Disks, each with the time of its proof.
    type Disks<'a> = [(&'a str, Option<&'a str>)];

    fn known(servers: &[(&str, &Disks<'_>)]) -> Backups {
        let servers = servers.iter().map(|(name, disks)| ((*name).to_owned(), taken(NIGHT, disks)));
        Backups { servers: servers.collect(), ..Backups::default() }
    }

    /// The first of them, long after all that was written down.
    fn first(backup: &Backup, servers: &[Server], backups: &Backups) -> Option<Target> {
        next_proofs(backup, servers, backups, Timestamp::MAX).into_iter().next()
    }

    fn next(scope: ProofScope, backups: &Backups) -> String {
        let mut backup = backup();
        backup.proof = ProofRule { max_age: hours(168), scope };
        let servers = [server("db01", &["data"]), server("fs01", &["data", "logs"])];
        first(&backup, &servers, backups)
            .map_or_else(String::new, |it| format!("{}/{} {:.0}", it.server, it.disk, it.due))
    }

    #[test]
    fn the_oldest_proof_goes_first() {
        use ProofScope::{EveryDisk, OneDisk, OneDiskPerServer};
        let (old, older) = (Some("2026-11-20T08:00:00Z"), Some("2026-11-18T08:00:00Z"));
        let new = Some("2026-11-25T08:00:00Z");
        for (scope, servers, expected, reason) in [
            (OneDiskPerServer, &[][..], "", "nothing lies there yet"),
            (
                OneDiskPerServer,
                &[("fs01", &[("data", None), ("logs", None)][..])],
                "fs01/data 2026-11-24T22:00:00Z",
                "the first proof is due with the first backup",
            ),
            (
                OneDiskPerServer,
                &[("db01", &[("data", new)]), ("fs01", &[("data", new), ("logs", None)])],
                "db01/data 2026-11-30T00:00:00Z",
                "one of each server is enough for now",
            ),
            (
                OneDiskPerServer,
                &[("db01", &[("data", new)]), ("fs01", &[("data", old), ("logs", None)])],
                "fs01/logs 2026-11-25T00:00:00Z",
                "its turn comes two thirds of the time later, and what was never proven goes first",
            ),
            (
                OneDiskPerServer,
                &[("db01", &[("data", new)]), ("fs01", &[("data", old), ("logs", older)])],
                "fs01/logs 2026-11-25T00:00:00Z",
                "the older of two, as soon as the newer is old enough",
            ),
            (
                OneDisk,
                &[("db01", &[("data", old)]), ("fs01", &[("data", new), ("logs", older)])],
                "fs01/logs 2026-11-30T00:00:00Z",
                "one disk of all, the oldest of them",
            ),
            (
                EveryDisk,
                &[("db01", &[("data", new)]), ("fs01", &[("data", old), ("logs", None)])],
                "fs01/logs 2026-11-24T22:00:00Z",
                "every disk for itself",
            ),
            (
                OneDiskPerServer,
                &[("gone", &[("data", None)])],
                "",
                "of what the manifest does not name nothing is proven",
            ),
        ] {
            assert_eq!(next(scope, &known(servers)), expected, "{reason}");
        }
    }

    #[test]
    fn what_was_found_damaged_is_tried_again_the_next_day() {
        let mut backups = known(&[("fs01", &[("data", Some("2026-11-25T08:00:00Z")), ("logs", None)])]);
        let damaged =
            Proof { at: at("2026-11-25T09:00:00Z"), outcome: Outcome::Damaged("byte 7".to_owned()) };
        backups.servers.get_mut("fs01").unwrap().disks.get_mut("data").unwrap().proof = Some(damaged);
        assert_eq!(
            next(ProofScope::OneDiskPerServer, &backups),
            "fs01/logs 2026-11-24T22:00:00Z",
            "nothing of it is proven, and the other disk may be"
        );
        let logs = backups.servers.get_mut("fs01").unwrap().disks.get_mut("logs").unwrap();
        logs.proof = Some(Proof { at: at("2026-11-25T10:00:00Z"), outcome: Outcome::Intact });
        assert_eq!(next(ProofScope::OneDiskPerServer, &backups), "fs01/data 2026-11-26T09:00:00Z");
    }

    #[test]
    fn who_asks_for_a_proof_gets_one_unless_there_is_a_younger() {
        let mut backup = backup();
        let servers = [server("fs01", &["data"])];
        backup.proof = ProofRule { max_age: hours(168), scope: ProofScope::OneDiskPerServer };
        let mut due = |backups: &Backups, asked: &str| {
            backup.after = Some(at(asked));
            first(&backup, &servers, backups).unwrap().due
        };
        let (proven, later) = ("2026-11-25T08:00:00Z", "2026-11-25T12:00:00Z");
        let mut backups = known(&[("fs01", &[("data", Some(proven))])]);
        assert_eq!(due(&backups, later), at(later));
        assert_eq!(due(&backups, proven), at(proven) + hours(112), "there is one already");
        assert_eq!(due(&backups, "2027-01-01T00:00:00Z"), at(proven) + hours(112), "that is sooner");
        let damaged = Proof { at: at(proven), outcome: Outcome::Damaged("byte 7".to_owned()) };
        backups.servers.get_mut("fs01").unwrap().disks.get_mut("data").unwrap().proof = Some(damaged);
        assert_eq!(due(&backups, later), at(later), "nobody has to wait for a day");
        assert_eq!(due(&backups, proven), at(proven) + AGAIN);
    }

    #[test]
    fn each_server_has_a_turn_of_its_own() {
        let backups =
            known(&[("db01", &[("data", None)]), ("fs01", &[("data", Some("2026-11-20T08:00:00Z"))])]);
        let servers = [server("db01", &["data"]), server("fs01", &["data"])];
        let mut backup = backup();
        backup.proof = ProofRule { max_age: hours(168), scope: ProofScope::OneDiskPerServer };
        let next = |now| -> Vec<String> {
            let targets = next_proofs(&backup, &servers, &backups, now);
            targets.iter().map(|it| format!("{}/{} {:.0}", it.server, it.disk, it.due)).collect()
        };
        assert_eq!(
            next(at("2026-11-25T08:00:00Z")),
            ["db01/data 2026-11-24T22:00:00Z", "fs01/data 2026-11-25T00:00:00Z"],
            "one whose proof never comes to anything holds up no other"
        );
        assert_eq!(
            next(at("2026-11-19T08:00:00Z")),
            ["db01/data 2026-11-24T22:00:00Z", "fs01/data 2026-11-24T22:00:00Z"],
            "a proof that is yet to come is none"
        );
    }

    proptest! {
        #[test]
        fn every_disk_gets_its_turn_and_nothing_grows_too_old(
            disks in prop::collection::vec(1..5_usize, 1..5),
            scope in prop::sample::select(vec![ProofScope::OneDisk, ProofScope::OneDiskPerServer, ProofScope::EveryDisk]),
            max_age in 24..400_i64,
        ) {
            let names = ["a", "b", "c", "d", "e"];
            let servers: Vec<Server> = disks.iter().zip(names).map(|(count, name)| server(name, &names[..*count])).collect();
            let mut backup = backup();
            backup.proof = ProofRule { max_age: hours(max_age), scope };
            let all = |server: &Server| server.disks.iter().map(|disk| (disk.name.clone(), super::super::testing::disk(NIGHT, None))).collect();
            let mut backups = Backups::default();
            for server in &servers {
                let known = super::super::facts::ServerBackups { last_good: Some(at(NIGHT)), disks: all(server), ..Default::default() };
                backups.servers.insert(server.name.clone(), known);
            }
            let total: usize = disks.iter().sum();
            let mut now = at(NIGHT);
            let mut proven = BTreeSet::new();
            for _ in 0..total * total {
                let target = first(&backup, &servers, &backups).unwrap();
                now = now.max(target.due);
                let disks = &mut backups.servers.get_mut(&target.server).unwrap().disks;
                disks.get_mut(&target.disk).unwrap().proof = Some(Proof { at: now, outcome: Outcome::Intact });
                proven.insert((target.server, target.disk));
                for (_, group) in backup.proof.groups(&backup, &servers, &backups, now) {
                    let age = group.proven().map(|proven| now.duration_since(proven));
                    prop_assert!(age.is_none_or(|age| age < hours(max_age)));
                }
            }
            prop_assert_eq!(proven.len(), total, "each has had its turn");
        }
    }
}
