//! Looking: what stands is asked of the agents in every sweep; whether it works takes seconds for each trust, and is tried now and
//! then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use tokio::time::{Instant, timeout};
use vertskommune_core::directory::health::{self, Refused, Which};
use vertskommune_core::directory::{Directory, Partner, Signals};
use vertskommune_core::names::{ResourceKey, TenantName};
use vertskommune_core::observation::{Blindness, Observation, Present, Scope, Seen};
use vertskommune_provider::{Changes, Ctx, ProviderError};

use crate::HostDirectory;
use crate::agent::Agent;
use crate::failure::of_refusal;
use crate::ldap;
use crate::observe::{self, Health, Known, Told, Working};
use crate::protocol::{Ask, Done, Refusal, Trust};
use crate::schema::{TRUST, field, stand};

/// What a tenant's agent tells, or why it is not seen.
type Looked = Result<Told, Blindness>;

/// How long one tenant's agent may take to tell what stands.
const TENANT: Duration = Duration::from_secs(45);

/// How long trying a trust may take: its agent gives up each of three questions after 25 seconds.
const TRYING: Duration = Duration::from_secs(80);

/// How often is looked whether anything changed.
const POLL: Duration = Duration::from_secs(30);

/// How long it counts that a trust works.
const WELL: Duration = Duration::from_mins(10);

/// How long it counts that one does not.
const TROUBLED: Duration = Duration::from_secs(45);

/// What was last seen. All of it may be lost.
#[derive(Default)]
pub(crate) struct State {
    /// The trusts that manifests ask for.
    pub(crate) wanted: BTreeMap<TenantName, Directory>,
    /// Whether they work, and when that was tried.
    pub(crate) health: BTreeMap<TenantName, (Instant, Health)>,
    /// What was refused the last time that it was asked for.
    pub(crate) refused: BTreeMap<TenantName, Refused>,
    /// When channels were last healed.
    pub(crate) healed: BTreeMap<(TenantName, Which), Timestamp>,
    /// What was last told of each.
    told: BTreeMap<TenantName, Arc<Signals>>,
    /// What the host's agent last listed; nothing where sight was lost since.
    listed: Option<Vec<Trust>>,
}

impl HostDirectory {
    pub(crate) async fn look(&self, scope: &Scope, ctx: &Ctx) -> Result<Observation, ProviderError> {
        self.remember(scope);
        let budget = usize::try_from(self.host.budget.concurrency).unwrap_or(1).max(1);
        let wanted: Vec<_> = scope.trusts.iter().filter(|(tenant, _)| scope.includes(tenant)).collect();
        let mut looks = Vec::new();
        for (tenant, wanted) in &wanted {
            looks.push(self.theirs(tenant, wanted, ctx).boxed());
        }
        let looks = futures::stream::iter(looks).buffered(budget).collect::<Vec<_>>();
        let (host, looks) = futures::join!(self.host_told(ctx), looks);
        let host = match host {
            Ok(host) => host,
            Err(error) => return self.look_without_agent(error, scope, ctx).await,
        };
        let mut seen = Observation::empty(&self.host.name);
        seen.version = observe::version(&host);
        for ((tenant, wanted), theirs) in wanted.into_iter().zip(looks) {
            // One after the other: the host's agent tries them, and does one thing at a time. Who is left for want of time is tried
            // by the next poll.
            let left = ctx.deadline.saturating_duration_since(Instant::now());
            if left > TRYING / 2 && self.is_due(tenant) {
                self.try_now(tenant, wanted, &host, theirs.as_ref(), ctx).await;
            }
            self.add(tenant, wanted, &host, theirs.as_ref(), &mut seen);
        }
        Self::add_unnamed(scope, &host, &mut seen);
        let mut state = self.state();
        state.told.extend(seen.trusts.iter().map(|(tenant, signals)| (tenant.clone(), signals.clone())));
        if scope.tenants.is_none() {
            state.listed = Some(host.trusts.trusts);
        }
        Ok(seen)
    }

    fn remember(&self, scope: &Scope) {
        let mut state = self.state();
        match &scope.tenants {
            None => state.wanted.clone_from(&scope.trusts),
            Some(tenants) => {
                state.wanted.retain(|tenant, _| !tenants.contains(tenant));
                state
                    .wanted
                    .extend(scope.trusts.iter().map(|(tenant, wanted)| (tenant.clone(), wanted.clone())));
            }
        }
    }

    fn add(
        &self,
        tenant: &TenantName,
        wanted: &Directory,
        host: &Told,
        theirs: Option<&Looked>,
        seen: &mut Observation,
    ) {
        let state = self.state();
        let known = Known {
            tenant,
            wanted,
            host,
            theirs,
            health: state.health.get(tenant).map(|(_, health)| health),
            refused: state.refused.get(tenant),
        };
        known.add(&self.settings, seen);
    }

    /// Trusts of ours that no manifest names any more: they stay, and are seen.
    fn add_unnamed(scope: &Scope, host: &Told, seen: &mut Observation) {
        for trust in &host.trusts.trusts {
            let Some(mark) = &trust.mark else { continue };
            let tenant = TenantName::from(mark.tenant.as_str());
            let named = scope.trusts.get(&tenant).is_some_and(|wanted| wanted.domain == trust.domain);
            if named || !scope.includes(&tenant) {
                continue;
            }
            let mut present = Present { identity: trust.domain.clone(), ..Present::default() };
            present.fields.insert(field::HOST, if mark.whole { stand::WHOLE } else { stand::HALF });
            present.fields.insert(field::DOMAIN, trust.domain.as_str());
            present.notices.push(format!(
                "the trust with {} stays as it stands: no manifest names it any more, and nobody looks after it",
                trust.domain
            ));
            let key = ResourceKey::new(TRUST, trust.domain.as_str());
            seen.seen.entry(tenant).or_default().insert(key, Seen::Present(Arc::new(present)));
        }
    }

    /// What stands on the host's side, where its agent does not tell it: nothing is done by that, and people see that it is there.
    async fn look_without_agent(
        &self,
        error: ProviderError,
        scope: &Scope,
        ctx: &Ctx,
    ) -> Result<Observation, ProviderError> {
        self.state().listed = None;
        let Some(reader) = &self.settings.reader else { return Err(error) };
        let Ok(read) = ldap::trusts(reader, ctx).await else { return Err(error) };
        if read.sid != self.settings.sid {
            return Err(ProviderError::Misidentified {
                expected: self.settings.sid.clone(),
                found: read.sid,
            });
        }
        let mut seen = Observation::empty(&self.host.name);
        "seen over LDAPS, without its agent".clone_into(&mut seen.version);
        seen.coverage.kinds.insert(TRUST.into(), error.blindness());
        for (tenant, wanted) in &scope.trusts {
            let object = read.trusts.iter().find(|trust| trust.domain == wanted.domain);
            let object = object.map_or(health::Looked::Absent, |trust| {
                health::Looked::Present(observe::object_over_ldap(trust))
            });
            let host = health::End { object, ..health::End::default() };
            let tenant_side = health::End {
                object: health::Looked::Blind(Blindness::Incomplete(
                    "nothing is asked without the host's agent".to_owned(),
                )),
                ..health::End::default()
            };
            let signals = Signals { host, tenant: tenant_side, ..Signals::default() };
            seen.trusts.insert(tenant.clone(), Arc::new(signals));
        }
        Ok(seen)
    }

    /// What the host's agent tells. Its domain must be the one that is pinned.
    pub(crate) async fn host_told(&self, ctx: &Ctx) -> Result<Told, ProviderError> {
        let told = self.told(&self.agent, ctx).await?;
        let (expected, found) = (&self.settings.sid, &told.description.sid);
        if expected != found {
            return Err(ProviderError::Misidentified { expected: expected.clone(), found: found.clone() });
        }
        Ok(told)
    }

    /// What an agent tells of its side.
    pub(crate) async fn told(&self, agent: &Agent, ctx: &Ctx) -> Result<Told, ProviderError> {
        let mut answers = agent.ask_all(vec![Ask::Describe {}, Ask::List {}], ctx).await?.into_iter();
        match (self.done(answers.next())?, self.done(answers.next())) {
            (Done::Description(description), Ok(Done::Trusts(trusts))) => Ok(Told { description, trusts }),
            (Done::Description(_), Err(error)) => Err(error),
            _ => Err(unexpected()),
        }
    }

    fn done(&self, answer: Option<Result<Done, Refusal>>) -> Result<Done, ProviderError> {
        answer.ok_or_else(unexpected)?.map_err(|refusal| of_refusal(&self.installation, refusal))
    }

    /// What stands on the tenant's side; nothing where people make it.
    async fn theirs(&self, tenant: &TenantName, wanted: &Directory, ctx: &Ctx) -> Option<Looked> {
        let Partner::Agent { endpoint, identity, secret } = &wanted.partner else { return None };
        let look = async {
            let agent = self.partner(tenant, endpoint, identity, secret)?;
            let told = self.told(&agent, ctx).await?;
            for (expected, found) in [
                (Some(&wanted.domain), &told.description.domain),
                (wanted.sid.as_ref(), &told.description.sid),
            ] {
                if let Some(expected) = expected.filter(|expected| *expected != found) {
                    let (expected, found) = (expected.clone(), found.clone());
                    return Err(ProviderError::Misidentified { expected, found });
                }
            }
            Ok(told)
        };
        let late = || Err(ProviderError::Timeout("the tenant's agent did not answer in time".to_owned()));
        let looked = timeout(TENANT, look).await.unwrap_or_else(|_| late());
        Some(looked.map_err(|error| {
            tracing::warn!(%tenant, %error, "the tenant's directory is not seen");
            error.blindness()
        }))
    }

    /// Tries whether a trust works.
    async fn try_now(
        &self,
        tenant: &TenantName,
        wanted: &Directory,
        host: &Told,
        theirs: Option<&Looked>,
        ctx: &Ctx,
    ) {
        let trying = self.try_out(tenant, wanted, host, theirs, ctx);
        match timeout(TRYING, trying).await {
            Ok(Ok(health)) => drop(self.state().health.insert(tenant.clone(), (Instant::now(), health))),
            Ok(Err(error)) => tracing::warn!(%tenant, %error, "the trust could not be tried"),
            Err(_) => tracing::warn!(%tenant, "trying the trust did not end in time"),
        }
    }

    fn is_due(&self, tenant: &TenantName) -> bool {
        let state = self.state();
        let Some((at, _)) = state.health.get(tenant) else { return true };
        let is_well = state
            .wanted
            .get(tenant)
            .zip(state.told.get(tenant))
            .is_some_and(|(wanted, signals)| health::judge(wanted, signals) == health::Verdict::Valid);
        at.elapsed() >= if is_well { WELL } else { TROUBLED }
    }

    async fn try_out(
        &self,
        tenant: &TenantName,
        wanted: &Directory,
        host: &Told,
        theirs: Option<&Looked>,
        ctx: &Ctx,
    ) -> Result<Health, ProviderError> {
        let mut asks = vec![Ask::Preflight {
            domain: wanted.domain.clone(),
            dns_servers: wanted.dns.clone(),
            controllers: wanted.controllers.clone(),
        }];
        let stands = |told: &Told, domain: &str| told.trusts.trusts.iter().any(|it| it.domain == domain);
        let domain = &wanted.domain;
        if stands(host, domain) {
            asks.extend(trying(domain, wanted.controllers.first()));
        }
        let ours = self.agent.ask_all(asks, ctx);
        let other = async {
            let (Partner::Agent { endpoint, identity, secret }, Some(Ok(told))) = (&wanted.partner, theirs)
            else {
                return Ok(Working::default());
            };
            let host = &self.settings.domain;
            if !stands(told, host) {
                return Ok(Working::default());
            }
            let agent = self.partner(tenant, endpoint, identity, secret)?;
            let asks = trying(host, self.settings.controllers.first());
            Ok::<_, ProviderError>(working(agent.ask_all(asks.collect(), ctx).await?))
        };
        // A side that does not answer hides nothing of the other.
        let (ours, other) = futures::join!(ours, other);
        let mut answers = ours?.into_iter();
        let way = match self.done(answers.next())? {
            Done::Preflight(preflight) => Some(observe::way(&preflight)),
            _ => return Err(unexpected()),
        };
        Ok(Health { way, host: working(answers.collect()), tenant: other.unwrap_or_default() })
    }

    pub(crate) async fn wait_for_changes(&self, ctx: &Ctx) -> Result<Changes, ProviderError> {
        loop {
            let first = self.state().listed.is_none();
            if !first {
                tokio::select! {
                    () = tokio::time::sleep(POLL) => {}
                    () = ctx.cancel.cancelled() => {
                        return Err(ProviderError::NotPermitted("the process is stopping".to_owned()));
                    }
                }
            }
            let asked = Ctx { deadline: Instant::now() + POLL * 4, ..ctx.clone() };
            let host = match self.host_told(&asked).await {
                Ok(host) => host,
                Err(error) => {
                    self.state().listed = None;
                    return Err(error);
                }
            };
            let before = self.state().listed.replace(host.trusts.trusts.clone());
            let Some(before) = before else { return Ok(Changes::Anything) };
            if before != host.trusts.trusts {
                return Ok(Changes::Anything);
            }
            let changed = self.try_all_due(&host, ctx).await;
            if !changed.is_empty() {
                return Ok(Changes::Tenants(changed));
            }
        }
    }

    /// Tries all that were not tried for a while. Gives those that show something else than before.
    async fn try_all_due(&self, host: &Told, ctx: &Ctx) -> BTreeSet<TenantName> {
        let wanted = self.state().wanted.clone();
        let mut changed = BTreeSet::new();
        for (tenant, wanted) in wanted.iter().filter(|(tenant, _)| self.is_due(tenant)) {
            let asked = Ctx { deadline: Instant::now() + TENANT + TRYING, ..ctx.clone() };
            let theirs = self.theirs(tenant, wanted, &asked).await;
            self.try_now(tenant, wanted, host, theirs.as_ref(), &asked).await;
            let mut seen = Observation::empty(&self.host.name);
            self.add(tenant, wanted, host, theirs.as_ref(), &mut seen);
            let now = seen.trusts.remove(tenant);
            let before = self.state().told.get(tenant).cloned();
            if now != before {
                changed.insert(tenant.clone());
            }
            if let Some(now) = now {
                self.state().told.insert(tenant.clone(), now);
            }
        }
        changed
    }
}

/// What tells whether a trust works, asked of one side: its channel, and a ticket for the other's controller.
fn trying(domain: &str, controller: Option<&String>) -> impl Iterator<Item = Ask> {
    let probe =
        controller.map(|controller| Ask::Probe { domain: domain.to_owned(), controller: controller.clone() });
    [Ask::Verify { domain: domain.to_owned() }].into_iter().chain(probe)
}

fn working(answers: Vec<Result<Done, Refusal>>) -> Working {
    let mut working = Working::default();
    for answer in answers {
        match answer {
            Ok(Done::Verified(verified)) => working.channel = observe::channel(&verified),
            Ok(Done::Probed(probed)) => working.ticket = observe::ticket(&probed),
            Ok(_) => {}
            Err(refusal) => tracing::debug!(%refusal, "it could not be tried"),
        }
    }
    working
}

fn unexpected() -> ProviderError {
    ProviderError::Protocol("the agent answers something that was not asked".to_owned())
}
