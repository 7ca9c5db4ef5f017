//! The leader lease, and the permit that it gives: of all replicas in a cluster one writes.
//!
//! The permit ends earlier than the lease, by a clock that runs on while the process is stopped, counted from before
//! the request that renewed it. Whoever is paused and wakes up again finds it ended before it could have been taken by
//! another: <https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html>.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, ResourceExt as _};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use vertskommune_provider::{Fenced, Permit};

use crate::health::Health;

/// How long the lease lives, and how often it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long another waits after the last renewal that it saw.
    pub duration: Duration,
    /// How long after a renewal was begun we may still write. Less than `duration`, by the time that a write may take.
    pub permit: Duration,
    /// How often it is renewed.
    pub renew: Duration,
    /// How often a follower looks at it.
    pub poll: Duration,
}

/// Of a leader that is killed the next is known within 15 s: the life of the lease, and a poll at each end of it.
impl Default for Timing {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(14),
            permit: Duration::from_secs(9),
            renew: Duration::from_secs(4),
            poll: Duration::from_millis(400),
        }
    }
}

/// The permit of the one who holds the lease.
#[derive(Debug, Default)]
pub(crate) struct LeasePermit {
    until: Mutex<Option<Instant>>,
}

impl LeasePermit {
    fn set(&self, until: Option<Instant>) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    fn until(&self) -> Option<Instant> {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit for LeasePermit {
    fn check(&self) -> Result<(), Fenced> {
        match self.until() {
            Some(until) if Instant::now() < until => Ok(()),
            Some(_) => Err(Fenced("the leader lease was not renewed in time".to_owned())),
            None => Err(Fenced("this process does not hold the leader lease".to_owned())),
        }
    }
}

/// Where the lease lies.
pub(crate) trait Leases: Send + Sync {
    /// The lease as it is now.
    fn read(&self) -> BoxFuture<'_, Result<Option<Lease>, kube::Error>>;
    /// Writes it, if it is still the one that was read.
    fn write(&self, lease: Lease) -> BoxFuture<'_, Result<Lease, kube::Error>>;
}

/// A lease in a cluster.
pub(crate) struct InCluster {
    pub(crate) api: Api<Lease>,
    pub(crate) name: &'static str,
}

impl Leases for InCluster {
    fn read(&self) -> BoxFuture<'_, Result<Option<Lease>, kube::Error>> {
        Box::pin(self.api.get_opt(self.name))
    }

    fn write(&self, lease: Lease) -> BoxFuture<'_, Result<Lease, kube::Error>> {
        Box::pin(async move {
            let params =
                PostParams { field_manager: Some(crate::MANAGER.to_owned()), ..PostParams::default() };
            match lease.metadata.resource_version {
                Some(_) => self.api.replace(self.name, &params, &lease).await,
                None => self.api.create(&params, &lease).await,
            }
        })
    }
}

/// Takes the lease, keeps it, and gives it back.
pub(crate) struct Keeper<L> {
    leases: L,
    name: &'static str,
    identity: String,
    timing: Timing,
    permit: Arc<LeasePermit>,
    health: Arc<Health>,
    /// The lease as we last wrote it.
    held: Option<Lease>,
    /// When we took it: another process of our name would take it anew.
    since: Option<MicroTime>,
    /// The version that another wrote last, and when we first saw it.
    other: Option<(Option<String>, Instant)>,
}

/// What came of asking for the lease once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Held,
    /// Somebody wrote it between our read and our write.
    Raced,
    /// It is another's.
    Taken,
}

impl<L: Leases> Keeper<L> {
    pub(crate) fn new(
        leases: L,
        name: &'static str,
        identity: &str,
        timing: Timing,
        permit: Arc<LeasePermit>,
        health: Arc<Health>,
    ) -> Self {
        let identity = identity.to_owned();
        Self { leases, name, identity, timing, permit, health, held: None, since: None, other: None }
    }

    /// Waits until the lease is ours.
    pub(crate) async fn acquire(&mut self) {
        loop {
            match timeout(self.timing.renew, self.ask()).await {
                Ok(Ok(Asked::Held)) => return,
                Ok(Ok(Asked::Raced | Asked::Taken)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the leader lease cannot be read or written"),
                Err(_) => tracing::warn!("no answer about the leader lease"),
            }
            sleep(self.timing.poll).await;
        }
    }

    /// Renews the lease for as long as that succeeds. Says why it did not.
    pub(crate) async fn keep(&mut self) -> Fenced {
        let mut next = Instant::now() + self.timing.renew;
        loop {
            let end = self.permit.until().unwrap_or_else(Instant::now);
            sleep_until(next.min(end)).await;
            if let Err(fenced) = self.permit.check() {
                return self.lose(fenced);
            }
            let begun = Instant::now();
            // Short enough for another try over another connection, should this one have died.
            match timeout(self.timing.renew / 2, self.ask()).await {
                Ok(Ok(Asked::Held)) => next = begun + self.timing.renew,
                Ok(Ok(Asked::Taken)) => {
                    return self.lose(Fenced("another process has taken the leader lease".to_owned()));
                }
                Ok(Ok(Asked::Raced)) => next = begun,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the leader lease could not be renewed");
                    next = begun + Duration::from_secs(1);
                }
                Err(_) => next = Instant::now(),
            }
        }
    }

    /// Gives the lease back, so that another need not wait for its end.
    pub(crate) async fn release(&mut self) {
        self.permit.set(None);
        let Some(mut lease) = self.held.take() else { return };
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
        }
        match timeout(self.timing.renew, self.leases.write(lease)).await {
            Ok(Ok(_)) => tracing::info!("the leader lease is given back"),
            Ok(Err(error)) => tracing::warn!(%error, "the leader lease could not be given back"),
            Err(_) => tracing::warn!("the leader lease could not be given back: no answer"),
        }
    }

    fn lose(&mut self, fenced: Fenced) -> Fenced {
        self.permit.set(None);
        self.held = None;
        fenced
    }

    async fn ask(&mut self) -> Result<Asked, kube::Error> {
        let begun = Instant::now();
        // What we wrote last saves a read. Where that write's answer was lost, it is read again.
        let found = match self.held.take() {
            Some(held) => Some(held),
            None => self.leases.read().await?,
        };
        self.health.saw_lease();
        if !self.may_take(found.as_ref()) {
            return Ok(Asked::Taken);
        }
        match self.leases.write(self.renewed(found)).await {
            Ok(lease) => {
                self.since = lease.spec.as_ref().and_then(|spec| spec.acquire_time.clone());
                self.held = Some(lease);
                self.other = None;
                self.permit.set(Some(begun + self.timing.permit));
                Ok(Asked::Held)
            }
            Err(error) if crate::objects::is_conflict(&error) => Ok(Asked::Raced),
            Err(error) => Err(error),
        }
    }

    fn may_take(&mut self, found: Option<&Lease>) -> bool {
        let Some(lease) = found else { return self.since.is_none() };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.unwrap_or_default();
        if let Some(since) = &self.since {
            // While we hold it, any other holder is the end; also one of our name that took it anew.
            return holder == self.identity && spec.acquire_time.as_ref() == Some(since);
        }
        if holder.is_empty() || holder == self.identity {
            return true;
        }
        // Only our own clock counts: another's time of renewal says nothing here.
        let version = lease.resource_version();
        match &self.other {
            Some((seen, since)) if *seen == version => {
                let seconds =
                    u64::try_from(spec.lease_duration_seconds.unwrap_or_default()).unwrap_or_default();
                since.elapsed() >= Duration::from_secs(seconds)
            }
            _ => {
                self.other = Some((version, Instant::now()));
                false
            }
        }
    }

    fn renewed(&self, found: Option<Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let mut lease = found.unwrap_or_default();
        lease.metadata.name = Some(self.name.to_owned());
        let before = lease.spec.take().unwrap_or_default();
        let transitions = before.lease_transitions.unwrap_or_default();
        let kept = self.since.is_some();
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(self.timing.duration.as_secs()).unwrap_or(i32::MAX)),
            acquire_time: self.since.clone().or(Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(if kept { transitions } else { transitions.saturating_add(1) }),
            ..before
        });
        lease
    }
}

#[cfg(test)]
mod tests;
