//! What the agent and restic tell, as an observation. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use second_room::protocol::{AccountState, Description, Job, QuotaMode};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use vertskommune_core::backup::facts::JOB;
use vertskommune_core::backup::{Backups, Known};
use vertskommune_core::names::{ProviderName, ResourceKey, TenantName};
use vertskommune_core::observation::{Blindness, Capacity, Observation, Present, Seen};

use crate::schema::{ACCOUNT, ANOTHER, OF_SECRET, REPOSITORY, field};
use crate::{jobs, policy};

/// What is left of this runs out: the file system of all backups.
pub(crate) const DISK: &str = "disk";

/// After so long without a run of the keeper a person should look: its timer is hourly, and a run that removes much takes a while.
const KEEPER_LATE: SignedDuration = SignedDuration::from_hours(6);

/// For so long it is said that something was altered, though it was put back within the hour: somebody has a key that they should
/// not have.
const TAMPERED: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What is known of one tenant besides what the agent tells.
#[derive(Clone, Debug)]
pub(crate) enum Inner {
    /// There is no repository to be read.
    Nothing {
        /// Whether the Secret's key is one of those that the account is let in with.
        fits: bool,
        /// What lay in the one that was there before.
        known: Option<Known>,
    },
    /// It was read.
    Read {
        /// Likewise.
        fits: bool,
        /// What lies in it.
        backups: Arc<Backups>,
        /// By server, when the last attempt began that came to nothing.
        attempts: BTreeMap<String, Timestamp>,
    },
    /// It cannot be read before the account is let in with the Secret's key again.
    ShutOut {
        /// What lay in it when it was last read.
        known: Option<Known>,
    },
    /// It could not be.
    Blind(Blindness),
}

/// What the keeper's report tells that is passed on.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Keeper {
    at: Option<Timestamp>,
    tampering: Findings,
    tampered_at: Option<Timestamp>,
    damage: Findings,
    doubts: Findings,
    retention: Retention,
    error: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Findings {
    count: u64,
    first: Vec<Finding>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Finding {
    file: String,
    what: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Retention {
    state: String,
    why: String,
}

impl Findings {
    fn said(&self) -> String {
        let first = self.first.first().map_or_else(String::new, |it| format!(": {} {}", it.file, it.what));
        format!("{}{first}", self.count)
    }
}

/// What was seen of the second room at this moment.
pub(crate) struct View<'a> {
    pub(crate) provider: &'a ProviderName,
    pub(crate) description: &'a Description,
    pub(crate) now: Timestamp,
    /// What binds each tenant, by the HostProvider.
    pub(crate) quota: Option<u64>,
}

impl View<'_> {
    /// The observation of these tenants, and of what other products' jobs have left or why that is not seen; nothing of
    /// it where only single tenants were looked at.
    pub(crate) fn observation(
        &self,
        tenants: &[(AccountState, Inner)],
        left: Option<Result<&[Job], String>>,
    ) -> Observation {
        let mut seen = Observation::empty(self.provider);
        let Description { agent, restic, free_bytes, total_bytes, .. } = self.description;
        seen.version = format!("agent {agent}, restic {}", restic.as_deref().unwrap_or("missing"));
        seen.capacity.insert(DISK.to_owned(), Capacity { free: *free_bytes, total: *total_bytes });
        let keeper = self.description.keeper.iter().cloned().collect();
        seen.offered.insert(field::KEEPER_RECIPIENT.into(), keeper);
        match left {
            Some(Ok(left)) => seen.jobs = jobs::jobs(left, self.now),
            Some(Err(why)) => {
                seen.coverage.kinds.insert(JOB.into(), Blindness::Incomplete(why));
            }
            None => {}
        }
        for (state, inner) in tenants {
            self.tenant(state, inner, &mut seen);
        }
        seen
    }

    fn tenant(&self, state: &AccountState, inner: &Inner, seen: &mut Observation) {
        let tenant = TenantName::from(state.tenant.as_str());
        let (fits, read) = match inner {
            Inner::Nothing { fits, .. } => (*fits, None),
            Inner::Read { fits, backups, attempts } => (*fits, Some((backups, attempts))),
            Inner::ShutOut { .. } => (false, None),
            Inner::Blind(why) => {
                seen.coverage.tenants.insert(tenant, why.clone());
                return;
            }
        };
        let keeper = keeper(state);
        let things = seen.seen.entry(tenant.clone()).or_default();
        let key = |kind: &str| ResourceKey::new(kind, tenant.as_str());
        if state.complete {
            things.insert(key(ACCOUNT), Seen::Present(Arc::new(self.account(state, fits))));
        }
        if let Some((backups, attempts)) = read {
            let repository = self.repository(state, keeper.as_ref(), attempts);
            things.insert(key(REPOSITORY), Seen::Present(Arc::new(repository)));
            let mut backups = backups.clone();
            if let Some(keeper) = keeper.filter(|keeper| keeper.damage.count > 0) {
                let said = format!("the keeper found damage, {}", keeper.damage.said());
                let damage = &mut Arc::make_mut(&mut backups).damage;
                *damage = Some(match damage.take() {
                    Some(checked) => format!("{checked}; {said}"),
                    None => said,
                });
            }
            seen.backups.insert(tenant, Known { seen_at: self.now, backups });
            return;
        }
        // What was known is as old as it is: nobody looked into it now.
        let known = match inner {
            Inner::ShutOut { known } => {
                let why = "its account is not let in with the key of its Secret".to_owned();
                things.insert(key(REPOSITORY), Seen::Unknown(Blindness::NoSight(why)));
                known
            }
            Inner::Nothing { known, .. } if state.keeper.is_some() && had_a_repository(state) => {
                things.insert(key(REPOSITORY), Seen::Lost { identity: self.place(state) });
                known
            }
            _ => &None,
        };
        if let Some(known) = known {
            seen.backups.insert(tenant, known.clone());
        }
    }

    fn place(&self, state: &AccountState) -> String {
        format!("{}/{}/{}", self.description.root, self.description.installation, state.tenant)
    }

    fn account(&self, state: &AccountState, fits: bool) -> Present {
        let mut present = Present { identity: state.account.clone(), ..Present::default() };
        present.fields.insert(field::KEY, if fits { OF_SECRET } else { ANOTHER });
        // With project quotas no file system tells of a limit that is as large as itself.
        let is_told =
            self.description.quota != QuotaMode::Project || self.description.quota_problem.is_some();
        let whole = self.quota.filter(|quota| !is_told && *quota >= self.description.total_bytes);
        if let Some(limit) = state.limit_bytes.or(whole) {
            present.fields.insert(field::QUOTA, limit);
        }
        if let Some(problem) = &self.description.quota_problem {
            present.fields.insert(field::QUOTA_PROBLEM, problem.clone());
            present.notices.push(format!("no quota binds it: {problem}"));
        }
        present
    }

    fn repository(
        &self,
        state: &AccountState,
        keeper: Option<&Keeper>,
        attempts: &BTreeMap<String, Timestamp>,
    ) -> Present {
        let mut present = Present { identity: self.place(state), ..Present::default() };
        let fields = &mut present.fields;
        fields.insert(field::ESCROW, state.escrow);
        fields.insert(field::KEEPER, state.keeper_key);
        if let Some(recipient) = &self.description.keeper {
            fields.insert(field::KEEPER_RECIPIENT, recipient.clone());
        }
        for (server, begun) in attempts {
            fields.insert(format!("{}{server}", field::ATTEMPTS), json!(begun));
        }
        if let Some(policy) = &state.policy {
            fields.extend(policy::fields(policy));
            present.retired_at = policy.left_at;
        }
        self.notices(keeper, &mut present.notices);
        present
    }

    /// What people should know of the keeper.
    fn notices(&self, keeper: Option<&Keeper>, notices: &mut Vec<String>) {
        if self.description.keeper.is_none() {
            notices.push(
                "the keeper has never run in the second room, so that no copy is safe from the account itself: enable \
                 vertskommune-keeper.timer there, see deploy/second-room"
                    .to_owned(),
            );
            return;
        }
        // A new repository has no report until the keeper's next run.
        let Some(keeper) = keeper else { return };
        if let Some(at) = keeper.at.filter(|at| self.now.duration_since(*at) > KEEPER_LATE) {
            notices.push(format!("the keeper last ran at {at:.0}: see its timer in the second room"));
        }
        if keeper.tampering.count > 0 {
            notices
                .push(format!("the keeper put back what went or was altered, {}", keeper.tampering.said()));
        } else if let Some(at) = keeper.tampered_at.filter(|at| self.now.duration_since(*at) < TAMPERED) {
            notices.push(format!(
                "the keeper put back what went or was altered, last at {at:.0}: see its report"
            ));
        }
        if keeper.doubts.count > 0 {
            notices.push(format!(
                "more backups are to go than should, as if somebody meant it, {}: see the keeper's report in the second room",
                keeper.doubts.said()
            ));
        }
        if let Some(error) = &keeper.error {
            notices.push(format!("the keeper's last run failed: {error}"));
        }
        if keeper.retention.state == "Stopped" {
            notices.push(format!(
                "the keeper removes nothing until a person has looked: {}",
                keeper.retention.why
            ));
        }
    }
}

fn keeper(state: &AccountState) -> Option<Keeper> {
    serde_json::from_value(state.keeper.clone()?).ok()
}

/// Whether there once was a repository that is gone now: the keeper has a copy of it, or a report that nobody can read.
pub(crate) fn had_a_repository(state: &AccountState) -> bool {
    let kept = |report: &Json| report.get("keptBytes").and_then(Json::as_u64);
    let is_kept = state.keeper.as_ref().is_some_and(|report| kept(report).is_none_or(|bytes| bytes > 0));
    is_kept || state.snapshots.as_ref().is_none_or(|snapshots| snapshots.count > 0)
}

#[cfg(test)]
mod tests {
    use vertskommune_core::backup::facts::ServerBackups;
    use vertskommune_core::backup::report;
    use vertskommune_core::backup::report::Verdict;
    use vertskommune_core::observation::Scope;

    use super::*;
    use crate::testing::{description, state};

    fn look(description: &Description, tenants: &[(AccountState, Inner)]) -> Observation {
        let now = "2026-11-28T12:00:00Z".parse().unwrap();
        View { provider: &"room-2".into(), description, now, quota: Some(1 << 50) }.observation(tenants, None)
    }

    fn read() -> Inner {
        Inner::Read { fits: true, backups: Arc::default(), attempts: BTreeMap::new() }
    }

    #[test]
    fn a_tenant_is_seen_as_far_as_it_is_there() {
        let tenant = TenantName::from("ibestad");
        let key = |kind: &str| ResourceKey::new(kind, "ibestad");
        let seen = look(&description(), &[]);
        assert_eq!((seen.of(&tenant, &key(ACCOUNT)), seen.capacity[DISK].free), (None, 1 << 40));
        let half = AccountState { complete: false, ..state() };
        let seen = look(&description(), &[(half, Inner::Nothing { fits: true, known: None })]);
        assert_eq!(seen.of(&tenant, &key(ACCOUNT)), None, "half of one is none, and is made whole");
        let bare = AccountState { repository: false, ..state() };
        let seen = look(&description(), &[(bare, Inner::Nothing { fits: true, known: None })]);
        assert!(seen.present(&tenant, &key(ACCOUNT)).is_some());
        assert_eq!(seen.of(&tenant, &key(REPOSITORY)), None);
        let seen = look(&description(), &[(state(), read())]);
        let repository = seen.present(&tenant, &key(REPOSITORY)).unwrap();
        assert_eq!(repository.fields.get(field::ESCROW), Some(&json!(true)));
        assert_eq!(repository.fields.get("policy.daily"), Some(&json!(7)));
        assert!(seen.backups.contains_key(&tenant));
        let seen = look(&description(), &[(state(), Inner::Blind(Blindness::CredentialsRefused))]);
        assert_eq!(seen.of(&tenant, &key(ACCOUNT)), Some(Seen::Unknown(Blindness::CredentialsRefused)));
        // What was known outlives it.
        let mut before = look(&description(), &[(state(), read())]);
        before.absorb(seen, &Scope::default());
        assert!(before.backups.contains_key(&tenant));
    }

    #[test]
    fn a_quota_as_large_as_the_disk_is_seen_though_nobody_tells_it() {
        let quota = |state: AccountState, description: &Description| {
            let seen = look(description, &[(state, read())]);
            let account = seen.present(&"ibestad".into(), &ResourceKey::new(ACCOUNT, "ibestad")).unwrap();
            account.fields.get(field::QUOTA).cloned()
        };
        let unbound = AccountState { limit_bytes: None, ..state() };
        assert_eq!(quota(unbound.clone(), &description()), Some(json!(1_u64 << 50)));
        let larger = Description { total_bytes: 1 << 51, ..description() };
        assert_eq!(quota(unbound.clone(), &larger), None);
        let off = Description { quota_problem: Some("quotas are off".to_owned()), ..description() };
        assert_eq!(quota(unbound.clone(), &off), None);
        let btrfs = Description { quota: QuotaMode::Btrfs, ..description() };
        assert_eq!(quota(unbound, &btrfs), None, "Btrfs tells of any limit");
    }

    #[test]
    fn a_repository_that_is_gone_is_lost_and_not_absent() {
        let keeper = Some(json!({"keptBytes": 100, "keptSnapshots": 2}));
        let gone = AccountState { repository: false, keeper, ..state() };
        let seen = look(&description(), &[(gone, Inner::Nothing { fits: true, known: None })]);
        let key = ResourceKey::new(REPOSITORY, "ibestad");
        let lost = seen.of(&"ibestad".into(), &key);
        assert_eq!(lost, Some(Seen::Lost { identity: "/srv/vertskommune/nord/ibestad".to_owned() }));
    }

    #[test]
    fn what_cannot_be_read_now_is_as_old_as_it_is() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let tenant = crate::testing::tenant();
        let ago = |hours| {
            let seen_at = now - SignedDuration::from_hours(hours);
            let run = ServerBackups { last_good: Some(seen_at), ..ServerBackups::default() };
            let backups = Backups { servers: [("ibe-fs01".to_owned(), run)].into(), ..Backups::default() };
            Known { seen_at, backups: Arc::new(backups) }
        };
        let told = |state: AccountState, inner: Inner| {
            let seen = look(&description(), &[(state, inner)]);
            let backup = tenant.backup.as_ref().unwrap();
            let report = report(backup, &tenant.name, &tenant.servers, Some(&seen), now);
            (report.verdict, report.word().to_owned(), report.last_backup)
        };
        let (verdict, word, last) = told(state(), Inner::ShutOut { known: Some(ago(2)) });
        assert_eq!((verdict, word.as_str(), last), (Verdict::Unknown, "NoSight", Some(ago(2).seen_at)));
        let (verdict, word, _) = told(state(), Inner::ShutOut { known: None });
        assert_eq!((verdict, word.as_str()), (Verdict::Unknown, "NoSight"), "and it is not without a backup");
        let (verdict, word, _) = told(state(), Inner::ShutOut { known: Some(ago(0)) });
        assert_ne!(
            (verdict, word.as_str()),
            (Verdict::Unknown, "NoSight"),
            "for an hour what was known counts"
        );
        let keeper = Some(json!({"keptBytes": 100, "keptSnapshots": 2}));
        let gone = AccountState { repository: false, keeper, ..state() };
        for known in [None, Some(ago(2))] {
            let last = known.as_ref().map(|known| known.seen_at);
            let told = told(gone.clone(), Inner::Nothing { fits: true, known });
            assert_eq!(told, (Verdict::Unprotected, "RepositoryLost".to_owned(), last));
        }
    }

    #[test]
    fn what_the_keeper_found_is_said() {
        let report = json!({
            "at": "2026-11-20T01:00:00Z",
            "tampering": {"count": 2, "first": [{"file": "data/aa/aa", "what": "went"}]},
            "damage": {"count": 1, "first": [{"file": "data/bb/bb", "what": "is not what it was"}]},
            "doubts": {"count": 1, "first": [{"file": "ibe-fs01", "what": "came out of turn"}]},
            "retention": {"state": "Stopped", "why": "the clock jumped"},
            "error": null,
        });
        let troubled = AccountState { keeper: Some(report), ..state() };
        let seen = look(&description(), &[(troubled, read())]);
        let tenant = TenantName::from("ibestad");
        let present = seen.present(&tenant, &ResourceKey::new(REPOSITORY, "ibestad")).unwrap();
        let notices = present.notices.join("\n");
        for said in [
            "last ran at 2026-11-20",
            "2: data/aa/aa went",
            "1: ibe-fs01 came out of turn",
            "the clock jumped",
        ] {
            assert!(notices.contains(said), "{said}: {notices}");
        }
        let damage = seen.backups[&tenant].backups.damage.clone().unwrap();
        assert!(damage.contains("data/bb/bb is not what it was"), "{damage}");
        let healed =
            json!({"at": "2026-11-28T11:00:00Z", "keptBytes": 1, "tamperedAt": "2026-11-27T01:00:00Z"});
        let healed = AccountState { keeper: Some(healed), ..state() };
        let seen = look(&description(), &[(healed, read())]);
        let present = seen.present(&tenant, &ResourceKey::new(REPOSITORY, "ibestad")).unwrap();
        assert!(present.notices[0].contains("last at 2026-11-27"), "{:?}", present.notices);
        let never = Description { keeper: None, ..description() };
        let seen = look(&never, &[(state(), read())]);
        let present = seen.present(&tenant, &ResourceKey::new(REPOSITORY, "ibestad")).unwrap();
        assert!(present.notices[0].contains("has never run"), "{:?}", present.notices);
    }
}
