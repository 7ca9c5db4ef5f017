//! What is told of each tenant as it is: conditions, steps that wait, backups and the trust.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use vertskommune_api::TenantStatus;
use vertskommune_api::conditions::{DIRECTORY_READY, PROTECTED, READY, find};
use vertskommune_core::names::TenantName;
use vertskommune_core::plan::Plan;

use super::Metrics;
use super::labels::{ByReady, ByTenant, ConditionLabels, WaitLabels};

/// What was last told of a tenant, to be taken back.
#[derive(Default)]
pub(super) struct Remembered {
    ready: Option<String>,
    /// Each condition's status and reason.
    conditions: BTreeMap<String, (String, String)>,
    waiting: BTreeSet<&'static str>,
}

impl Metrics {
    /// What a tenant's plan has; `None` where there is none: its manifest is refused, or it is gone.
    pub(crate) fn planned(&self, tenant: &TenantName, plan: Option<&Plan>) {
        let mut waiting = BTreeMap::<&'static str, i64>::new();
        for wait in plan.iter().flat_map(|plan| &plan.steps).filter_map(|step| step.wait.as_ref()) {
            *waiting.entry(wait.word()).or_default() += 1;
        }
        let labels = |reason| WaitLabels { tenant: tenant.to_string(), reason };
        let mut all = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let told = &mut all.entry(tenant.clone()).or_default().waiting;
        for reason in told.iter().filter(|reason| !waiting.contains_key(*reason)) {
            self.waiting.remove(&labels(reason));
        }
        for (reason, count) in &waiting {
            self.waiting.get_or_create(&labels(reason)).set(*count);
        }
        *told = waiting.into_keys().collect();
        let shown = plan.map(|plan| i64::try_from(plan.shown.len()).unwrap_or(i64::MAX));
        set(&self.shown, tenant, shown);
    }

    /// What a tenant's status says; `None` where there is no such tenant any more.
    pub(crate) fn reported(&self, tenant: &TenantName, status: Option<&TenantStatus>) {
        let conditions: BTreeMap<String, (String, String)> = status
            .iter()
            .flat_map(|status| &status.conditions)
            .map(|it| (it.type_.clone(), (it.status.clone(), it.reason.clone())))
            .collect();
        let unknown = || "Unknown".to_owned();
        let ready = status.map(|_| conditions.get(READY).map_or_else(unknown, |(status, _)| status.clone()));
        let mut all = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.entry(tenant.clone()).or_default();
        if before.ready != ready {
            let gauge = |ready: &String| self.tenants.get_or_create_owned(&ByReady { ready: ready.clone() });
            if let Some(before) = &before.ready {
                gauge(before).dec();
            }
            if let Some(now) = &ready {
                gauge(now).inc();
            }
        }
        let labels = |condition: &String, (status, reason): &(String, String)| ConditionLabels {
            tenant: tenant.to_string(),
            condition: condition.clone(),
            status: status.clone(),
            reason: reason.clone(),
        };
        for (condition, was) in &before.conditions {
            if conditions.get(condition) != Some(was) {
                self.conditions.remove(&labels(condition, was));
            }
        }
        for (condition, is) in &conditions {
            self.conditions.get_or_create(&labels(condition, is)).set(1);
        }
        (before.ready, before.conditions) = (ready, conditions);
        if status.is_none() {
            all.remove(tenant);
            self.passes.forget(tenant);
        }
        drop(all);
        self.backup(tenant, status);
        let trust = status.and_then(|status| find(&status.conditions, DIRECTORY_READY));
        set(&self.trust, tenant, trust.map(|said| i64::from(said.status == "True")));
    }

    fn backup(&self, tenant: &TenantName, status: Option<&TenantStatus>) {
        let set = |family, value| set(family, tenant, value);
        let said = status.and_then(|status| find(&status.conditions, PROTECTED));
        let known = said.and_then(|_| status?.backup.as_ref());
        let second = |time: &Option<Time>| time.as_ref().map(|time| time.0.as_second());
        set(&self.protected, said.map(|said| i64::from(said.status == "True")));
        set(&self.last_backup, known.and_then(|known| second(&known.last_backup)));
        set(&self.last_proof, known.and_then(|known| second(&known.last_proof)));
    }
}

/// Sets a figure of a tenant's; one that it has no more goes.
fn set(family: &Family<ByTenant, Gauge>, tenant: &TenantName, value: Option<i64>) {
    let labels = ByTenant { tenant: tenant.to_string() };
    if let Some(value) = value {
        family.get_or_create(&labels).set(value);
    } else {
        family.remove(&labels);
    }
}
