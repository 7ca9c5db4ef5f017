//! Watches that notice when nobody is at the other end any more: a firewall has forgotten the connection, say, and tells
//! neither side. kube's own client waits for 290 s then.

use std::fmt::Debug;
use std::time::Duration;

use futures::Stream;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Config, Resource};
use serde::de::DeserializeOwned;

/// How long a watch lives before it is begun anew.
const LIFE: u32 = 15;
/// How long any answer is waited for: longer than a watch lives, and short enough that one that died is noticed within
/// half a minute. Counted from the request, and not from the last use of the connection.
const SILENCE: Duration = Duration::from_secs(22);

/// Has a client give up an answer that does not come.
pub fn patient(mut cluster: Config) -> Config {
    cluster.connect_timeout = Some(Duration::from_secs(10));
    cluster.read_timeout = Some(SILENCE);
    cluster.reset_reader_on_write = true;
    cluster
}

/// Watches all objects of a kind, for ever. An error is told, and the watch begun anew by itself. The client of `api` is
/// a [`patient`] one.
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
