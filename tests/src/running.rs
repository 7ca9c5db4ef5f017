//! A controller that a test starts and ends: as a task with a runtime of its own, or as the real program.

use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long its end in good order may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running controller.
pub struct Controller(pub(crate) Life);

pub(crate) enum Life {
    /// In this process, in a runtime of its own.
    Task { runtime: Option<Runtime>, stop: CancellationToken, ended: Option<JoinHandle<()>> },
    /// The real program.
    Process(Child),
}

impl Controller {
    /// Ends it in good order, as SIGTERM does.
    pub async fn stop(mut self) {
        match &mut self.0 {
            Life::Task { stop, ended, .. } => {
                stop.cancel();
                if let Some(ended) = ended.take() {
                    let _ = tokio::time::timeout(PATIENCE, ended).await;
                }
            }
            Life::Process(child) => {
                let _ = kill_process(Pid::from_child(child), Signal::TERM);
                let _ = child.wait();
            }
        }
    }

    /// Ends it between two instructions, with all that it remembers: a process by SIGKILL.
    pub fn kill(self) {
        drop(self);
    }

    /// Sends a process a signal, such as `STOP`.
    ///
    /// # Errors
    /// Where it is no process, or cannot be sent one.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let Life::Process(child) = &self.0 else { bail!("this controller is no process of its own") };
        Ok(kill_process(Pid::from_child(child), signal)?)
    }

    /// How a process has ended, if it has.
    ///
    /// # Errors
    /// Where it is no process.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let Life::Process(child) = &mut self.0 else { bail!("this controller is no process of its own") };
        Ok(child.try_wait()?)
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        match &mut self.0 {
            Life::Task { runtime, .. } => {
                if let Some(runtime) = runtime.take() {
                    runtime.shutdown_background();
                }
            }
            Life::Process(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

/// The program `vertskommune`, which cargo puts two folders above the tests.
///
/// # Errors
/// Where it is not built.
pub fn program() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(Path::parent).context("the folder of the build")?;
    let program = folder.join("vertskommune");
    ensure!(program.exists(), "{} is not built: run `make test`", program.display());
    Ok(program)
}
