//! Steps that change a server in place, with a restart of its guest only where vSphere needs one.

use serde_json::Value as Json;
use vertskommune_core::difference::{Cause, FieldChange, Shown};
use vertskommune_core::observation::Present;
use vertskommune_core::resource::{Resource, Value};
use vertskommune_core::step::{Class, Step, Wait};

use super::{Maker, ServerChange, is_on, label, later, operation, sentence, was_asked};
use crate::order::{Order, Shutdown};

impl Maker<'_> {
    /// The steps for the changed fields of a server.
    pub(super) fn changed(
        &self,
        desired: &Resource,
        present: &Present,
        changes: &[FieldChange],
    ) -> ServerChange {
        let of = |field: &str| changes.iter().find(|change| change.field == field);
        let mut close = ServerChange::default();
        for (field, operation, verb) in [
            ("name", operation::RENAME, "rename"),
            ("folder", operation::MOVE, "move"),
            ("pool", operation::MOVE_POOL, "move"),
        ] {
            close.steps.extend(of(field).map(|change| {
                let summary =
                    format!("{verb} {}: {}", label(&desired.id), sentence(std::slice::from_ref(change)));
                Self::setting(self.step(&desired.id, operation, Class::Change, summary), [change])
            }));
        }
        let matching = |prefix: &str, suffix: &str| -> Vec<FieldChange> {
            let fits =
                |change: &&FieldChange| change.field.starts_with(prefix) && change.field.ends_with(suffix);
            changes.iter().filter(fits).cloned().collect()
        };
        let networks = matching("interfaces.", ".network");
        if !networks.is_empty() {
            let summary = format!("connect {}: {}", label(&desired.id), sentence(&networks));
            let step = self.step(&desired.id, operation::CONNECT, Class::Change, summary);
            close.steps.push(Self::setting(step, &networks));
        }
        close.steps.extend(self.grow(desired, &matching("disks.", ".size")));
        close.steps.extend(of("diskNames").map(|_| self.name_disks(desired)));
        self.sizes(desired, present, changes, &mut close);
        if of("born").is_some() {
            // Made by us and never started: a machine that came another way keeps its power as it is.
            let first_start = present.identity == self.instance_uuid(desired) && !is_on(present);
            let owed = present.interrupted;
            close.steps.extend((first_start && !owed).then(|| self.power_on(desired)));
            close.steps.push(self.record_birth(desired));
        }
        close
    }

    /// CPUs, memory, and a restart of ours that is under way.
    fn sizes(
        &self,
        desired: &Resource,
        present: &Present,
        changes: &[FieldChange],
        close: &mut ServerChange,
    ) {
        let sizes: Vec<FieldChange> =
            changes.iter().filter(|change| matches!(&*change.field, "vcpus" | "memory")).cloned().collect();
        let order = present.fields.get("order").and_then(Json::as_str).and_then(Order::read);
        if let Some(order) = order {
            close.steps.extend(self.go_on(desired, present, &sizes, &order));
            return;
        }
        if sizes.is_empty() {
            return;
        }
        if !is_on(present) || sizes.iter().all(|change| is_hot(present, change)) {
            close.steps.push(self.resize(desired, &sizes));
        } else if sizes.iter().all(|change| change.cause == Cause::Drift) {
            // A size that somebody set by hand is not worth an interruption.
            close.shown.extend(sizes.into_iter().map(|change| Shown {
                id: desired.id.clone(),
                field: change.field,
                from: change.from,
                to: change.to,
            }));
        } else {
            close.steps.push(self.shut_down(desired, &sizes));
            close.steps.push(later(self.resize(desired, &sizes)));
            close.steps.push(later(self.power_on(desired)));
        }
    }

    /// What is left of a restart that has begun. It is finished though its window has closed.
    fn go_on(
        &self,
        desired: &Resource,
        present: &Present,
        sizes: &[FieldChange],
        order: &Order,
    ) -> Vec<Step> {
        let resize = (!sizes.is_empty()).then(|| self.resize(desired, sizes));
        if !is_on(present) {
            return resize.into_iter().chain([self.power_on(desired)]).collect();
        }
        // It is up again, or nothing asks for the restart any more: all that is left is to say so.
        if sizes.is_empty() || *order == Order::Start {
            let wait = (!order.is_settled(self.now)).then(shutting_down);
            return vec![Step { blocked: wait, ..self.power_on(desired) }];
        }
        let wait = match order.shutdown(self.now, was_asked(present)) {
            Shutdown::Pending => Some(shutting_down()),
            Shutdown::NotAsked | Shutdown::Late => None,
            Shutdown::Refused => Some(Wait::GuestShutdown),
        };
        let again = Step { class: Class::Change, blocked: wait, ..self.shut_down(desired, sizes) };
        let rest = resize.into_iter().chain([self.power_on(desired)]).map(later);
        [again].into_iter().chain(rest).collect()
    }

    fn shut_down(&self, desired: &Resource, sizes: &[FieldChange]) -> Step {
        let summary = format!("shut down the guest of {} for {}", label(&desired.id), sentence(sizes));
        let step = self.step(&desired.id, operation::SHUT_DOWN, Class::Restart, summary);
        let mut step = Self::setting(step, sizes);
        step.fields.insert("restarting".to_owned(), Value::known(true));
        step
    }

    fn resize(&self, desired: &Resource, sizes: &[FieldChange]) -> Step {
        let summary = format!("resize {}: {}", label(&desired.id), sentence(sizes));
        let mut step =
            Self::setting(self.step(&desired.id, operation::RESIZE, Class::Change, summary), sizes);
        for change in sizes.iter().filter(|change| change.field == "memory") {
            let from = change.from.as_ref().and_then(Json::as_u64).unwrap_or_default();
            let to = change.to.as_known().and_then(Json::as_u64).unwrap_or_default();
            if let Some(more) = to.checked_sub(from).filter(|more| *more > 0) {
                step.uses.insert("memory".to_owned(), more);
            }
        }
        step
    }
}

/// Whether the size can grow while the guest runs.
fn is_hot(present: &Present, change: &FieldChange) -> bool {
    let allowed =
        present.fields.get(&format!("hotAdd.{}", change.field)).and_then(Json::as_bool) == Some(true);
    let from = change.from.as_ref().and_then(Json::as_u64);
    let to = change.to.as_known().and_then(Json::as_u64);
    allowed && from.zip(to).is_some_and(|(from, to)| to > from)
}

pub(super) fn shutting_down() -> Wait {
    Wait::InProgress { operation: "Shutting down the guest".to_owned(), percent: None }
}
