//! `vertskommune backup agent`: the forced command of the controller's key on the second room's host.

use std::io;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use second_room::agent::{Call, SETTINGS};

use crate::exit::Exit;

/// Answers one request of the controller on the second room's host: the forced command of its key there, as root
#[derive(Args)]
pub(crate) struct Agent {
    /// The agent's settings: a file that belongs to root. Name another only in sshd's own configuration
    #[arg(long, value_name = "FILE", default_value = SETTINGS)]
    settings: PathBuf,
    /// Die before the change of this number, counted from 1
    #[cfg(feature = "testing")]
    #[arg(long, value_name = "N", hide = true)]
    die_at: Option<u32>,
}

impl Agent {
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        let asked = std::env::var_os("SSH_ORIGINAL_COMMAND");
        let call = Call {
            settings: &self.settings,
            asked: asked.as_deref(),
            #[cfg(feature = "testing")]
            dies_at: self.die_at,
        };
        let done =
            call.serve(io::stdin().lock(), io::stdout().lock()).context("the answer cannot be written")?;
        Ok(if done { Exit::Success } else { Exit::Failure })
    }
}
