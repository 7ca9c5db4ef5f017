//! Watches that notice when nobody is at the other end any more, together with their [`client`](crate::client).

use std::fmt::Debug;
use std::time::Duration;

use futures::Stream;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use crate::client::{IDLE, SILENCE};

/// How many seconds a watch lives before it is begun anew.
const LIFE: u32 = 15;

// A watch that lives is never taken for dead. And when one that died is given up, what was idle as it died is no longer
// kept: it would begin anew on a connection that died with it, and be deaf twice as long.
const _: () = assert!(LIFE as u64 + IDLE.as_secs() < SILENCE.as_secs());

/// Watches all objects of a kind, for ever. An error is told, and the watch begun anew by itself. The client of `api` is
/// [ours](crate::client::connect).
pub fn watch<K>(api: Api<K>) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    watcher(api, watcher::Config::default().timeout(LIFE)).backoff(Soon::default())
}

/// The pauses of a watch that fails: kube's own grow to 30 s, which would hide a change for that long.
#[derive(Clone, Debug, Default)]
struct Soon(u32);

impl Iterator for Soon {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = Duration::from_millis(250 << self.0.min(4));
        self.0 = self.0.saturating_add(1);
        Some(pause)
    }
}

impl Backoff for Soon {
    fn reset(&mut self) {
        self.0 = 0;
    }
}
