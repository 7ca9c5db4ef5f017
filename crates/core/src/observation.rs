//! What a sweep of one provider saw, and how much of it: present, absent and unknown are three things.
//!
//! Absence exists only inside the coverage. What was not read completely is unknown, and unknown is neither created
//! nor deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::backup::facts::JOB;
use crate::backup::{Jobs, Known};
use crate::directory::{Directory, Signals};
use crate::facts::Facts;
use crate::names::{Kind, ProviderName, ResourceId, ResourceKey, TenantName};
use crate::reason::Reason;

/// What one provider holds of all tenants, as far as it was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The provider that was looked at.
    pub provider: ProviderName,
    /// What was read completely.
    pub coverage: Coverage,
    /// What carries our mark, by tenant and key.
    pub seen: BTreeMap<TenantName, Things>,
    /// What stands where ours would, or is named by a tenant for adoption, and carries no mark of ours.
    pub foreign: Vec<Foreign>,
    /// What is left of things that run out, such as free bytes of a datastore.
    pub capacity: BTreeMap<String, Capacity>,
    /// Names that tenants' things may refer to and that are not theirs, such as services that a firewall knows by itself,
    /// by what they are. Of what has no entry it is not known which there are.
    pub offered: BTreeMap<Kind, BTreeSet<String>>,
    /// What is known of tenants' backups. A look that covers a tenant and brings nothing means that it has none; one that
    /// sees nothing leaves what was known.
    pub backups: BTreeMap<TenantName, Known>,
    /// What other products' jobs have left of the backups that they take. A look at single tenants brings nothing of it:
    /// whose a job is stands in the manifests, and any of them may name it at any time.
    #[serde(default)]
    pub jobs: Jobs,
    /// What tenants' trusts show on both of their sides. Of a tenant that was not looked at there is nothing.
    #[serde(default)]
    pub trusts: BTreeMap<TenantName, Arc<Signals>>,
    /// The version of the system, for the status.
    pub version: String,
    /// Tenants that once had several things here. Outlives a blind sweep.
    pub established: BTreeSet<TenantName>,
}

/// The things of one tenant by key. A copy is cheap: it shares all until one is changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Things(Arc<BTreeMap<ResourceKey, Seen>>);

impl Things {
    /// Puts in a thing, in place of the one before.
    pub fn insert(&mut self, key: ResourceKey, seen: Seen) -> Option<Seen> {
        Arc::make_mut(&mut self.0).insert(key, seen)
    }

    /// Takes out a thing.
    pub fn remove(&mut self, key: &ResourceKey) -> Option<Seen> {
        Arc::make_mut(&mut self.0).remove(key)
    }
}

impl std::ops::Deref for Things {
    type Target = BTreeMap<ResourceKey, Seen>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl FromIterator<(ResourceKey, Seen)> for Things {
    fn from_iter<I: IntoIterator<Item = (ResourceKey, Seen)>>(things: I) -> Self {
        Self(Arc::new(things.into_iter().collect()))
    }
}

impl<'a> IntoIterator for &'a Things {
    type Item = (&'a ResourceKey, &'a Seen);
    type IntoIter = std::collections::btree_map::Iter<'a, ResourceKey, Seen>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// What all providers hold, as far as it was seen.
pub type Observations = BTreeMap<ProviderName, Arc<Observation>>;

/// One thing that carries our mark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Seen {
    /// It is there. A copy is cheap.
    Present(Arc<Present>),
    /// An operation of the system is making or changing it.
    InProgress {
        /// What is being done, such as `Cloning`.
        operation: String,
        /// How far, 0 to 100, where the system tells.
        percent: Option<u8>,
    },
    /// It was made once and is gone, though nobody ordered that. Its data is lost; an empty successor would hide it.
    Lost {
        /// What identified it, for the permission to make it anew.
        identity: String,
    },
    /// It cannot be told.
    Unknown(Blindness),
}

/// One thing as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Present {
    /// Its fields as they are now.
    pub fields: Facts,
    /// The values that we gave last, as recorded on the thing itself: tells a changed manifest from drift.
    pub applied: Facts,
    /// What others may take from it.
    pub outputs: Facts,
    /// What the system itself calls it, for people and for the permission to make it anew.
    pub identity: String,
    /// Why it must be left alone for now.
    pub busy: Option<Busy>,
    /// Whether a restart of ours is under way, so that no other of its group may begin one.
    pub interrupted: bool,
    /// When it was retired, if it is.
    pub retired_at: Option<Timestamp>,
    /// What people should know of it and nothing is done about, such as somebody's rule above ours that takes its packets.
    pub notices: Vec<String>,
}

/// Why a thing must be left alone for now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Busy {
    /// Somebody's snapshot is on it.
    Snapshot,
    /// A snapshot of ours is on it, for a backup that is taken or was broken off.
    Backup,
    /// A task of the system is on it.
    Task {
        /// What it does, as the system calls it.
        operation: String,
        /// How far, 0 to 100, where the system tells.
        percent: Option<u8>,
    },
}

/// Something without a mark of ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Foreign {
    /// The tenant in whose place it stands, or that names it for adoption.
    pub tenant: TenantName,
    /// The kind that it would be.
    pub kind: Kind,
    /// Its name in the system.
    pub name: String,
    /// Where it is, for people.
    pub path: String,
    /// What the system itself calls it.
    pub identity: String,
    /// The mark that it carries, where it is somebody else's.
    pub mark: Option<String>,
    /// It as it is.
    pub present: Present,
}

/// What is left of something that runs out, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// What can still be used.
    pub free: u64,
    /// All there is.
    pub total: u64,
}

/// What a sweep read completely.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Nothing at all was seen, for this reason.
    pub blind: Option<Blindness>,
    /// Tenants that were not seen completely.
    pub tenants: BTreeMap<TenantName, Blindness>,
    /// Kinds that were not seen completely.
    pub kinds: BTreeMap<Kind, Blindness>,
}

/// Why something cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Blindness {
    /// No sweep has ended yet.
    NotYetObserved,
    /// The endpoint does not answer.
    Unreachable(String),
    /// The endpoint is another one than the `HostProvider` pins.
    Misidentified {
        /// The identity that the `HostProvider` names.
        expected: String,
        /// The identity that answered.
        found: String,
    },
    /// The credentials are refused.
    CredentialsRefused,
    /// A right is missing, or what must be visible is not.
    NoSight(String),
    /// A part of the answer did not arrive.
    Incomplete(String),
    /// It answers that it does not serve us, for a reason that has an advice of its own.
    Refuses {
        /// Why.
        reason: Reason,
        /// The same for people.
        why: String,
    },
    /// All things of the tenant vanished at once, which looks like lost sight and not like work.
    AllVanished,
    /// Two things carry the same mark.
    Ambiguous(Vec<String>),
    /// An operation that may be making it is still running.
    MaybeInProgress(String),
}

impl fmt::Display for Blindness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYetObserved => write!(f, "it has not been looked at yet"),
            Self::Unreachable(why) => write!(f, "it does not answer: {why}"),
            Self::Misidentified { expected, found } => write!(
                f,
                "it is not the system that the HostProvider pins: expected identity {expected}, found {found}"
            ),
            Self::CredentialsRefused => write!(f, "it refuses the credentials"),
            Self::NoSight(what) => write!(f, "the account cannot see all: {what}"),
            Self::Incomplete(what) => write!(f, "a part of the answer is missing: {what}"),
            Self::Refuses { why, .. } => write!(f, "it refuses: {why}"),
            Self::AllVanished => write!(
                f,
                "all things of this tenant vanished at once, which looks like lost sight: check the account's rights; if \
                 they are truly gone, set the annotation vertskommune.no/accept-loss to a time until which that may be \
                 believed"
            ),
            Self::Ambiguous(which) => {
                write!(
                    f,
                    "several things carry the same mark, remove it from all but one: {}",
                    which.join(", ")
                )
            }
            Self::MaybeInProgress(what) => write!(f, "an operation may still be making it: {what}"),
        }
    }
}

impl Blindness {
    /// The reason, with what would help.
    pub fn reason(&self) -> Reason {
        match self {
            Self::NotYetObserved => Reason::NotYetObserved,
            Self::Unreachable(_) => Reason::Unreachable,
            Self::Misidentified { .. } => Reason::Misidentified,
            Self::CredentialsRefused => Reason::CredentialsRefused,
            Self::NoSight(_) => Reason::NoSight,
            Self::Incomplete(_) => Reason::Incomplete,
            Self::Refuses { reason, .. } => *reason,
            Self::AllVanished => Reason::AllVanished,
            Self::Ambiguous(_) => Reason::Ambiguous,
            Self::MaybeInProgress(_) => Reason::MaybeInProgress,
        }
    }

    /// The reason as a CamelCase word for machines.
    pub fn word(&self) -> &'static str {
        self.reason().word()
    }
}

impl Coverage {
    /// Nothing was seen.
    pub fn blind(reason: Blindness) -> Self {
        Self { blind: Some(reason), ..Self::default() }
    }

    /// Why absence of things of this tenant and kind would mean nothing; `None` where it means that they are absent.
    pub fn gap(&self, tenant: &TenantName, kind: &Kind) -> Option<&Blindness> {
        self.blind.as_ref().or_else(|| self.tenants.get(tenant)).or_else(|| self.kinds.get(kind))
    }

    /// Why nothing is seen by which anything could be done, where these are all the kinds that there are.
    pub fn of_all<'a>(&self, kinds: impl IntoIterator<Item = &'a Kind>) -> Option<&Blindness> {
        let why = |kind| self.kinds.get(kind).filter(|why| !matches!(why, Blindness::MaybeInProgress(_)));
        let mut each = kinds.into_iter().map(why);
        self.blind.as_ref().or_else(|| {
            let first = each.next()??;
            each.all(|why| why.is_some()).then_some(first)
        })
    }
}

/// What is to be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Only what belongs to these tenants, after a change; all of ours where there are none named.
    pub tenants: Option<BTreeSet<TenantName>>,
    /// Things that tenants name for adoption in this provider, by path, name or id as their manifests write it.
    pub adopt: BTreeMap<TenantName, BTreeSet<String>>,
    /// The trusts that tenants ask for in this provider: what is on their other side is reached as their manifests say.
    #[serde(default)]
    pub trusts: BTreeMap<TenantName, Directory>,
}

impl Scope {
    /// Only what belongs to these tenants.
    pub fn of(tenants: impl IntoIterator<Item = TenantName>) -> Self {
        Self { tenants: Some(tenants.into_iter().collect()), ..Self::default() }
    }

    /// Whether the tenant is looked at.
    pub fn includes(&self, tenant: &TenantName) -> bool {
        self.tenants.as_ref().is_none_or(|tenants| tenants.contains(tenant))
    }
}

impl Observation {
    /// The observation of a provider of which nothing was seen.
    pub fn blind(provider: &ProviderName, reason: Blindness) -> Self {
        Self { coverage: Coverage::blind(reason), ..Self::empty(provider) }
    }

    /// The observation of a provider that was read completely and holds nothing of ours.
    pub fn empty(provider: &ProviderName) -> Self {
        Self {
            provider: provider.clone(),
            coverage: Coverage::default(),
            seen: BTreeMap::new(),
            foreign: Vec::new(),
            capacity: BTreeMap::new(),
            offered: BTreeMap::new(),
            backups: BTreeMap::new(),
            jobs: Jobs::default(),
            trusts: BTreeMap::new(),
            version: String::new(),
            established: BTreeSet::new(),
        }
    }

    /// What is known of one resource: `None` means absent, and is said only inside the coverage.
    pub fn of(&self, tenant: &TenantName, key: &ResourceKey) -> Option<Seen> {
        match self.seen.get(tenant).and_then(|things| things.get(key)) {
            Some(seen) => Some(seen.clone()),
            None => self.coverage.gap(tenant, &key.kind).cloned().map(Seen::Unknown),
        }
    }

    /// The thing as it is, where it is present.
    pub fn present(&self, tenant: &TenantName, key: &ResourceKey) -> Option<&Present> {
        match self.seen.get(tenant)?.get(key)? {
            Seen::Present(present) => Some(present),
            Seen::InProgress { .. } | Seen::Lost { .. } | Seen::Unknown(_) => None,
        }
    }

    /// All things of a tenant that are present.
    pub fn presents(&self, tenant: &TenantName) -> impl Iterator<Item = (&ResourceKey, &Present)> {
        let things = self.seen.get(tenant).into_iter().flatten();
        things.filter_map(|(key, seen)| match seen {
            Seen::Present(present) => Some((key, present.as_ref())),
            Seen::InProgress { .. } | Seen::Lost { .. } | Seen::Unknown(_) => None,
        })
    }

    /// The thing as it is, by its full id.
    pub fn present_id(&self, id: &ResourceId) -> Option<&Present> {
        (id.provider == self.provider).then(|| self.present(&id.tenant, &id.key)).flatten()
    }

    /// Forgets a thing that was removed on our own order.
    pub fn forget(&mut self, id: &ResourceId) {
        if let Some(things) = self.seen.get_mut(&id.tenant) {
            things.remove(&id.key);
            // One that is left may vanish alone.
            if things.len() < 2 {
                self.established.remove(&id.tenant);
            }
        }
    }

    /// Ends the doubt about a tenant of which all things vanished: an operator says that they are gone.
    pub fn accept_loss(&mut self, tenant: &TenantName) {
        if self.has_vanished(tenant) {
            self.coverage.tenants.remove(tenant);
            self.established.remove(tenant);
        }
    }

    /// Whether all things of the tenant vanished at once.
    pub fn has_vanished(&self, tenant: &TenantName) -> bool {
        self.coverage.tenants.get(tenant) == Some(&Blindness::AllVanished)
    }

    /// Takes in a later look at a part: what the part covers replaces what was known of it. A look at one tenant costs
    /// the same however many there are.
    pub fn absorb(&mut self, mut part: Self, scope: &Scope) {
        match &scope.tenants {
            None => self.absorb_all(part),
            Some(tenants) => {
                self.establish(tenants);
                part.guard(tenants.iter().filter(|tenant| self.established.contains(*tenant)));
                self.absorb_part(part, tenants);
            }
        }
    }

    fn absorb_all(&mut self, mut all: Self) {
        let known: Vec<TenantName> = self.seen.keys().cloned().collect();
        self.establish(&known);
        all.established = std::mem::take(&mut self.established);
        let established = all.established.clone();
        all.guard(established.iter());
        for (tenant, known) in std::mem::take(&mut self.backups) {
            if all.coverage.blind.is_some() || all.coverage.tenants.contains_key(&tenant) {
                all.backups.entry(tenant).or_insert(known);
            }
        }
        if all.coverage.blind.is_some() || all.coverage.kinds.contains_key(&Kind::from(JOB)) {
            all.jobs = std::mem::take(&mut self.jobs);
        }
        *self = all;
    }

    fn absorb_part(&mut self, mut part: Self, tenants: &BTreeSet<TenantName>) {
        for tenant in tenants {
            self.coverage.tenants.remove(tenant);
            self.seen.remove(tenant);
            if let Some(blindness) =
                part.coverage.blind.as_ref().or_else(|| part.coverage.tenants.get(tenant))
            {
                self.coverage.tenants.insert(tenant.clone(), blindness.clone());
                self.trusts.remove(tenant);
                continue;
            }
            if let Some(things) = part.seen.remove(tenant) {
                self.seen.insert(tenant.clone(), things);
            }
            match part.trusts.remove(tenant) {
                Some(signals) => drop(self.trusts.insert(tenant.clone(), signals)),
                None => drop(self.trusts.remove(tenant)),
            }
            match part.backups.remove(tenant) {
                Some(known) => drop(self.backups.insert(tenant.clone(), known)),
                None => drop(self.backups.remove(tenant)),
            }
        }
        if part.coverage.blind.is_none() {
            // An operation that may be making anything of a kind is seen by every look.
            self.coverage.kinds.retain(|_, why| !matches!(why, Blindness::MaybeInProgress(_)));
            self.coverage.kinds.extend(part.coverage.kinds);
            self.foreign.retain(|foreign| !tenants.contains(&foreign.tenant));
            self.foreign.extend(part.foreign);
            self.capacity.extend(part.capacity);
            self.offered = part.offered;
        }
    }

    /// Notes which of these tenants have several things here, before something else is known of them.
    fn establish<'a>(&mut self, tenants: impl IntoIterator<Item = &'a TenantName>) {
        let several = |tenant: &&TenantName| self.seen.get(*tenant).is_some_and(|things| things.len() > 1);
        self.established.extend(tenants.into_iter().filter(several).cloned());
    }

    /// A tenant of which all things have vanished is unknown and not absent.
    ///
    /// One thing alone may well have been removed; two or more at once look like lost sight. What was removed on our
    /// own order is forgotten before the next look ([`Self::forget`]).
    fn guard<'a>(&mut self, established: impl Iterator<Item = &'a TenantName>) {
        if self.coverage.blind.is_some() {
            return;
        }
        for tenant in established {
            if self.seen.get(tenant).is_none_or(|things| things.is_empty()) {
                self.coverage.tenants.entry(tenant.clone()).or_insert(Blindness::AllVanished);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(things: &[&str]) -> Observation {
        let mut observation = Observation::empty(&"vc".into());
        for name in things {
            observation
                .seen
                .entry("ibestad".into())
                .or_default()
                .insert(ResourceKey::new("server", *name), Seen::Present(Arc::default()));
        }
        observation
    }

    #[test]
    fn absence_is_said_only_inside_the_coverage() {
        let tenant = TenantName::from("ibestad");
        let key = ResourceKey::new("server", "a");
        let mut seen = observation(&[]);
        assert_eq!(seen.of(&tenant, &key), None);
        seen.coverage.kinds.insert("server".into(), Blindness::Incomplete("page 2".into()));
        assert!(matches!(seen.of(&tenant, &key), Some(Seen::Unknown(Blindness::Incomplete(_)))));
    }

    #[test]
    fn a_system_of_which_no_kind_is_seen_is_not_seen() {
        let kinds = [Kind::from("server"), Kind::from("network")];
        let why = |what: &str| Blindness::Unreachable(what.into());
        let mut coverage = Coverage::default();
        assert_eq!(coverage.of_all(&kinds), None);
        coverage.kinds.insert("network".into(), why("b"));
        assert_eq!(coverage.of_all(&kinds), None, "the other is seen");
        coverage.kinds.insert("server".into(), Blindness::MaybeInProgress("a clone".into()));
        assert_eq!(coverage.of_all(&kinds), None, "an operation under way hides one thing");
        coverage.kinds.insert("server".into(), why("a"));
        assert_eq!(coverage.of_all(&kinds), Some(&why("a")));
        assert_eq!(Coverage::blind(why("c")).of_all(&kinds), Some(&why("c")));
    }

    #[test]
    fn a_tenant_that_vanishes_whole_is_unknown_until_it_is_seen_again() {
        let tenant = TenantName::from("ibestad");
        let mut known = observation(&["a", "b"]);
        known.absorb(observation(&[]), &Scope::default());
        assert_eq!(known.coverage.tenants.get(&tenant), Some(&Blindness::AllVanished));
        known.absorb(observation(&[]), &Scope::default());
        assert_eq!(known.coverage.tenants.get(&tenant), Some(&Blindness::AllVanished), "it stays so");
        known.absorb(Observation::blind(&"vc".into(), Blindness::CredentialsRefused), &Scope::default());
        known.absorb(observation(&[]), &Scope::default());
        assert_eq!(
            known.coverage.tenants.get(&tenant),
            Some(&Blindness::AllVanished),
            "a blind sweep forgets nothing"
        );
        known.absorb(observation(&["a"]), &Scope::default());
        assert_eq!(known.coverage.tenants.get(&tenant), None, "seen again");
    }

    #[test]
    fn a_word_ends_that_doubt_and_no_other() {
        let tenant = TenantName::from("ibestad");
        let mut known = observation(&["a", "b"]);
        known.absorb(observation(&[]), &Scope::default());
        known.accept_loss(&tenant);
        known.absorb(observation(&[]), &Scope::default());
        assert_eq!(known.coverage.tenants.get(&tenant), None, "gone, and gone for good");
        let no_right = Blindness::NoSight("a folder".into());
        known.coverage.tenants.insert(tenant.clone(), no_right.clone());
        known.accept_loss(&tenant);
        assert_eq!(known.coverage.tenants.get(&tenant), Some(&no_right));
    }

    #[test]
    fn one_thing_that_vanishes_is_absent() {
        let tenant = TenantName::from("ibestad");
        let mut known = observation(&["a", "b"]);
        known.absorb(observation(&["a"]), &Scope::default());
        assert_eq!(known.of(&tenant, &ResourceKey::new("server", "b")), None);
    }

    #[test]
    fn what_is_known_of_backups_outlives_a_look_that_sees_nothing() {
        let tenant = TenantName::from("ibestad");
        let (whole, one) = (Scope::default(), Scope::of([tenant.clone()]));
        let seen = |second| {
            let mut seen = observation(&["a"]);
            let seen_at = Timestamp::from_second(second).unwrap();
            seen.backups.insert(tenant.clone(), Known { seen_at, backups: Arc::default() });
            seen
        };
        let blind = || Observation::blind(&"vc".into(), Blindness::Unreachable("cut".into()));
        let hidden = || {
            let mut hidden = observation(&[]);
            hidden.coverage.tenants.insert(tenant.clone(), Blindness::NoSight("a folder".into()));
            hidden
        };
        for (part, scope, expected, reason) in [
            (seen(2), &whole, Some(2), "a later look counts"),
            (seen(2), &one, Some(2), "also one at a part"),
            (blind(), &whole, Some(1), "nothing was seen"),
            (blind(), &one, Some(1), "nor of a part"),
            (hidden(), &whole, Some(1), "the tenant was not seen"),
            (hidden(), &one, Some(1), "nor alone"),
            (observation(&["a"]), &whole, None, "there are none"),
            (observation(&["a"]), &one, None, "nor of the part"),
        ] {
            let mut known = seen(1);
            known.absorb(part, scope);
            let at = known.backups.get(&tenant).map(|known| known.seen_at.as_second());
            assert_eq!(at, expected, "{reason}");
        }
    }

    #[test]
    fn a_blind_look_at_a_part_makes_that_part_unknown() {
        let tenant = TenantName::from("ibestad");
        let mut known = observation(&["a"]);
        let scope = Scope::of([tenant.clone()]);
        known.absorb(Observation::blind(&"vc".into(), Blindness::Unreachable("cut".into())), &scope);
        assert!(matches!(known.of(&tenant, &ResourceKey::new("server", "a")), Some(Seen::Unknown(_))));
    }
}
