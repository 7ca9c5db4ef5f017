//! Carrying out steps: each looks at what it is about, does exactly what it says, and says what became of it.
//!
//! Nothing is chosen here, and nothing is taken from an earlier pass: what is known from before says where to look, and
//! what is read then says what is there.

mod clone;
mod look;
mod power;
mod record;
mod server;
mod structure;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value as Json;
use vertskommune_core::facts::Facts;
use vertskommune_core::step::Step;
use vertskommune_provider::{Applied, Ctx, ProviderError};
use vsphere_client::{Error, FaultClass, Mor, Object, Permit, Task, TaskState};

use crate::Vsphere;
use crate::failure;
use crate::ledger::{Started, task_error};
use crate::link::Session;
use crate::marks::{ANTI_AFFINITY, FOLDER, NETWORK, POOL, SERVER};
use crate::steps::operation;

/// How long a task is given to end before the step is said to be started. Most end within; the rest is observed.
const GRACE: Duration = Duration::from_millis(400);

/// How often a task is looked at within its grace.
const LOOKS: u32 = 4;

/// One step while it is carried out.
pub(crate) struct Act<'a> {
    pub(crate) vsphere: &'a Vsphere,
    pub(crate) session: Arc<Session>,
    pub(crate) step: &'a Step,
    permit: Box<Permit>,
    /// What was read for this step and not used yet.
    ahead: Mutex<BTreeMap<Mor, Object>>,
}

/// Why a step was not carried out to its end.
pub(crate) enum Stop {
    /// What it expects is not there.
    NotSent(String),
    /// A call failed.
    Call(Error),
    /// Anything else.
    Failed(ProviderError),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl From<ProviderError> for Stop {
    fn from(error: ProviderError) -> Self {
        Self::Failed(error)
    }
}

/// What became of a step.
pub(crate) type Outcome = Result<Applied, Stop>;

impl Vsphere {
    /// Carries out one step.
    pub(crate) async fn carry_out(&self, step: &Step, ctx: &Ctx) -> Applied {
        let session = match self.link.session(&self.settings, ctx).await {
            Ok(session) => session,
            Err(error) => return Applied::Failed(error),
        };
        let permit = session.permit(ctx);
        let act = Act { vsphere: self, session, step, permit, ahead: Mutex::default() };
        let applied = match tokio::time::timeout_at(ctx.deadline, act.run()).await {
            Ok(Ok(applied)) => applied,
            Ok(Err(Stop::NotSent(why))) => Applied::NotSent(why),
            Ok(Err(Stop::Failed(error))) => Applied::Failed(error),
            Ok(Err(Stop::Call(error))) => failure::applied(&act.session.endpoint, &error),
            Err(_) => Applied::Unknown("the step did not end in time".to_owned()),
        };
        tracing::debug!(step = %step.id(), operation = %step.operation, ?applied, "carried out");
        applied
    }
}

impl Act<'_> {
    async fn run(&self) -> Outcome {
        // A task that failed after it was started could not be told then.
        if let Some(error) = self.vsphere.ledger.take_failure(&self.started()) {
            return Ok(Applied::Failed(error));
        }
        match (self.step.resource.key.kind.as_str(), self.step.operation.as_str()) {
            (SERVER, operation) => self.server(operation).await,
            (FOLDER, operation::CREATE) => self.create_folder().await,
            (FOLDER, operation::RECONFIGURE) => self.rename_folder().await,
            (FOLDER, operation::REMOVE) => self.remove_folder().await,
            (POOL, operation::CREATE) => self.create_pool().await,
            (POOL, operation::RECONFIGURE) => self.reconfigure_pool().await,
            (POOL, operation::REMOVE) => self.remove_pool().await,
            (NETWORK, operation::CREATE) => self.create_network().await,
            (NETWORK, operation::RECONFIGURE) => self.reconfigure_network().await,
            (NETWORK, operation::REMOVE) => self.remove_network().await,
            (ANTI_AFFINITY, operation::CREATE | operation::RECONFIGURE) => self.set_rule().await,
            (ANTI_AFFINITY, operation::REMOVE) => self.remove_rule().await,
            (kind, operation) => Err(refused(format!("this plugin has no step {operation} for {kind}"))),
        }
    }

    async fn server(&self, operation: &str) -> Outcome {
        match operation {
            operation::CREATE => self.clone_server().await,
            operation::ADOPT => self.adopt().await,
            operation::RENAME => self.rename().await,
            operation::MOVE => self.move_to_folder().await,
            operation::MOVE_POOL => self.move_to_pool().await,
            operation::CONNECT => self.connect().await,
            operation::DISKS => self.disks().await,
            operation::NAME_DISKS => self.name_disks().await,
            operation::RESIZE => self.resize().await,
            operation::SHUT_DOWN => self.shut_down().await,
            operation::POWER_ON => self.power_on().await,
            operation::RETIRE => self.retire().await,
            operation::UNRETIRE => self.unretire().await,
            operation::DESTROY => self.destroy().await,
            operation::RECORD_BIRTH => self.record_birth().await,
            operation::FORGET => self.forget().await,
            operation => Err(refused(format!("this plugin has no step {operation} for a server"))),
        }
    }

    fn started(&self) -> Started {
        Started { resource: self.step.resource.clone(), operation: self.step.operation.clone() }
    }

    /// Follows a task for a moment.
    async fn follow(&self, task: Task, grace: Duration) -> Outcome {
        let Task(task) = task;
        self.vsphere.ledger.note(&task, self.started());
        let asked = [task.clone()];
        for look in 0..LOOKS {
            if look > 0 {
                tokio::time::sleep(grace / LOOKS).await;
            }
            // The task is sent: that its state cannot be read now is no failure of the step.
            let Ok(tasks) = self.session.client.tasks(&asked).await else { break };
            match tasks.get(&task) {
                Some(info) if info.state == TaskState::Success => {
                    self.vsphere.ledger.settle(&asked, &tasks);
                    return Ok(Applied::Done);
                }
                Some(info) if info.state == TaskState::Error => {
                    let error = task_error(info);
                    self.vsphere.ledger.settle(&asked, &tasks);
                    self.vsphere.ledger.take_failure(&self.started());
                    return Ok(Applied::Failed(error));
                }
                _ => {}
            }
        }
        Ok(Applied::Started { operation: self.step.summary.clone() })
    }

    async fn settle(&self, task: Task) -> Outcome {
        self.follow(task, GRACE).await
    }

    /// Whether the step is done already, or may be done: `facts` are of just now.
    fn expect(&self, facts: &Facts) -> Result<(), Stop> {
        let is = |path: &str| facts.get(path).unwrap_or(&Json::Null);
        match self.step.expects.iter().find(|(path, expected)| is(path) != *expected) {
            None => Ok(()),
            Some((path, expected)) => {
                Err(Stop::NotSent(format!("{path} is {} and not {expected} any more", is(path))))
            }
        }
    }
}

/// Whether a call found the name taken. What has it is in the fault, where the account can see it.
fn is_taken(error: &Error) -> bool {
    error.class() == Some(FaultClass::Duplicate)
}

fn refused(why: String) -> Stop {
    Stop::Failed(ProviderError::Refused(why))
}

fn not_sent(why: impl Into<String>) -> Stop {
    Stop::NotSent(why.into())
}
