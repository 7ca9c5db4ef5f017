//! Reads the state of tasks, many in one call.

use std::collections::BTreeMap;

use crate::fault::FaultClass;
use crate::{Client, Element, Error, Fault, Mor, Object, Property, Scope, Select};

const PATHS: &[&str] = &[
    "info.state",
    "info.progress",
    "info.result",
    "info.error",
    "info.entity",
    "info.entityName",
    "info.descriptionId",
    "info.name",
    "info.reason",
    "info.queueTime",
    "info.completeTime",
];

/// One task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskInfo {
    /// How far it is.
    pub state: TaskState,
    /// Percent, while it runs and tells.
    pub progress: Option<u8>,
    /// What it made or returned: of a clone the new VM.
    pub result: Option<Element>,
    /// Why it failed.
    pub error: Option<Fault>,
    /// What it works on: of a clone the template, not the new VM.
    pub entity: Option<Mor>,
    /// The entity's name.
    pub entity_name: Option<String>,
    /// What is done, such as `VirtualMachine.clone` (`VirtualMachine.cloneVm` in the simulator).
    pub description_id: String,
    /// The method's name, such as `CloneVM_Task`; often absent.
    pub name: Option<String>,
    /// Who started it, if a user did.
    pub user: Option<String>,
    /// When it was queued, as RFC 3339.
    pub queue_time: Option<String>,
    /// When it ended, as RFC 3339.
    pub complete_time: Option<String>,
}

/// How far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// It waits for its turn.
    Queued,
    /// It runs.
    Running,
    /// It is done.
    Success,
    /// It failed; see [`TaskInfo::error`].
    Error,
    /// The user may not read it, or the state is none of the four: how far it is, is unknown.
    Unknown,
}

impl TaskState {
    /// Whether nothing more happens.
    pub fn is_final(self) -> bool {
        matches!(self, TaskState::Success | TaskState::Error)
    }
}

impl TaskInfo {
    /// The result as a reference: what the task made.
    pub fn made(&self) -> Option<Mor> {
        self.result.as_ref().and_then(Element::mor)
    }

    fn read(object: &Object) -> Option<TaskInfo> {
        let state = match object.property("info.state") {
            Property::Present(state) => match state.text.as_str() {
                "queued" => TaskState::Queued,
                "running" => TaskState::Running,
                "success" => TaskState::Success,
                "error" => TaskState::Error,
                _ => TaskState::Unknown,
            },
            Property::Unreadable(fault) if fault.class() == FaultClass::Gone => return None,
            _ => TaskState::Unknown,
        };
        let text = |path: &str| object.text(path).filter(|t| !t.is_empty()).map(str::to_owned);
        Some(TaskInfo {
            state,
            progress: object.int("info.progress").and_then(|p| u8::try_from(p).ok()),
            result: object.get("info.result").cloned(),
            error: object.get("info.error").cloned().map(Fault::localized),
            entity: object.mor("info.entity"),
            entity_name: text("info.entityName"),
            description_id: text("info.descriptionId").unwrap_or_default(),
            name: text("info.name"),
            user: object.get("info.reason").and_then(|r| r.text_at("userName")).map(str::to_owned),
            queue_time: text("info.queueTime"),
            complete_time: text("info.completeTime"),
        })
    }
}

impl Client {
    /// Reads tasks. One that is not in the answer is gone: vCenter forgets tasks some minutes
    /// after their end, and all of them when it starts anew.
    pub async fn tasks(&self, tasks: &[Mor]) -> Result<BTreeMap<Mor, TaskInfo>, Error> {
        let mut found = BTreeMap::new();
        let select = [Select { kind: "Task", paths: PATHS }];
        let outcome = self.retrieve(Scope::Objects(tasks), &select, 500, |object| {
            if let Some(info) = TaskInfo::read(&object) {
                found.insert(object.mor, info);
            }
        });
        match outcome.await {
            // Some servers refuse the whole read for one gone task: then each is read alone.
            Err(error) if error.class() == Some(FaultClass::Gone) => self.tasks_one_by_one(tasks).await,
            outcome => outcome.map(|()| found),
        }
    }

    async fn tasks_one_by_one(&self, tasks: &[Mor]) -> Result<BTreeMap<Mor, TaskInfo>, Error> {
        let mut found = BTreeMap::new();
        for task in tasks {
            if let Some(info) = self.read(task, PATHS).await?.as_ref().and_then(TaskInfo::read) {
                found.insert(task.clone(), info);
            }
        }
        Ok(found)
    }

    /// The tasks that vCenter started of late, running ones included.
    pub async fn recent_tasks(&self) -> Result<Vec<Mor>, Error> {
        let manager = self.service().await?.task_manager;
        let object = self.read(&manager, &["recentTask"]).await?;
        Ok(object.map(|o| o.mors("recentTask")).unwrap_or_default())
    }
}
