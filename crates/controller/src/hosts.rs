//! The host's endpoints: one pass over all of them, as a table of contents. They are few, and what one of them changes
//! concerns all tenants, so they share one task.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::Store;
use kube::{Api, ResourceExt as _};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use vertskommune_api::conditions::{Conditions, READY, Truth};
use vertskommune_api::{
    HostProvider, HostProviderStatus, REQUESTED_AT, RuleSet, TENANT_LABEL, Tenant, validate_host,
};
use vertskommune_core::error::with_causes;
use vertskommune_core::host::Host;
use vertskommune_core::names::ProviderName;
use vertskommune_core::observation::Blindness;
use vertskommune_core::reason::Reason;
use vertskommune_core::violation::Violation;
use vertskommune_engine::{EndpointHealth, Health};
use vertskommune_provider::secrets::{FolderSecrets, SecretStore as _};

use crate::endpoints::{Followed, Triggers};
use crate::objects::{Cluster, WriteError};
use crate::reconcile::Context;

/// On a HostProvider while a tenant names it.
pub(crate) const HOST_FINALIZER: &str = "vertskommune.no/host-provider";
/// On a Secret while a HostProvider names it, or its own tenant for the agent on its domain controller.
pub(crate) const SECRET_FINALIZER: &str = "vertskommune.no/secret";
/// On a RuleSet while a tenant pins it.
pub(crate) const RULE_SET_FINALIZER: &str = "vertskommune.no/rule-set";

/// The shortest pause between two passes.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest that a look that was asked for holds up the others.
const LOOK: Duration = Duration::from_secs(30);

/// How often mounted Secrets are looked at.
const MOUNTS: Duration = Duration::from_secs(10);

/// The metadata of a Secret; its content stays where it is.
pub(crate) type SecretMeta = PartialObjectMeta<Secret>;

/// The endpoints as the manifests describe them.
pub(crate) struct Hosts {
    pub(crate) ctx: Arc<Context>,
    pub(crate) manifests: Store<HostProvider>,
    /// Held while a tenant pins them.
    pub(crate) rule_sets: Store<RuleSet>,
    pub(crate) secrets: Store<SecretMeta>,
    pub(crate) secrets_api: Api<SecretMeta>,
    /// Where Secrets are mounted. Nobody tells of a change there.
    pub(crate) mounted: Option<FolderSecrets>,
    pub(crate) tenants: Store<Tenant>,
    pub(crate) triggers: Triggers,
    /// Told when any of the above has changed.
    pub(crate) news: Arc<Notify>,
    /// Told when all endpoints shall be looked at.
    pub(crate) sweep: Arc<Notify>,
    pub(crate) followed: BTreeMap<ProviderName, (Host, Followed)>,
    /// Versions of the Secrets in use.
    pub(crate) versions: BTreeMap<String, Option<String>>,
    /// Statuses as they were last written, which the watch may not have brought back yet.
    pub(crate) written: BTreeMap<String, (u64, HostProviderStatus)>,
}

/// What is wrong with endpoints, by name.
type Wrong = BTreeMap<ProviderName, Vec<Violation>>;

impl Hosts {
    /// Follows the endpoints until it is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            self.pass().await;
            // News come in crowds.
            sleep(PAUSE).await;
            tokio::select! {
                () = self.news.notified() => {}
                () = self.sweep.notified() => self.followed.values().for_each(|(_, followed)| followed.look()),
                () = sleep(MOUNTS), if self.mounted.is_some() => {}
            }
        }
    }

    /// One pass over all endpoints.
    pub(crate) async fn pass(&mut self) {
        // What the watches have brought.
        let manifests = self.manifests.state();

        // What they say, or all that is wrong with them.
        let (hosts, mut wrong) = validate(&manifests);

        // The engine and the world as they are now. (no client)
        wrong.extend(self.configure(hosts));

        // What is in use stays until it is not. (client)
        self.protect(&manifests).await;

        // Changed passwords and requests to look.
        self.look(&manifests).await;

        // At most one write for each endpoint whose state has changed. (client)
        self.report(&manifests, &wrong).await;
    }

    fn configure(&mut self, hosts: BTreeMap<ProviderName, Host>) -> Wrong {
        let wrong = self.ctx.engine.configure(&hosts);
        let mut changed = self.ctx.world.read().unwrap_or_else(PoisonError::into_inner).hosts() != &hosts;
        if changed {
            self.ctx.world.write().unwrap_or_else(PoisonError::into_inner).set_hosts(hosts.clone());
        }
        let (ctx, triggers, news) = (&self.ctx, &self.triggers, &self.news);
        self.followed.retain(|name, (host, followed)| {
            let stays = hosts.get(name) == Some(host) && !followed.is_over();
            if !stays {
                ctx.metrics.no_endpoint(name);
            }
            stays
        });
        for (name, host) in hosts {
            if !wrong.contains_key(&name) && !self.followed.contains_key(&name) {
                tracing::info!(provider = %name, endpoint = %host.endpoint, "following an endpoint");
                let followed = Followed::new(&name, ctx, triggers, news);
                self.followed.insert(name, (host, followed));
                changed = true;
            }
        }
        if changed {
            self.reconcile_all();
        }
        wrong
    }

    fn reconcile_all(&self) {
        for tenant in self.tenants.state() {
            self.triggers.ask(crate::tenants::name(&tenant));
        }
    }

    async fn protect(&mut self, manifests: &[Arc<HostProvider>]) {
        let tenants = self.tenants.state();
        let named: BTreeSet<&str> = tenants.iter().flat_map(|tenant| tenant.spec.providers()).collect();
        for manifest in manifests {
            self.protect_one(&**manifest, HOST_FINALIZER, named.contains(manifest.name_any().as_str())).await;
        }
        let pinned: BTreeSet<&str> = tenants.iter().flat_map(|tenant| tenant.spec.rule_sets()).collect();
        for set in self.rule_sets.state() {
            self.protect_one(&*set, RULE_SET_FINALIZER, pinned.contains(set.spec.pin().as_str())).await;
        }
        self.protect_secrets(manifests, &tenants).await;
    }

    async fn protect_one<K: Cluster>(&self, object: &K, finalizer: &str, used: bool) {
        let held = object.finalizers().iter().any(|name| name == finalizer);
        let leaving = object.meta().deletion_timestamp.is_some();
        let result = match (used, held) {
            (true, false) if !leaving => self.ctx.objects.hold(object, finalizer).await.map(drop),
            (false, true) => self.ctx.objects.let_go(object, finalizer).await,
            _ => return,
        };
        complain(&K::kind(&()), &object.name_any(), result);
    }

    async fn protect_secrets(&mut self, manifests: &[Arc<HostProvider>], tenants: &[Arc<Tenant>]) {
        let (used, agents) = (secrets_of(manifests), agent_secrets_of(tenants));
        for secret in self.secrets.state() {
            let name = secret.name_any();
            let held = secret.finalizers().iter().any(|finalizer| finalizer == SECRET_FINALIZER);
            let leaving = secret.metadata.deletion_timestamp.is_some();
            let (objects, api) = (&self.ctx.objects, &self.secrets_api);
            let owner = secret.labels().get(TENANT_LABEL).cloned().unwrap_or_default();
            let result = match (used.contains(&name) || agents.contains(&(owner, name.clone())), held) {
                (true, false) if !leaving => {
                    let held = objects.hold_in(api, &*secret, SECRET_FINALIZER).await;
                    // Another version, but the same content.
                    held.map(|held| {
                        if self.versions.get(&name) == Some(&secret.resource_version()) {
                            self.versions.insert(name.clone(), held.resource_version());
                        }
                    })
                }
                (false, true) => objects.let_go_in(api, &secret, SECRET_FINALIZER).await,
                _ => continue,
            };
            complain("Secret", &name, result);
        }
    }

    async fn look(&mut self, manifests: &[Arc<HostProvider>]) {
        let now = self.versions_now(manifests).await;
        for manifest in manifests {
            let Some((_, followed)) = self.followed.get(manifest.name_any().as_str()) else { continue };
            let renewed = manifest.spec.credentials.as_ref().is_some_and(|credentials| {
                let name = &credentials.secret_name;
                // One that is seen for the first time is read by the first look anyway.
                self.versions.get(name).is_some_and(|before| {
                    is_newer(now.get(name).and_then(Option::as_deref), before.as_deref())
                })
            });
            if renewed {
                followed.look();
            }
            if asked(manifest, manifest.status.as_ref()) {
                // The status answers the request when the look has ended, or has taken too long.
                let provider = ProviderName::new(manifest.name_any());
                let _ = timeout(LOOK, self.ctx.engine.observe_one(&provider, &*self.ctx.world)).await;
                followed.look();
            }
        }
        for (name, version) in now {
            let newer =
                self.versions.get(&name).is_none_or(|before| is_newer(version.as_deref(), before.as_deref()));
            if newer {
                self.versions.insert(name, version);
            }
        }
    }

    /// The versions of all Secrets: of those that are mounted the mount's.
    async fn versions_now(&self, manifests: &[Arc<HostProvider>]) -> BTreeMap<String, Option<String>> {
        let secrets = self.secrets.state();
        let mut now: BTreeMap<_, _> =
            secrets.iter().map(|secret| (secret.name_any(), secret.resource_version())).collect();
        if let Some(mounted) = &self.mounted {
            for name in secrets_of(manifests) {
                if let Ok(secret) = mounted.get(&name).await {
                    now.insert(name, Some(secret.version));
                }
            }
        }
        now
    }

    async fn report(&mut self, manifests: &[Arc<HostProvider>], wrong: &Wrong) {
        let health = self.ctx.engine.health();
        let names: BTreeSet<String> = manifests.iter().map(|manifest| manifest.name_any()).collect();
        self.written.retain(|name, _| names.contains(name));
        for manifest in manifests {
            let name = manifest.name_any();
            let version = manifest.resource_version().and_then(|version| version.parse().ok()).unwrap_or(0);
            let ours = self.written.get(&name).filter(|(written, _)| *written > version);
            let before = ours.map_or_else(|| manifest.status.clone(), |(_, status)| Some(status.clone()));
            let state = match wrong.get(name.as_str()) {
                Some(violations) => State::Wrong(violations),
                None => health.get(name.as_str()).map_or(State::Unknown, State::Known),
            };
            let next = status(manifest, before.as_ref(), &state, Timestamp::now());
            if before.as_ref() == Some(&next) {
                continue;
            }
            match self.ctx.objects.status(&**manifest, &next).await {
                Ok(written) => {
                    let version = written.resource_version().and_then(|version| version.parse().ok());
                    self.written.insert(name, (version.unwrap_or(0), next));
                }
                Err(error) => complain("HostProvider", &name, Err(error)),
            }
        }
    }
}

fn validate(manifests: &[Arc<HostProvider>]) -> (BTreeMap<ProviderName, Host>, Wrong) {
    let (mut hosts, mut wrong) = (BTreeMap::new(), Wrong::new());
    for manifest in manifests {
        let name = ProviderName::new(manifest.name_any());
        match validate_host(manifest) {
            Ok(host) => drop(hosts.insert(name, host)),
            Err(violations) => drop(wrong.insert(name, violations)),
        }
    }
    (hosts, wrong)
}

fn secrets_of(manifests: &[Arc<HostProvider>]) -> BTreeSet<String> {
    let credentials = manifests.iter().filter_map(|manifest| manifest.spec.credentials.as_ref());
    credentials.map(|credentials| credentials.secret_name.clone()).collect()
}

/// The Secrets of agents, each with the tenant that names it. One that is not that tenant's own is never read for it, and not
/// held either.
fn agent_secrets_of(tenants: &[Arc<Tenant>]) -> BTreeSet<(String, String)> {
    let secret = |tenant: &Arc<Tenant>| Some((tenant.name_any(), tenant.spec.agent_secret()?.to_owned()));
    tenants.iter().filter_map(secret).collect()
}

/// Whether a version is later than another. Versions of one kind count up.
fn is_newer(now: Option<&str>, before: Option<&str>) -> bool {
    let number = |version: Option<&str>| version.and_then(|version| version.parse::<u64>().ok());
    number(now) > number(before)
}

/// Whether somebody asked for a look that was not answered yet.
fn asked(manifest: &HostProvider, status: Option<&HostProviderStatus>) -> bool {
    let asked = manifest.annotations().get(REQUESTED_AT);
    asked.is_some() && asked != status.and_then(|status| status.last_handled_reconcile_at.as_ref())
}

fn complain(kind: &str, name: &str, result: Result<(), WriteError>) {
    match result {
        // The watch brings what came instead, and with it the next pass.
        Ok(()) | Err(WriteError::Gone) => {}
        Err(error) => tracing::warn!(kind, name, error = with_causes(&error), "could not be written"),
    }
}

/// What is known of an endpoint.
enum State<'a> {
    Wrong(&'a [Violation]),
    Known(&'a EndpointHealth),
    Unknown,
}

/// The status of an endpoint. Only a change of state makes another one: neither a look that saw the same nor another
/// wording of the same error, so that a quiet hour makes no write. `lastObserved` is therefore as old as the last
/// change of state while all is well, and tells the last sight when it was lost.
fn status(
    manifest: &HostProvider,
    previous: Option<&HostProviderStatus>,
    state: &State<'_>,
    now: Timestamp,
) -> HostProviderStatus {
    let before = previous.cloned().unwrap_or_default();
    let generation = manifest.metadata.generation;
    let not_looked =
        matches!(state, State::Known(health) if health.health == Health::Blind(Blindness::NotYetObserved));
    if not_looked && before.observed_generation == generation && !before.conditions.is_empty() {
        // After a start; what was reported before still stands.
        return before;
    }
    let mut conditions = Conditions::new(&before.conditions, generation, now);
    let mut next = HostProviderStatus {
        observed_generation: generation,
        last_handled_reconcile_at: manifest.annotations().get(REQUESTED_AT).cloned(),
        ..before.clone()
    };
    match state {
        State::Wrong(violations) => {
            let text: Vec<String> = violations.iter().map(ToString::to_string).collect();
            conditions.set(READY, false, Reason::InvalidSettings.word(), &text.join("; "));
            conditions.stalled(Reason::InvalidSettings.word(), &text.join("; "));
            next.reachable = Some("Unknown".to_owned());
        }
        State::Unknown => {
            conditions.set(
                READY,
                Truth::Unknown,
                Reason::NotYetObserved.word(),
                "It has not been looked at yet",
            );
            next.reachable = Some("Unknown".to_owned());
        }
        State::Known(known) => say_known(&mut conditions, &mut next, known, manifest),
    }
    next.conditions = conditions.finish();
    if is_same(&before, &next) { before } else { next }
}

fn say_known(
    conditions: &mut Conditions<'_>,
    next: &mut HostProviderStatus,
    known: &EndpointHealth,
    manifest: &HostProvider,
) {
    if let Some(at) = known.observed_at {
        next.last_observed = Some(Time(Timestamp::from_second(at.as_second()).unwrap_or(at)));
    }
    if !known.version.is_empty() {
        next.version = Some(known.version.clone());
    }
    let reachable = match &known.health {
        Health::Seen => {
            next.identity = Some(manifest.spec.identity.clone());
            conditions.set(READY, true, Reason::Seen.word(), "It answers as the one that is pinned");
            "True"
        }
        Health::Blind(why) => {
            let text = why.to_string();
            if let Blindness::Misidentified { found, .. } = why {
                next.identity = Some(found.clone());
            }
            match why {
                Blindness::NotYetObserved => {
                    conditions.set(READY, Truth::Unknown, why.word(), &text);
                    conditions.reconciling(why.word(), &text);
                    "Unknown"
                }
                Blindness::Misidentified { .. } => {
                    conditions.set(READY, false, why.word(), &text);
                    conditions.stalled(why.word(), &text);
                    "False"
                }
                Blindness::CredentialsRefused => {
                    conditions.set(READY, false, why.word(), &text);
                    conditions.stalled(why.word(), &text);
                    "Unknown"
                }
                Blindness::NoSight(_) | Blindness::Refuses { .. } => {
                    conditions.set(READY, false, why.word(), &text);
                    conditions.stalled(why.word(), &text);
                    "True"
                }
                _ => {
                    conditions.set(READY, false, why.word(), &text);
                    conditions.reconciling(why.word(), &text);
                    "False"
                }
            }
        }
    };
    next.reachable = Some(reachable.to_owned());
}

/// Whether two statuses differ in nothing but wording and times.
fn is_same(before: &HostProviderStatus, next: &HostProviderStatus) -> bool {
    let heads = |status: &HostProviderStatus| -> Vec<(String, String, String)> {
        let conditions = status.conditions.iter();
        conditions.map(|it| (it.type_.clone(), it.status.clone(), it.reason.clone())).collect()
    };
    heads(before) == heads(next)
        && HostProviderStatus { conditions: Vec::new(), last_observed: None, ..before.clone() }
            == HostProviderStatus { conditions: Vec::new(), last_observed: None, ..next.clone() }
}

#[cfg(test)]
mod tests;
