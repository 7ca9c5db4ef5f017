//! What the one that leads does: watch, look, reconcile, and end in good order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::{UnboundedReceiver, unbounded};
use futures::future::select_all;
use futures::{FutureExt as _, Stream, StreamExt as _};
use jiff::Timestamp;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::controller::{self, Action, ReconcileRequest, applier};
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource};
use tokio::sync::Notify;
use tokio::time::{Instant, interval_at, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;
use vertskommune_api::{HostProvider, RuleSet, Tenant};
use vertskommune_core::error::with_causes;
use vertskommune_core::names::TenantName;
use vertskommune_engine::{Engine, Settings};
use vertskommune_provider::Plugins;
use vertskommune_provider::secrets::{FolderSecrets, SecretStore};

use crate::announce::Announcer;
use crate::catalogue::{self, SharedCatalogue};
use crate::endpoints::Triggers;
use crate::hosts::{Hosts, SecretMeta};
use crate::lease::LeasePermit;
use crate::measured::Measured;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::moving;
use crate::objects::Objects;
use crate::reconcile::{self, Context};
use crate::secrets::{KubernetesSecrets, MountedSecrets};
use crate::tenants::{self, Intake, slim};
use crate::watches::watch;
use crate::{Config, Error, at_most};

/// For how long the first look of a silent endpoint holds up the others. Its tenants are unknown after that.
const FIRST_LOOK: Duration = Duration::from_secs(30);
/// How often claims are looked after.
const CLAIMS: Duration = Duration::from_secs(15);

/// What leads.
pub(crate) struct Leader {
    pub(crate) client: Client,
    pub(crate) config: Config,
    pub(crate) plugins: Plugins,
    pub(crate) permit: Arc<LeasePermit>,
    pub(crate) metrics: Metrics,
    pub(crate) holder: String,
}

/// The watches' halves that are read.
struct Stores {
    tenants: Store<Tenant>,
    rule_sets: Store<RuleSet>,
    hosts: Store<HostProvider>,
    secrets: Store<SecretMeta>,
}

/// Tasks that end with the leader.
type Tasks = Vec<AbortOnDropHandle<()>>;

impl Leader {
    /// Leads until `stop`. `ended` is cancelled when the lease is lost; nothing is sent after that.
    ///
    /// # Errors
    /// A part of it broke off, which is a fault in the program.
    pub(crate) async fn run(
        mut self,
        stop: CancellationToken,
        ended: CancellationToken,
    ) -> Result<(), Error> {
        let over = CancellationToken::new();
        let (ctx, announcing) = self.context(over.clone());
        let announcing = tokio::spawn(announcing);
        let _engine = Stopped(ctx.clone());
        let (sender, queue) = unbounded();
        let triggers = Triggers { queue: sender, metrics: self.metrics.clone() };
        let news = Arc::new(Notify::new());

        // What stands in the cluster comes first, all of it.
        let (stores, mut tasks) = self.watch(&ctx, &triggers, &news);
        let looked = self.first_look(&ctx, &stores, &triggers, &news, &mut tasks);
        if stop.run_until_cancelled(looked).await.is_none() {
            return Ok(());
        }

        // Then one pass after the other, and beside them what moves bytes, until we are told to stop.
        let moves = moving::run(&ctx, stores.tenants.clone(), triggers, stop.clone());
        let passes = reconcile_all(&ctx, stores.tenants, queue, self.config.concurrency, stop.clone());
        let done = futures::future::join(passes, moves);
        let draining = async {
            stop.cancelled().await;
            tokio::time::sleep(self.config.grace).await;
        };
        tokio::select! {
            ((), ()) = done => {}
            () = draining => tracing::warn!("what was under way did not end in time"),
            () = ended.cancelled() => return Ok(()),
            // A watch that is no more would leave us deaf.
            _ = select_all(tasks.iter_mut()) => return Err(Error::Broken),
        }

        // Nothing of ours stays behind but what the manifests say.
        drop(tasks);
        at_most(Duration::from_secs(5), "giving back the claims", ctx.engine.release_claims()).await;
        over.cancel();
        at_most(Duration::from_secs(3), "the last events", announcing.map(drop)).await;
        Ok(())
    }

    fn context(&mut self, stop: CancellationToken) -> (Arc<Context>, impl Future<Output = ()> + use<>) {
        let objects = Objects::new(self.client.clone(), self.permit.clone());
        let (announcer, announcing) = Announcer::new(objects.clone(), &self.config.identity, stop);
        let metrics = self.metrics.clone();
        let engine = Engine::new(Settings {
            installation: self.config.installation.clone(),
            holder: self.holder.clone(),
            plugins: std::mem::take(&mut self.plugins)
                .around(move |provider| Measured::around(provider, metrics.clone())),
            secrets: self.secrets(),
            permit: self.permit.clone(),
            now: Timestamp::now,
        });
        let context = Context {
            engine,
            world: Arc::default(),
            catalogue: SharedCatalogue::default(),
            objects,
            metrics: self.metrics.clone(),
            announcer,
            memory: Memory::default(),
            moves: Notify::new(),
            pace: self.config.progress,
        };
        (Arc::new(context), announcing)
    }

    fn secrets(&self) -> Arc<dyn SecretStore> {
        let cluster = KubernetesSecrets::new(self.client.clone(), &self.config.namespace);
        match self.mounted() {
            Some(mounted) => Arc::new(MountedSecrets { mounted, cluster }),
            None => Arc::new(cluster),
        }
    }

    fn mounted(&self) -> Option<FolderSecrets> {
        self.config.secrets.as_ref().map(FolderSecrets::new)
    }

    fn watch(&self, ctx: &Arc<Context>, triggers: &Triggers, news: &Arc<Notify>) -> (Stores, Tasks) {
        let (tenants, writer) = store();
        let events = watch(Api::<Tenant>::all(self.client.clone())).modify(slim).reflect(writer);
        let follow_tenants = follow_tenants(events, ctx.clone(), triggers.clone(), news.clone());

        let (rule_sets, writer) = store();
        let events = watch(Api::<RuleSet>::all(self.client.clone())).modify(slim).reflect(writer);
        let follow_rule_sets =
            follow_rule_sets(events, ctx.clone(), tenants.clone(), triggers.clone(), news.clone());

        let (hosts, writer) = store();
        let events = watch(Api::<HostProvider>::all(self.client.clone())).modify(slim).reflect(writer);
        let follow_hosts = follow(events, news.clone());

        let (secrets, writer) = store();
        let api = Api::<SecretMeta>::namespaced(self.client.clone(), &self.config.namespace);
        let events = watch(api).modify(slim).reflect(writer);
        let follow_secrets = follow(events, news.clone());

        let claims = ctx.clone();
        let renew_claims = async move {
            let mut tick = interval_at(Instant::now() + CLAIMS, CLAIMS);
            loop {
                tick.tick().await;
                claims.engine.renew_claims().await;
            }
        };
        let tasks = vec![
            AbortOnDropHandle::new(tokio::spawn(follow_tenants)),
            AbortOnDropHandle::new(tokio::spawn(follow_rule_sets)),
            AbortOnDropHandle::new(tokio::spawn(follow_hosts)),
            AbortOnDropHandle::new(tokio::spawn(follow_secrets)),
            AbortOnDropHandle::new(tokio::spawn(renew_claims)),
        ];
        (Stores { tenants, rule_sets, hosts, secrets }, tasks)
    }

    /// Waits for all lists, and then for a look at every endpoint: no plan is made before.
    async fn first_look(
        &self,
        ctx: &Arc<Context>,
        stores: &Stores,
        triggers: &Triggers,
        news: &Arc<Notify>,
        tasks: &mut Tasks,
    ) {
        // They only fail when the watch's task is gone, and it ends with us.
        let _ = futures::join!(
            stores.tenants.wait_until_ready(),
            stores.rule_sets.wait_until_ready(),
            stores.hosts.wait_until_ready(),
            stores.secrets.wait_until_ready()
        );
        tracing::info!(
            tenants = stores.tenants.len(),
            endpoints = stores.hosts.len(),
            "all manifests are read"
        );
        let sweep = Arc::new(Notify::new());
        let mut hosts = Hosts {
            ctx: ctx.clone(),
            manifests: stores.hosts.clone(),
            rule_sets: stores.rule_sets.clone(),
            secrets: stores.secrets.clone(),
            secrets_api: Api::namespaced(self.client.clone(), &self.config.namespace),
            mounted: self.mounted(),
            tenants: stores.tenants.clone(),
            triggers: triggers.clone(),
            news: news.clone(),
            sweep: sweep.clone(),
            followed: BTreeMap::new(),
            versions: BTreeMap::new(),
            written: BTreeMap::new(),
        };
        hosts.pass().await;
        let deadline = Instant::now() + FIRST_LOOK;
        while !ctx.engine.has_looked() {
            if timeout_at(deadline, news.notified()).await.is_err() {
                tracing::warn!("an endpoint has not answered yet: its tenants are unknown, the others go on");
                break;
            }
        }
        // Its own first pass reports what the look has found.
        news.notify_one();
        let every = self.config.sweep;
        tasks.push(AbortOnDropHandle::new(tokio::spawn(hosts.run())));
        tasks.push(AbortOnDropHandle::new(tokio::spawn(async move {
            let mut tick = interval_at(Instant::now() + every, every);
            loop {
                tick.tick().await;
                sweep.notify_one();
            }
        })));
    }
}

/// Stops the engine when the leader ends, however it ends.
struct Stopped(Arc<Context>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.engine.stop();
    }
}

async fn follow_tenants(
    events: impl Stream<Item = watcher::Result<Event<Tenant>>>,
    ctx: Arc<Context>,
    triggers: Triggers,
    news: Arc<Notify>,
) {
    let mut events = std::pin::pin!(events);
    let mut intake = Intake::default();
    while let Some(event) = events.next().await {
        let taken = match event {
            Ok(event) => {
                match &event {
                    Event::Apply(tenant) => {
                        ctx.memory.brought(&tenants::name(tenant), tenants::version(tenant));
                    }
                    // What a list names is not to be had before the list is complete.
                    Event::InitApply(tenant) => ctx.memory.brought(&tenants::name(tenant), None),
                    Event::Init | Event::InitDone | Event::Delete(_) => {}
                }
                intake.take(&event, &ctx.world, &ctx.catalogue)
            }
            Err(error) => {
                tracing::warn!(
                    kind = "Tenant",
                    error = with_causes(&error),
                    "the watch broke and is begun anew"
                );
                continue;
            }
        };
        for tenant in &taken.gone {
            ctx.memory.forget(tenant);
            ctx.moves.notify_one();
            ctx.metrics.planned(tenant, None);
            ctx.metrics.reported(tenant, None);
        }
        if !taken.changed.is_empty() || !taken.gone.is_empty() {
            // Which endpoints are in use may have changed.
            news.notify_one();
        }
        for tenant in taken.changed {
            triggers.ask(tenant);
        }
    }
}

/// What a rule set gives is a part of each tenant that pins it.
async fn follow_rule_sets(
    events: impl Stream<Item = watcher::Result<Event<RuleSet>>>,
    ctx: Arc<Context>,
    tenants: Store<Tenant>,
    triggers: Triggers,
    news: Arc<Notify>,
) {
    let mut events = std::pin::pin!(events);
    let mut intake = catalogue::Intake::default();
    while let Some(event) = events.next().await {
        let changed = match event {
            Ok(event) => {
                if !matches!(event, Event::Init | Event::InitApply(_)) {
                    // One that came, or lost our finalizer, may be in use.
                    news.notify_one();
                }
                intake.take(event, &ctx.catalogue)
            }
            Err(error) => {
                tracing::warn!(
                    kind = "RuleSet",
                    error = with_causes(&error),
                    "the watch broke and is begun anew"
                );
                continue;
            }
        };
        let pins = |tenant: &Tenant| tenant.spec.rule_sets().any(|pin| changed.contains(pin));
        for tenant in tenants.state().iter().filter(|tenant| pins(tenant)) {
            tenants::enter(tenant, &ctx.world, &ctx.catalogue);
            triggers.ask(tenants::name(tenant));
        }
    }
}

async fn follow<K: Resource>(events: impl Stream<Item = watcher::Result<Event<K>>>, news: Arc<Notify>)
where
    K::DynamicType: Default,
{
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        match event {
            // A list is news when it is complete.
            Ok(Event::Init | Event::InitApply(_)) => {}
            Ok(_) => news.notify_one(),
            Err(error) => {
                let kind = K::kind(&K::DynamicType::default()).into_owned();
                tracing::warn!(kind, error = with_causes(&error), "the watch broke and is begun anew");
            }
        }
    }
}

/// Reconciles the tenants that are named, each one pass at a time and many tenants at once, until `stop`; then it waits
/// for those that are under way.
async fn reconcile_all(
    ctx: &Arc<Context>,
    tenants: Store<Tenant>,
    queue: UnboundedReceiver<TenantName>,
    concurrency: u16,
    stop: CancellationToken,
) {
    let requests = queue
        .map(|tenant| {
            Ok::<_, std::convert::Infallible>(ReconcileRequest::from(ObjectRef::<Tenant>::new(
                tenant.as_str(),
            )))
        })
        .take_until(stop.cancelled_owned());
    let config = controller::Config::default().concurrency(concurrency);
    applier(
        pass,
        |tenant, error, ctx| reconcile::on_error(&tenant, error, &ctx),
        ctx.clone(),
        tenants,
        requests,
        config,
    )
    .for_each(async |result| match result {
        Ok(_) => {}
        // It was deleted while it stood in the queue.
        Err(controller::Error::ObjectNotFound(gone)) => ctx.metrics.not_there(&TenantName::new(gone.name)),
        Err(controller::Error::ReconcilerFailed(error, tenant)) if error.is_gone() => {
            tracing::debug!(tenant = %tenant.name, error = with_causes(&error), "the object has changed meanwhile");
        }
        Err(controller::Error::ReconcilerFailed(error, tenant)) => {
            tracing::warn!(tenant = %tenant.name, error = with_causes(&error), "a pass failed and is tried again");
        }
        Err(error) => tracing::error!(error = with_causes(&error), "the queue of tenants broke"),
    })
    .await;
}

/// One pass in a task of its own, so that one that panics or computes for long stops only itself.
fn pass(
    tenant: Arc<Tenant>,
    ctx: Arc<Context>,
) -> impl Future<Output = Result<Action, reconcile::Error>> + Send + Unpin {
    let metrics = ctx.metrics.clone();
    let underway = metrics.reconciling(&tenants::name(&tenant));
    let begun = Instant::now();
    let task = tokio::spawn(reconcile::reconcile(tenant, ctx).in_current_span());
    AbortOnDropHandle::new(task).map(move |joined| {
        let result = joined.unwrap_or_else(|broken| Err(reconcile::Error::Broken(broken)));
        drop(underway);
        metrics.reconciled(if result.is_ok() { "ok" } else { "error" }, begun.elapsed());
        result
    })
}
