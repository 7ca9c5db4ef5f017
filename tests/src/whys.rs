//! Which reasons the tests have seen: told by their real cause, with the advice followed, and cleared. Each is a file in
//! `target/seen`, so that `--test seen` finds at the end of `make test` which were not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use vertskommune_api::why::{Asker, why};
use vertskommune_api::{HostProvider, Tenant};
use vertskommune_core::reason::{Reason, Who};

use crate::estate::{Cluster, NAMESPACE};
use crate::seen;

/// Where it is written down.
const SEEN: &str = "whys";
/// How long nothing may change of what is told until it is as it should be.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long that may take at all: backups and proofs of seven servers on a busy machine.
const LONGEST: Duration = Duration::from_mins(10);

/// The reasons that were told of one thing and have not cleared yet.
#[derive(Debug, Default)]
pub struct Told(Mutex<BTreeSet<Reason>>);

impl Told {
    /// It was told, and its advice said what it should.
    ///
    /// # Panics
    /// Where the word is no reason of ours.
    pub fn by_its_cause(&self, word: &str) {
        let reason = Reason::of(word).unwrap_or_else(|| panic!("{word} is no reason that has an advice"));
        self.reasons().insert(reason);
    }

    /// It was told where nobody has to do anything about it, so that there is no advice to follow.
    pub fn in_passing(&self, word: &str) {
        self.reasons().extend(Reason::of(word).filter(|reason| reason.who() == Who::Nobody));
    }

    /// It stands in a status and only tells that something else hinders, which was told instead of it.
    pub fn behind_another(&self, word: &str) {
        self.reasons().extend(Reason::of(word).filter(|reason| reason.who() == Who::Other));
    }

    /// Nothing is told any more: all that was has cleared.
    ///
    /// # Panics
    /// Where it cannot be written down.
    pub fn cleared(&self) {
        std::mem::take(&mut *self.reasons()).into_iter().for_each(write_down);
    }

    /// This one is not told any more, whatever else is.
    ///
    /// # Panics
    /// Where it cannot be written down.
    pub fn cleared_of(&self, word: &str) {
        let reason = Reason::of(word).filter(|reason| self.reasons().remove(reason));
        write_down(reason.unwrap_or_else(|| panic!("{word} was not told")));
    }

    fn reasons(&self) -> MutexGuard<'_, BTreeSet<Reason>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_down(reason: Reason) {
    seen::write_down_who(SEEN, reason.word());
}

/// All reasons that have cleared since the folder was emptied.
#[must_use]
pub fn all() -> BTreeSet<Reason> {
    seen::all(SEEN).keys().filter_map(|word| Reason::of(word)).collect()
}

/// What was told of each thing in a cluster.
#[derive(Debug, Default)]
pub(crate) struct Whys(Mutex<BTreeMap<String, Arc<Told>>>);

impl Whys {
    fn of(&self, name: &str) -> Arc<Told> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(name.to_owned()).or_default())
    }
}

impl Cluster {
    /// All that hinders a tenant, as `kubectl vertskommune why` tells it.
    ///
    /// # Panics
    /// Where it cannot be asked, or its exit code says something else than its answer.
    pub fn why(&self, name: &str) -> Vec<Json> {
        let (code, out, err) =
            self.plugin(&["why", name, "-o", "json"]).unwrap_or_else(|error| panic!("{error:#}"));
        let told: Json = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
        let hindrances = told["hindrances"].as_array().cloned().unwrap_or_default();
        // Scripts see by the code whether something hinders.
        assert_eq!(code, Some(if hindrances.is_empty() { 0 } else { 2 }), "{told:#}");
        hindrances
    }

    /// The same by what the command is made of, which can be asked often; and whether there is such a tenant.
    async fn ask_why(&self, name: &str) -> Option<Vec<Json>> {
        let read = async |path: &str| self.get(path).await.unwrap_or_else(|error| panic!("{error:#}"));
        let tenant = read(&format!("vertskommune.no/v1alpha1/tenants/{name}")).await?;
        let hosts = read("vertskommune.no/v1alpha1/hostproviders").await.unwrap_or_default();
        let parsed = serde_json::from_value::<Tenant>(tenant.clone()).and_then(|tenant| {
            Ok((tenant, serde_json::from_value::<Vec<HostProvider>>(hosts["items"].clone())?))
        });
        let (parsed, hosts) = parsed.unwrap_or_else(|error| panic!("{error}: {tenant:#}"));
        let told = why(&parsed, &hosts, Asker { program: "kubectl vertskommune", namespace: NAMESPACE });
        let told: Vec<Json> = told.iter().filter_map(|it| serde_json::to_value(it).ok()).collect();
        self.look_behind(name, &tenant["status"], &told);
        Some(told)
    }

    /// Waits until that reason is told of a tenant with an advice that says this, and gives what is said of it.
    ///
    /// # Panics
    /// Where that never comes.
    pub async fn hindered(&self, name: &str, reason: &str, advice: &str) -> Json {
        let is_it = |told: &[Json]| told.iter().find(|it| it["reason"] == reason).cloned();
        let what = format!("hindered by {reason}");
        // What passes may be gone until a command has begun.
        let found = if Reason::of(reason).is_some_and(|reason| reason.who() == Who::Nobody) {
            self.until(name, &what, is_it).await
        } else {
            self.until_the_command_says(name, &what, is_it).await
        };
        println!("why {name}: {reason}: {}\n  -> {}", found["message"], found["help"]);
        assert!(found["help"].as_str().is_some_and(|help| help.contains(advice)), "{advice:?}: {found:#}");
        self.whys.of(name).by_its_cause(reason);
        found
    }

    /// Waits until that reason is not told of a tenant any more, whatever else is.
    ///
    /// # Panics
    /// Where it goes on to be.
    pub async fn not_hindered_by(&self, name: &str, reason: &str) {
        let is_gone = |told: &[Json]| told.iter().all(|it| it["reason"] != reason).then_some(());
        self.until(name, &format!("rid of {reason}"), is_gone).await;
        self.whys.of(name).cleared_of(reason);
    }

    /// Waits until nothing hinders a tenant.
    ///
    /// # Panics
    /// Where something goes on to.
    pub async fn unhindered(&self, name: &str) {
        self.until_the_command_says(name, "hindered by nothing", |told| told.is_empty().then_some(())).await;
        self.whys.of(name).cleared();
    }

    /// Waits until a tenant has left, and with it all that hindered it.
    ///
    /// # Panics
    /// Where it does not.
    pub async fn left(&self, name: &str) {
        let gone = self.wait_for(name, "gone", Json::is_null).await;
        gone.unwrap_or_else(|error| panic!("{error:#}"));
        self.whys.of(name).cleared();
    }

    /// Waits until an event of that reason tells something of a tenant, as `history` has it. Its cause has to be another
    /// hindrance's as well, with which it clears.
    ///
    /// # Panics
    /// Where none does.
    pub async fn told_by_an_event(&self, name: &str, reason: &str) {
        let begun = Instant::now();
        loop {
            let asked = self.plugin(&["history", name, "-o", "json"]);
            let (_, out, err) = asked.unwrap_or_else(|error| panic!("{error:#}"));
            let events: Json =
                serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
            if events.as_array().into_iter().flatten().any(|event| event["reason"] == reason) {
                return self.whys.of(name).by_its_cause(reason);
            }
            assert!(begun.elapsed() < PATIENCE, "no event of {name} tells {reason}: {events:#}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until both say so: what the command is made of, and then the command itself.
    async fn until_the_command_says<T>(
        &self,
        name: &str,
        what: &str,
        found: impl Fn(&[Json]) -> Option<T>,
    ) -> T {
        let begun = Instant::now();
        loop {
            self.until(name, what, &found).await;
            let told = self.why(name);
            if let Some(found) = found(&told) {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "the command tells otherwise of {name}: {told:#?}");
        }
    }

    async fn until<T>(&self, name: &str, what: &str, found: impl Fn(&[Json]) -> Option<T>) -> T {
        let begun = Instant::now();
        let (mut last, mut changed) = (None, begun);
        loop {
            let told = self.ask_why(name).await;
            if let Some(found) = told.as_deref().and_then(&found) {
                return found;
            }
            if told != last {
                (last, changed) = (told, Instant::now());
            }
            let waits = changed.elapsed() < PATIENCE && begun.elapsed() < LONGEST;
            assert!(waits, "{name} is never {what}: {last:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Notes what was told for which nobody has to do anything, and what only says that something else hinders: that is never told
    /// where the other is.
    fn look_behind(&self, name: &str, status: &Json, told: &[Json]) {
        let of_tenant = self.whys.of(name);
        let words = || told.iter().filter_map(|it| it["reason"].as_str());
        words().for_each(|word| of_tenant.in_passing(word));
        let explains = |word| Reason::of(word).is_some_and(|reason| reason.who() != Who::Other);
        if !words().any(explains) {
            return;
        }
        let conditions = status["conditions"].as_array().into_iter().flatten().map(|it| &it["reason"]);
        let steps =
            status["plan"]["steps"].as_array().into_iter().flatten().map(|it| &it["waiting"]["reason"]);
        for word in conditions.chain(steps).filter_map(Json::as_str) {
            assert!(words().all(|told| told != word) || explains(word), "{word} explains nothing: {told:#?}");
            of_tenant.behind_another(word);
        }
    }
}
