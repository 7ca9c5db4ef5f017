//! The steps that close differences. None removes anything: what lies in the second room is the municipality's. Pure.

use jiff::Timestamp;
use serde_json::Value as Json;
use vertskommune_core::difference::{Difference, FieldChange, Shown, What};
use vertskommune_core::domain::Proposal;
use vertskommune_core::names::ResourceId;
use vertskommune_core::observation::{Observation, Present};
use vertskommune_core::resource::{Resource, Value};
use vertskommune_core::step::{Class, Step};

use crate::schema::{ACCOUNT, REPOSITORY, field};

/// What steps do; the words that stand in plans.
pub(crate) mod operation {
    /// Makes an account, or a repository with its keys and policy.
    pub(crate) const CREATE: &str = "create";
    /// Sets an account's key and quota.
    pub(crate) const SET: &str = "set";
    /// Lays a key beside the repository.
    pub(crate) const ADD_KEY: &str = "add-key";
    /// Tells the keeper what to keep.
    pub(crate) const SET_POLICY: &str = "set-policy";
    /// Tells the keeper that the tenant has left.
    pub(crate) const LEAVE: &str = "leave";
    /// Tells it that the tenant is here again.
    pub(crate) const COME_BACK: &str = "come-back";
}

/// The steps for these differences.
pub(crate) fn steps(differences: &[Difference], seen: &Observation, now: Timestamp) -> Proposal {
    let mut proposal = Proposal::default();
    for difference in differences {
        let maker = Maker { id: &difference.id, now };
        let is = |kind: &str| difference.id.key.kind.as_str() == kind;
        match (&difference.what, &difference.desired, &difference.present) {
            (What::Missing, Some(desired), _) if is(ACCOUNT) => proposal.steps.push(maker.account(desired)),
            (What::Missing, Some(desired), _) => {
                proposal.steps.push(maker.repository(desired, keeper_of_any(seen).as_ref()));
            }
            (What::Changed(changes), Some(desired), Some(present)) if is(ACCOUNT) => {
                maker.change_account(desired, present, changes, &mut proposal);
            }
            (What::Changed(changes), Some(desired), Some(present)) => {
                maker.change_repository(desired, present, changes, &mut proposal);
            }
            (What::Unretire, Some(desired), Some(_)) if is(REPOSITORY) => {
                let summary = format!("{} is backed up again", difference.id.tenant);
                let step = maker.step(operation::COME_BACK, Class::Change, summary);
                proposal.steps.push(with_policy(step, desired));
            }
            (What::Retire, _, Some(present)) if is(REPOSITORY) => proposal.steps.push(maker.leave(present)),
            // An account is kept with its repository, and a repository for ever: a person takes both away.
            _ => {}
        }
    }
    proposal
}

/// Whom the keeper's keys are sealed for; none where it has never run.
fn keeper_of_any(seen: &Observation) -> Option<Json> {
    seen.offered.get(field::KEEPER_RECIPIENT)?.first().map(|recipient| Json::from(recipient.as_str()))
}

struct Maker<'a> {
    id: &'a ResourceId,
    now: Timestamp,
}

impl Maker<'_> {
    fn step(&self, operation: &str, class: Class, summary: String) -> Step {
        Step { summary, ..Step::new(self.id, operation, class, self.now) }
    }

    fn account(&self, desired: &Resource) -> Step {
        let tenant = &self.id.tenant;
        let summary = format!("account and folder of {tenant} in the second room{}", quota(desired));
        let mut step = self.step(operation::CREATE, Class::Create, summary);
        step.fields.clone_from(&desired.fields);
        step
    }

    fn repository(&self, desired: &Resource, keeper: Option<&Json>) -> Step {
        let with = if keeper.is_some() { "escrow key, the keeper's key" } else { "escrow key" };
        let summary = format!("repository of {}, with its {with} and its policy", self.id.tenant);
        let mut step = self.step(operation::CREATE, Class::Create, summary);
        step.fields.clone_from(&desired.fields);
        step.fields.remove(field::KEEPER);
        if let Some(keeper) = keeper {
            step.fields.insert(field::KEEPER_RECIPIENT.to_owned(), Value::Known(keeper.clone()));
        }
        step.after.clone_from(&desired.after);
        step
    }

    fn change_account(
        &self,
        desired: &Resource,
        present: &Present,
        changes: &[FieldChange],
        proposal: &mut Proposal,
    ) {
        let held = !present.fields.contains_key(field::QUOTA_PROBLEM);
        let (now, never): (Vec<_>, Vec<_>) =
            changes.iter().partition(|change| change.field != field::QUOTA || held);
        proposal.shown.extend(never.into_iter().map(|change| self.shown(change)));
        if now.is_empty() {
            return;
        }
        let what: Vec<_> = now.iter().map(|change| change.field.as_str()).collect();
        let summary =
            format!("{} of the account of {}{}", what.join(" and "), self.id.tenant, quota(desired));
        let mut step = expecting(self.step(operation::SET, Class::Change, summary), now);
        step.fields.clone_from(&desired.fields);
        proposal.steps.push(step);
    }

    fn change_repository(
        &self,
        desired: &Resource,
        present: &Present,
        changes: &[FieldChange],
        proposal: &mut Proposal,
    ) {
        let tenant = &self.id.tenant;
        let keeper = present.fields.get(field::KEEPER_RECIPIENT);
        for change in changes {
            let (whose, recipient, value) = match change.field.as_str() {
                field::ESCROW => {
                    let to = desired.fields.get(field::ESCROW_RECIPIENT).cloned();
                    ("escrow key", field::ESCROW_RECIPIENT, to)
                }
                field::KEEPER => {
                    let to = keeper.cloned().map(Value::Known);
                    ("keeper's key", field::KEEPER_RECIPIENT, to)
                }
                _ => continue,
            };
            // As long as the keeper has never run, nobody can seal anything for it; a notice says so.
            let Some(value) = value else {
                proposal.shown.push(self.shown(change));
                continue;
            };
            let summary = format!("{whose} of the repository of {tenant}");
            let mut step = expecting(self.step(operation::ADD_KEY, Class::Change, summary), [change]);
            step.fields.insert(change.field.clone(), change.to.clone());
            step.fields.insert(recipient.to_owned(), value);
            proposal.steps.push(step);
        }
        let policy: Vec<_> =
            changes.iter().filter(|change| change.field.starts_with(field::POLICY)).collect();
        if !policy.is_empty() {
            let summary = format!("what is kept of {tenant}: {}", sentence(&policy));
            let step = expecting(self.step(operation::SET_POLICY, Class::Change, summary), policy);
            proposal.steps.push(with_policy(step, desired));
        }
    }

    fn leave(&self, present: &Present) -> Step {
        let summary = format!(
            "{} is backed up here no more: its backups stay, all of them for keepAfterExit",
            self.id.tenant
        );
        let mut step = self.step(operation::LEAVE, Class::Retire, summary);
        for (name, value) in present.fields.iter().filter(|(name, _)| name.starts_with(field::POLICY)) {
            step.fields.insert(name.to_owned(), Value::Known(value.clone()));
            step.expects.insert(name.to_owned(), value.clone());
        }
        step
    }

    fn shown(&self, change: &FieldChange) -> Shown {
        Shown {
            id: self.id.clone(),
            field: change.field.clone(),
            from: change.from.clone(),
            to: change.to.clone(),
        }
    }
}

/// The step with the whole policy, which is written whole.
fn with_policy(mut step: Step, desired: &Resource) -> Step {
    let policy = desired.fields.iter().filter(|(name, _)| name.starts_with(field::POLICY));
    step.fields.extend(policy.map(|(name, value)| (name.clone(), value.clone())));
    step
}

/// The step that expects these fields as they are.
fn expecting<'a>(step: Step, changes: impl IntoIterator<Item = &'a FieldChange>) -> Step {
    changes.into_iter().fold(step, |mut step, change| {
        step.expects.insert(change.field.clone(), change.from.clone().unwrap_or(Json::Null));
        step
    })
}

fn quota(desired: &Resource) -> String {
    let quota = desired.fields.get(field::QUOTA).and_then(Value::as_known).and_then(Json::as_u64);
    quota.map_or_else(String::new, |bytes| format!(", at most {} GiB", bytes >> 30))
}

/// Changes in words, such as `daily 7 → 14`.
fn sentence(changes: &[&FieldChange]) -> String {
    let word = |value: Option<&Json>| match value {
        Some(Json::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "(none)".to_owned(),
    };
    let words = changes.iter().map(|change| {
        let name = change.field.trim_start_matches(field::POLICY);
        format!("{name} {} → {}", word(change.from.as_ref()), word(change.to.as_known()))
    });
    words.collect::<Vec<_>>().join(", ")
}
