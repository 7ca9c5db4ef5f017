//! Steps of a batch go together: what one makes the next may use, and none goes while one has to wait.
#![allow(clippy::unwrap_used)] // a test may fail

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use vertskommune_core::difference::Difference;
use vertskommune_core::domain::{Domain, Inputs, Proposal};
use vertskommune_core::host::{Budget, Ground, Host, Mode};
use vertskommune_core::names::{ProviderName, ResourceId, ResourceKey};
use vertskommune_core::observation::{Observation, Observations};
use vertskommune_core::plan::{Basis, Plan, Retry, plan};
use vertskommune_core::resource::Resource;
use vertskommune_core::schema::Schema;
use vertskommune_core::step::{Class, Step, Wait};
use vertskommune_core::tenant::{DeletionPolicy, DriftPolicy, ValidatedTenant};
use vertskommune_core::violation::Violation;
use vertskommune_core::windows::Maintenance;

/// A domain that proposes just these steps.
struct Proposes(ProviderName, Schema, Vec<Step>);

impl Domain for Proposes {
    fn name(&self) -> &ProviderName {
        &self.0
    }

    fn schema(&self) -> &Schema {
        &self.1
    }

    fn expand(&self, _: &Inputs) -> Result<Vec<Resource>, Vec<Violation>> {
        Ok(Vec::new())
    }

    fn steps(&self, _: &[Difference], _: &Observation, _: Timestamp) -> Proposal {
        Proposal { steps: self.2.clone(), ..Proposal::default() }
    }
}

fn id(name: &str) -> ResourceId {
    ResourceId::new(&"ibestad".into(), &"fortigate".into(), ResourceKey::new("rule", name))
}

/// A step that makes something, after another, in a batch or not.
fn step(name: &str, after: Option<&str>, batch: Option<&str>) -> Step {
    let mut step = Step::new(&id(name), "create", Class::Create, Timestamp::UNIX_EPOCH);
    step.after = after.map(id).into_iter().collect();
    step.batch = batch.map(str::to_owned);
    step
}

fn host() -> Host {
    Host {
        name: "fortigate".into(),
        plugin: "fortigate".to_owned(),
        endpoint: String::new(),
        identity: String::new(),
        ca: None,
        credentials: None,
        site: None,
        mode: Mode::Manage,
        budget: Budget::default(),
        ground: Ground::default(),
        destruction_released_until: None,
        maintenance: Maintenance::default(),
        settings: serde_json::Value::Null,
    }
}

fn tenant() -> ValidatedTenant {
    ValidatedTenant {
        name: "ibestad".into(),
        display_name: "Ibestad kommune".to_owned(),
        municipality_number: None,
        networks: Vec::new(),
        compute: None,
        servers: Vec::new(),
        firewall: None,
        backup: None,
        directory: None,
        maintenance: Maintenance::default(),
        drift_policy: DriftPolicy::Heal,
        deletion_policy: DeletionPolicy::default(),
        suspend: false,
        allow_destroy: BTreeSet::new(),
        accept_loss: None,
    }
}

fn planned(steps: Vec<Step>, failed: Option<&Step>) -> Plan {
    let (host, tenant) = (host(), tenant());
    let provider = host.name.clone();
    let wanted = steps.iter().map(|step| {
        let mut resource = Resource::new(step.resource.clone(), "");
        resource.after.clone_from(&step.after);
        resource
    });
    let desired = BTreeMap::from([(provider.clone(), wanted.collect())]);
    let domain = Proposes(provider.clone(), Schema::default(), steps);
    let domains = BTreeMap::from([(provider.clone(), &domain as &dyn Domain)]);
    let observations = Observations::from([(provider.clone(), Arc::new(Observation::empty(&provider)))]);
    let until = Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(60);
    let retry = |step: &Step| (step.id(), Retry { until, error: "no".to_owned() });
    plan(&Basis {
        now: Timestamp::UNIX_EPOCH,
        tenant: &tenant,
        leaving: false,
        desired: &desired,
        hosts: &BTreeMap::from([(provider, host)]),
        domains: &domains,
        observations: &observations,
        findings: &[],
        retries: &failed.map(retry).into_iter().collect(),
        halted: None,
    })
}

/// The turns in which steps are carried out, by their names.
fn turns(plan: &Plan) -> Vec<Vec<String>> {
    let turns = plan.turns(&|_| true);
    turns.iter().map(|turn| turn.iter().map(|it| it.step.resource.key.name.clone()).collect()).collect()
}

#[test]
fn what_one_step_makes_the_next_of_its_batch_may_use() {
    let rules = Some("rules");
    let steps = vec![step("b", Some("a"), rules), step("a", None, rules), step("c", Some("b"), rules)];
    assert_eq!(
        turns(&planned(steps, None)),
        [["a", "b", "c"]],
        "in the order in which they stand on each other"
    );
    let alone = vec![step("a", None, None), step("b", Some("a"), None)];
    assert_eq!(
        turns(&planned(alone, None)),
        [["a"]],
        "without a batch the next waits until the first is seen"
    );
}

#[test]
fn none_of_a_batch_goes_while_one_has_to_wait() {
    let rules = Some("rules");
    let steps = vec![step("a", None, rules), step("b", Some("interface"), rules), step("z", None, None)];
    let plan = planned(steps, None);
    assert_eq!(turns(&plan), [["z"]]);
    let wait = |name: &str| plan.steps.iter().find(|it| it.step.resource == id(name)).unwrap().wait.clone();
    assert_eq!(wait("b"), Some(Wait::After(id("interface"))));
    assert_eq!(wait("a"), Some(Wait::Together(id("b"))));
    let failed = step("b", None, rules);
    let plan = planned(vec![step("a", None, rules), failed.clone()], Some(&failed));
    assert_eq!(turns(&plan), Vec::<Vec<String>>::new(), "one that failed is tried again with all others");
}
