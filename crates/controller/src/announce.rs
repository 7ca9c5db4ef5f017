//! Events: what was done for a tenant, for `kubectl describe`. Those of a few seconds become one, and nothing waits for
//! them; a cluster that is too busy to take them loses them.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use vertskommune_api::conditions::cut;
use vertskommune_core::reason::Reason;
use vertskommune_core::step::Class;
use vertskommune_core::transfer::Work;
use vertskommune_engine::{Ended, Outcome, Transferred};
use vertskommune_provider::Applied;

use crate::objects::Objects;

/// How long outcomes are gathered into one event.
const GATHER: Duration = Duration::from_secs(3);
/// The most characters of a note; the API takes 1024 bytes.
const MAX_NOTE: usize = 480;
/// The most characters of an action.
const MAX_ACTION: usize = 120;

/// Takes what shall be announced.
#[derive(Clone)]
pub(crate) struct Announcer {
    queue: mpsc::Sender<Announcement>,
}

/// Something that was done or failed.
struct Announcement {
    about: ObjectReference,
    reason: &'static str,
    warning: bool,
    action: String,
    note: String,
}

impl Announcer {
    /// An announcer, and the task that has to run for it.
    pub(crate) fn new(
        objects: Objects,
        identity: &str,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + use<>) {
        let (queue, announcements) = mpsc::channel(4096);
        let reporter = Reporter { controller: crate::MANAGER.to_owned(), instance: Some(cut(identity, 120)) };
        let recorder = Recorder::new(objects.client(), reporter);
        (Self { queue }, publish(announcements, recorder, objects, stop))
    }

    /// Announces what became of a step.
    pub(crate) fn outcome(&self, about: &ObjectReference, outcome: &Outcome) {
        let Some((reason, warning, why)) = told(outcome) else { return };
        let action = format!("{} {}", outcome.operation, outcome.resource.key);
        let note = match why {
            Some(why) => format!("{}: {}: {why}", outcome.resource.key, outcome.summary),
            None => format!("{}: {}", outcome.resource.key, outcome.summary),
        };
        self.say(about, reason, warning, action, note);
    }

    /// Announces that a manifest was refused.
    pub(crate) fn refused(&self, about: &ObjectReference, message: &str) {
        self.say(about, Reason::Refused.word(), true, "validate".to_owned(), message.to_owned());
    }

    /// Announces a transfer that failed, or found damage. Those that are done are told by the status.
    pub(crate) fn transferred(&self, about: &ObjectReference, transferred: &Transferred) {
        let transfer = &transferred.transfer;
        let (failed, thing) = match &transfer.work {
            Work::Backup => (Reason::BackupFailed.word(), transfer.server.clone()),
            Work::Proof { disk } => (Reason::ProofFailed.word(), format!("{}/{disk}", transfer.server)),
        };
        let (reason, why) = match &transferred.ended {
            Ended::Done(_) | Ended::Stopped(_) => return,
            Ended::Damaged(_, what) => {
                (Reason::BackupDamaged.word(), format!("did not come back as it was: {what}"))
            }
            Ended::Failed { error, .. } => (failed, error.to_string()),
        };
        self.say(about, reason, true, transfer.to_string(), format!("{thing}: {why}"));
    }

    fn say(
        &self,
        about: &ObjectReference,
        reason: &'static str,
        warning: bool,
        action: String,
        note: String,
    ) {
        let announcement = Announcement { about: about.clone(), reason, warning, action, note };
        if self.queue.try_send(announcement).is_err() {
            tracing::debug!(reason, "an event was dropped: too many at once");
        }
    }
}

/// The reason of an outcome, whether it is a warning, and what it adds to the step's summary.
fn told(outcome: &Outcome) -> Option<(&'static str, bool, Option<String>)> {
    let done = match outcome.class {
        Class::Adopt => "Adopted",
        Class::Create => "Created",
        Class::Change => "Changed",
        Class::Restart => "Restarted",
        Class::Retire => "Retired",
        Class::Remove => "Removed",
        Class::Destroy => "Destroyed",
    };
    match &outcome.applied {
        Applied::Done => Some((done, false, None)),
        Applied::Started { operation } => Some(("Started", false, Some(operation.clone()))),
        // The next plan tells what is to be done instead.
        Applied::NotSent(_) => None,
        Applied::Unknown(why) => Some((Reason::OutcomeUnknown.word(), true, Some(why.clone()))),
        Applied::Failed(error) => Some((Reason::StepFailed.word(), true, Some(error.to_string()))),
    }
}

/// What is gathered: by object and reason.
type Gathered = BTreeMap<(String, &'static str), Announcement>;

async fn publish(
    mut announcements: mpsc::Receiver<Announcement>,
    recorder: Recorder,
    objects: Objects,
    stop: CancellationToken,
) {
    let mut gathered = Gathered::new();
    let mut tick = interval(GATHER);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            announcement = announcements.recv() => match announcement {
                Some(announcement) => gather(&mut gathered, announcement),
                None => break,
            },
            _ = tick.tick() => flush(&mut gathered, &recorder, &objects).await,
            () = stop.cancelled() => break,
        }
    }
    while let Ok(announcement) = announcements.try_recv() {
        gather(&mut gathered, announcement);
    }
    flush(&mut gathered, &recorder, &objects).await;
}

fn gather(gathered: &mut Gathered, next: Announcement) {
    let key = (next.about.uid.clone().unwrap_or_default(), next.reason);
    match gathered.get_mut(&key) {
        Some(before) if before.note == next.note => {}
        Some(before) => {
            before.action = format!("{}, {}", before.action, next.action);
            before.note = format!("{}; {}", before.note, next.note);
        }
        None => {
            gathered.insert(key, next);
        }
    }
}

async fn flush(gathered: &mut Gathered, recorder: &Recorder, objects: &Objects) {
    for (_, announcement) in std::mem::take(gathered) {
        if objects.permit().is_err() {
            return;
        }
        let event = Event {
            type_: if announcement.warning { EventType::Warning } else { EventType::Normal },
            reason: announcement.reason.to_owned(),
            note: Some(cut(&announcement.note, MAX_NOTE)),
            action: cut(&announcement.action, MAX_ACTION),
            secondary: None,
        };
        if let Err(error) = recorder.publish(&event, &announcement.about).await {
            tracing::debug!(%error, reason = announcement.reason, "an event was not taken");
        }
    }
}
