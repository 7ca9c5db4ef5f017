use std::sync::atomic::{AtomicBool, Ordering};

use kube::core::Status;
use tokio::time::advance;

use super::*;

/// A lease in memory, with versions as the API server counts them.
#[derive(Clone, Default)]
struct Shelf {
    lease: Arc<Mutex<Option<Lease>>>,
    down: Arc<AtomicBool>,
}

impl Shelf {
    fn check(&self) -> Result<(), kube::Error> {
        if self.down.load(Ordering::Relaxed) { Err(failure(500)) } else { Ok(()) }
    }

    fn holder(&self) -> Option<String> {
        self.lease.lock().unwrap().as_ref()?.spec.as_ref()?.holder_identity.clone()
    }
}

fn failure(code: u16) -> kube::Error {
    kube::Error::Api(Box::new(Status { code, ..Status::default() }))
}

impl Leases for Shelf {
    fn read(&self) -> BoxFuture<'_, Result<Option<Lease>, kube::Error>> {
        Box::pin(async move { self.check().map(|()| self.lease.lock().unwrap().clone()) })
    }

    fn write(&self, mut lease: Lease) -> BoxFuture<'_, Result<Lease, kube::Error>> {
        Box::pin(async move {
            self.check()?;
            let mut there = self.lease.lock().unwrap();
            let version = there.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
            if lease.metadata.resource_version != version {
                return Err(failure(409));
            }
            let next = version.map_or(1, |version| version.parse::<u64>().unwrap() + 1);
            lease.metadata.resource_version = Some(next.to_string());
            *there = Some(lease.clone());
            Ok(lease)
        })
    }
}

fn keeper(shelf: &Shelf, identity: &str) -> (Keeper<Shelf>, Arc<LeasePermit>) {
    let permit = Arc::new(LeasePermit::default());
    let keeper = Keeper::new(
        shelf.clone(),
        "vertskommune",
        identity,
        Timing::default(),
        permit.clone(),
        Arc::default(),
    );
    (keeper, permit)
}

#[tokio::test(start_paused = true)]
async fn the_permit_ends_before_another_can_take_the_lease() {
    let shelf = Shelf::default();
    let (mut first, permit) = keeper(&shelf, "a");
    assert!(permit.check().is_err(), "nothing is held yet");
    first.acquire().await;
    assert_eq!(permit.check(), Ok(()));

    // The first process is stopped; the second waits for the whole life of the lease.
    let begun = Instant::now();
    let (mut second, other) = keeper(&shelf, "b");
    second.acquire().await;
    assert!(begun.elapsed() >= Timing::default().duration, "took it after {:?}", begun.elapsed());
    assert!(begun.elapsed() <= Duration::from_secs(15), "took it after {:?}", begun.elapsed());
    assert_eq!(other.check(), Ok(()));
    assert!(permit.check().is_err(), "the first wakes up without a permit");
    first.keep().await;
    assert_eq!(shelf.holder().as_deref(), Some("b"), "and does not take it back");
}

#[tokio::test(start_paused = true)]
async fn the_permit_counts_from_before_the_request() {
    let shelf = Shelf::default();
    let (mut first, permit) = keeper(&shelf, "a");
    first.acquire().await;
    let instant = Duration::from_millis(1);
    advance(Timing::default().permit.saturating_sub(instant)).await;
    assert_eq!(permit.check(), Ok(()));
    advance(instant).await;
    assert!(permit.check().is_err());
}

#[tokio::test(start_paused = true)]
async fn it_is_kept_for_as_long_as_it_is_renewed() {
    let shelf = Shelf::default();
    let (mut first, permit) = keeper(&shelf, "a");
    first.acquire().await;
    let begun = Instant::now();
    let kept = tokio::time::timeout(Duration::from_secs(100), first.keep()).await;
    assert!(kept.is_err() && permit.check().is_ok(), "it was lost after {:?}", begun.elapsed());
    let begun = Instant::now();
    shelf.down.store(true, Ordering::Relaxed);
    first.keep().await;
    assert!(begun.elapsed() <= Timing::default().permit, "it was lost after {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_of_the_api_server_costs_nothing() {
    let shelf = Shelf::default();
    let (mut first, permit) = keeper(&shelf, "a");
    first.acquire().await;
    let down = shelf.down.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(4)).await;
        down.store(true, Ordering::Relaxed);
        sleep(Duration::from_secs(4)).await;
        down.store(false, Ordering::Relaxed);
    });
    let kept = tokio::time::timeout(Duration::from_secs(60), first.keep()).await;
    assert!(kept.is_err() && permit.check().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_lease_given_back_is_taken_within_a_second() {
    let shelf = Shelf::default();
    let (mut first, permit) = keeper(&shelf, "a");
    first.acquire().await;
    let (mut second, _) = keeper(&shelf, "b");
    let waiting = tokio::spawn(async move {
        second.acquire().await;
        Instant::now()
    });
    sleep(Duration::from_secs(2)).await;
    let begun = Instant::now();
    first.release().await;
    assert!(permit.check().is_err());
    let taken = waiting.await.unwrap().duration_since(begun);
    assert!(taken <= Duration::from_secs(1), "taken after {taken:?}");
}

#[tokio::test(start_paused = true)]
async fn two_of_the_same_name_do_not_both_keep_it() {
    let shelf = Shelf::default();
    let (mut first, permit) = keeper(&shelf, "a");
    first.acquire().await;
    let (mut second, other) = keeper(&shelf, "a");
    advance(Duration::from_secs(1)).await;
    second.acquire().await;
    first.keep().await;
    assert!(permit.check().is_err() && other.check().is_ok());
}
