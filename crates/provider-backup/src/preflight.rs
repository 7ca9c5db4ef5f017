//! Whether a second room is as this plugin needs it, a line for each.

use jiff::Timestamp;
use restic::Bounds;
use restic::escrow;
use second_room::protocol::Description;
use ssh_session::Stock;
use std::time::Duration;
use vertskommune_core::render::size;
use vertskommune_provider::{Checked, Ctx, ProviderError};

use crate::SecondRoom;

/// How far clocks may differ without a word.
const APART: i64 = 60;

impl SecondRoom {
    /// All lines.
    pub(crate) async fn check_all(&self, ctx: &Ctx) -> Vec<Checked> {
        let mut lines = self.programs().await;
        let description = match self.room.describe(ctx).await {
            Ok(description) => description,
            Err(error) => {
                let what = match error {
                    ProviderError::Misidentified { .. } => "identity",
                    ProviderError::CredentialsRefused => "credentials",
                    ProviderError::Unreachable { .. } | ProviderError::Timeout(_) => "reachability",
                    _ => "agent",
                };
                lines.insert(0, Checked::new(what, Err(error.to_string())));
                return lines;
            }
        };
        let mut all = vec![
            Checked::new("identity", Ok(format!("host key {}", self.settings.host_key.fingerprint()))),
            Checked::new("agent", agent(&description)),
            Checked::new("clock", clock(&description, Timestamp::now())),
            Checked::new(
                "room",
                Ok(format!(
                    "{} free of {} on {}",
                    size(description.free_bytes),
                    size(description.total_bytes),
                    description.file_system
                )),
            ),
            Checked::new(
                "quota",
                match &description.quota_problem {
                    None => Ok("a quota binds".to_owned()),
                    Some(problem) => Err(problem.clone()),
                },
            ),
            Checked::new(
                "keeper",
                match &description.keeper {
                    Some(_) => Ok("it has run".to_owned()),
                    None => Err(
                        "it has never run: enable vertskommune-keeper.timer there, see deploy/second-room"
                            .to_owned(),
                    ),
                },
            ),
        ];
        all.append(&mut lines);
        all
    }

    /// What runs on this side.
    async fn programs(&self) -> Vec<Checked> {
        let restic = self.vaults.restic(&self.settings).await;
        let bounds = Bounds::within(Duration::from_secs(30));
        let sealed = match restic::Password::random() {
            Ok(password) => escrow::seal(&self.settings.age, &password, &self.settings.escrow, &bounds).await,
            Err(error) => Err(error.into()),
        };
        let program = self.settings.ssh.clone();
        let ssh = tokio::task::spawn_blocking(move || Stock::version(&program)).await;
        vec![
            Checked::new(
                "restic",
                restic.map(|restic| restic.version().to_string()).map_err(|error| error.to_string()),
            ),
            Checked::new(
                "age",
                sealed
                    .map(|_| "seals for the escrow recipient".to_owned())
                    .map_err(|error| error.to_string()),
            ),
            Checked::new(
                "ssh",
                ssh.map_err(|error| error.to_string()).flatten().map_err(|said| {
                    format!(
                        "{said}: install Debian's package openssh-client, or name it in spec.settings.ssh"
                    )
                }),
            ),
        ]
    }
}

fn agent(description: &Description) -> Result<String, String> {
    let ours = env!("CARGO_PKG_VERSION");
    if description.agent == ours {
        Ok(format!("version {ours}, for installation {}", description.installation))
    } else {
        Err(format!(
            "the agent is of version {} and this program of {ours}: install the same on both sides",
            description.agent
        ))
    }
}

fn clock(description: &Description, now: Timestamp) -> Result<String, String> {
    let theirs: Timestamp =
        description.clock.parse().map_err(|error| format!("{:?} is no time: {error}", description.clock))?;
    let apart = now.duration_since(theirs).abs().as_secs();
    if apart <= APART {
        Ok("the same on both sides".to_owned())
    } else {
        Err(format!("it is {now:.0} here and {theirs:.0} there: set the clock right that is wrong"))
    }
}
