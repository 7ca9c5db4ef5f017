//! What a plan takes from a look, and the news of a later one. Nowhere else is it said what is news.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vertskommune_core::backup::{Backups, JobStatus};
use vertskommune_core::directory::Signals;
use vertskommune_core::names::{Kind, ProviderName, TenantName};
use vertskommune_core::observation::{Blindness, Foreign, Observation, Things};

use crate::{Engine, World};

/// What a plan takes from a look at one endpoint. The things of a tenant are shared, so this is small.
#[derive(Default)]
pub struct Sight {
    /// What concerns every tenant.
    gaps: (Option<Blindness>, BTreeMap<Kind, Blindness>),
    /// What other products' jobs have left: it concerns those whose manifests name the job.
    jobs: BTreeMap<String, JobStatus>,
    tenants: BTreeMap<TenantName, OfTenant>,
}

#[derive(PartialEq)]
struct OfTenant {
    things: Option<Things>,
    gap: Option<Blindness>,
    foreign: Vec<Foreign>,
    backups: Option<Arc<Backups>>,
    trust: Option<Arc<Signals>>,
}

impl Engine {
    /// What plans take from what was last seen in an endpoint.
    pub fn sight(&self, provider: &ProviderName) -> Sight {
        self.endpoint(provider).map(|endpoint| Sight::whole(&endpoint.observation())).unwrap_or_default()
    }
}

impl Sight {
    /// That of all tenants of which anything is known.
    fn whole(observation: &Observation) -> Self {
        let tenants = (observation.seen.keys())
            .chain(observation.coverage.tenants.keys())
            .chain(observation.foreign.iter().map(|foreign| &foreign.tenant))
            .chain(observation.backups.keys())
            .chain(observation.trusts.keys());
        let jobs = observation.jobs.left.clone();
        Self { jobs, ..Self::of(observation, &tenants.cloned().collect()) }
    }

    /// That of these tenants, and nothing of jobs.
    pub(crate) fn of(observation: &Observation, tenants: &BTreeSet<TenantName>) -> Self {
        let mut foreign: BTreeMap<&TenantName, Vec<Foreign>> = BTreeMap::new();
        for it in observation.foreign.iter().filter(|it| tenants.contains(&it.tenant)) {
            foreign.entry(&it.tenant).or_default().push(it.clone());
        }
        let mut of_tenant = |tenant: &TenantName| OfTenant {
            things: observation.seen.get(tenant).cloned(),
            gap: observation.coverage.tenants.get(tenant).cloned(),
            foreign: foreign.remove(tenant).unwrap_or_default(),
            // When it was seen is no news.
            backups: observation.backups.get(tenant).map(|known| known.backups.clone()),
            trust: observation.trusts.get(tenant).cloned(),
        };
        Self {
            gaps: (observation.coverage.blind.clone(), observation.coverage.kinds.clone()),
            jobs: BTreeMap::new(),
            tenants: tenants.iter().map(|tenant| (tenant.clone(), of_tenant(tenant))).collect(),
        }
    }

    /// Those of these tenants of which a later look saw something else.
    pub(crate) fn news(&self, later: &Self, tenants: &BTreeSet<TenantName>) -> BTreeSet<TenantName> {
        tenants.iter().filter(|tenant| self.differs(later, tenant)).cloned().collect()
    }

    /// The tenants of the manifests of which a later look saw something else, or for which the job that they name has left
    /// something else.
    pub fn news_for(&self, later: &Self, world: &World) -> BTreeSet<TenantName> {
        let watches_another = |name: &TenantName| {
            let job = world.tenant(name).and_then(|tenant| tenant.backup.as_ref()?.job());
            job.is_some_and(|job| self.jobs.get(job) != later.jobs.get(job))
        };
        let known = world.tenants().keys();
        known.filter(|name| self.differs(later, name) || watches_another(name)).cloned().collect()
    }

    fn differs(&self, later: &Self, tenant: &TenantName) -> bool {
        self.gaps != later.gaps || self.tenants.get(tenant) != later.tenants.get(tenant)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use serde_json::{Value as Json, json};
    use vertskommune_core::backup::Known;
    use vertskommune_core::names::ResourceKey;
    use vertskommune_core::observation::{Coverage, Present, Seen};

    use super::*;

    fn world(tenants: &[(&str, Json)]) -> World {
        let hours = |hours| json!(SignedDuration::from_hours(hours));
        let mut world = World::default();
        for (name, mode) in tenants {
            let tenant = serde_json::from_value(json!({
                "name": name, "display_name": name, "networks": [], "servers": [],
                "backup": {
                    "provider": "room", "mode": mode, "selection": {"include": [], "exclude": []}, "max_age": hours(26),
                    "proof": {"max_age": hours(168), "scope": "OneDiskPerServer"}, "keep_after_exit": hours(720),
                },
                "maintenance": {"windows": [], "freezes": []}, "drift_policy": "Heal",
                "deletion_policy": {"servers": "Retain", "firewall": "Remove"}, "suspend": false, "allow_destroy": [],
            }));
            world.insert(tenant.unwrap(), false);
        }
        world
    }

    /// Three tenants: another product's jobs take the backups of two.
    fn all() -> World {
        let ours = json!({"Managed": {
            "window": {"start": "22:00:00", "duration": SignedDuration::from_hours(8), "timeZone": "Europe/Oslo"},
            "retention": {"daily": 14},
        }});
        let external = |job| json!({"External": {"job": job}});
        world(&[("ibestad", external("nightly")), ("dyroy", external("other")), ("gratangen", ours)])
    }

    type Change<'a> = &'a dyn Fn(&mut Observation);

    #[test]
    fn news_is_what_a_plan_would_see() {
        let gap = || Blindness::Incomplete("a page is missing".to_owned());
        let backups = |damage: Option<&str>, seconds| {
            let backups = Backups { damage: damage.map(ToOwned::to_owned), ..Backups::default() };
            let seen_at = jiff::Timestamp::from_second(seconds).unwrap();
            Known { seen_at, backups: Arc::new(backups) }
        };
        let thing = || (ResourceKey::new("server", "fs01"), Seen::Present(Arc::new(Present::default())));
        let mut before = Observation::empty(&"room".into());
        before.seen.insert("ibestad".into(), [thing()].into_iter().collect());
        before.backups.insert("gratangen".into(), backups(None, 0));
        let everybody = &["dyroy", "gratangen", "ibestad"][..];
        let rows: [(Change<'_>, &[&str], &str); 14] = [
            (&|_| {}, &[], "the same"),
            (&|it| it.coverage = Coverage::blind(gap()), everybody, "nothing is seen"),
            (&|it| drop(it.coverage.kinds.insert("server".into(), gap())), everybody, "a kind is not"),
            (&|it| drop(it.coverage.tenants.insert("dyroy".into(), gap())), &["dyroy"], "one of them is not"),
            (&|it| drop(it.seen.remove(&TenantName::from("ibestad"))), &["ibestad"], "its things are gone"),
            (
                &|it| drop(it.seen.insert("dyroy".into(), [thing()].into_iter().collect())),
                &["dyroy"],
                "its first thing",
            ),
            (
                &|it| {
                    it.foreign.push(Foreign {
                        tenant: "gratangen".into(),
                        kind: "server".into(),
                        name: "fs01".to_owned(),
                        path: "/fs01".to_owned(),
                        identity: "vm-1".to_owned(),
                        mark: None,
                        present: Present::default(),
                    });
                },
                &["gratangen"],
                "a stranger in its place",
            ),
            (
                &|it| drop(it.backups.insert("gratangen".into(), backups(Some("a pack is gone"), 0))),
                &["gratangen"],
                "its backup is damaged",
            ),
            (
                &|it| drop(it.backups.insert("gratangen".into(), backups(None, 60))),
                &[],
                "the same, seen later",
            ),
            (&|it| drop(it.backups.insert("dyroy".into(), backups(None, 0))), &["dyroy"], "its first backup"),
            (&|it| drop(it.trusts.insert("dyroy".into(), Arc::default())), &["dyroy"], "its trust"),
            (
                &|it| drop(it.seen.insert("south".into(), [thing()].into_iter().collect())),
                &[],
                "somebody without a manifest",
            ),
            (&|it| it.jobs.seen_at = jiff::Timestamp::UNIX_EPOCH, &[], "the jobs, seen later"),
            (&|it| it.version = "8.0.3".to_owned(), &[], "no plan depends on it"),
        ];
        for (change, expected, reason) in rows {
            let mut after = before.clone();
            change(&mut after);
            let names = |news: BTreeSet<TenantName>| -> Vec<String> {
                news.iter().map(ToString::to_string).collect()
            };
            let news = Sight::whole(&before).news_for(&Sight::whole(&after), &all());
            assert_eq!(names(news), expected, "{reason}");
            // A look at single tenants has the same news.
            let everyone: BTreeSet<TenantName> = all().tenants().keys().cloned().collect();
            let news = Sight::of(&before, &everyone).news(&Sight::of(&after, &everyone), &everyone);
            assert_eq!(names(news), expected, "{reason}, of single tenants");
        }
    }

    #[test]
    fn what_a_job_leaves_concerns_those_whose_manifests_name_it() {
        let left = |why: &str| {
            let mut seen = Observation::empty(&"room".into());
            seen.jobs.left.insert("nightly".to_owned(), JobStatus::Unreadable(why.to_owned()));
            seen
        };
        let news = |before: &Observation, after: &Observation| {
            let news = Sight::whole(before).news_for(&Sight::whole(after), &all()).into_iter();
            news.map(|name| name.to_string()).collect::<Vec<_>>()
        };
        let nothing = Observation::empty(&"room".into());
        assert_eq!(news(&nothing, &left("it is empty")), ["ibestad"]);
        assert_eq!(news(&left("it is empty"), &left("it is too long")), ["ibestad"]);
        assert_eq!(news(&left("it is empty"), &left("it is empty")), [""; 0]);
        // A report of the keeper that comes with it concerns its tenant as well.
        let found = Backups { damage: Some("a pack is gone".to_owned()), ..Backups::default() };
        let mut both = left("it is too long");
        let found = Known { seen_at: jiff::Timestamp::UNIX_EPOCH, backups: Arc::new(found) };
        both.backups.insert("gratangen".into(), found);
        assert_eq!(news(&left("it is empty"), &both), ["gratangen", "ibestad"]);
    }
}
