//! The agent: who answers the controller, as root, behind a forced command of sshd.
//!
//! What it may do is decided by its settings, which belong to root, and never by who asks. All that it makes, it first
//! writes down (`<root>/.agent`), so that an end in the middle leaves nothing that it would not know again; what stands
//! there without having been written down is somebody else's and is left alone.

mod accounts;
mod changes;
mod claim;
mod describe;
mod ensure;
mod folder;
mod jobs;
mod list;
mod lock;
mod mount;
mod policy;
mod quota;
mod record;
mod settings;
mod snapshots;
mod tools;
mod usage;

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::path::Path;

use self::changes::Changes;
use self::folder::Folder;
use self::settings::Settings;
use crate::protocol::{Answer, Ask, COMMAND, Claim, Done, LONGEST_REQUEST, Policy, Reason, Refusal, Request};

/// Where the agent's settings are, unless the forced command names another file.
pub const SETTINGS: &str = "/etc/vertskommune/agent.json";

/// One call of the agent's program.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The file of its settings. It must not come from the one who asks.
    pub settings: &'a Path,
    /// What sshd says was asked for (`SSH_ORIGINAL_COMMAND`); none where nothing was, or where root calls it by hand.
    pub asked: Option<&'a OsStr>,
    /// Dies before the change of that number, as a crash would.
    #[cfg(feature = "testing")]
    pub dies_at: Option<u32>,
}

impl Call<'_> {
    /// Reads one request, carries it out, and answers. Says whether it was done.
    ///
    /// # Errors
    /// Only where the answer cannot be written: everything else is an answer.
    pub fn serve(&self, input: impl Read, mut output: impl Write) -> io::Result<bool> {
        let outcome = self.carry_out(input);
        let done = outcome.is_ok();
        output.write_all(&Answer::new(outcome).to_json())?;
        output.flush()?;
        Ok(done)
    }

    fn carry_out(&self, input: impl Read) -> Result<Done, Refusal> {
        if self.asked.is_some_and(|asked| asked != COMMAND) {
            let message = format!("this key runs `{COMMAND}` and nothing else");
            return Err(Refusal::new(Reason::Command, message));
        }
        let mut text = Vec::new();
        let most = LONGEST_REQUEST as u64 + 1;
        input
            .take(most)
            .read_to_end(&mut text)
            .map_err(|error| Refusal::system("reading the request", error))?;
        if text.len() > LONGEST_REQUEST {
            return Err(Refusal::new(Reason::Malformed, "the request is too long"));
        }
        let request = Request::read(&text)?;
        let host = Host::open(self.settings, &request)?;
        match &request.ask {
            Ask::Describe {} => host.describe(&request.installation).map(Done::Description),
            Ask::List {} => host.list(&request.installation).map(Done::Accounts),
            Ask::Jobs {} => host.jobs(&request.installation).map(Done::Jobs),
            Ask::EnsureAccount { tenant, keys, quota_bytes } => {
                let wanted = ensure::Wanted {
                    installation: &request.installation,
                    tenant,
                    keys,
                    quota_bytes: *quota_bytes,
                };
                host.ensure(&wanted, self.changes()).map(Done::Account)
            }
            Ask::Claim { holder, expires, take_over } => {
                let wanted = Claim { holder: holder.clone(), expires: *expires };
                host.claim(&request.installation, wanted, *take_over, self.changes()).map(Done::Claimed)
            }
            Ask::SetPolicy { tenant, retention, time_zone, keep_after_exit, left } => {
                let policy = Policy {
                    retention: *retention,
                    time_zone: time_zone.clone(),
                    keep_after_exit: *keep_after_exit,
                    left_at: None,
                };
                host.set_policy(&request.installation, tenant, policy, *left, self.changes())
                    .map(Done::Policy)
            }
        }
    }

    #[cfg(feature = "testing")]
    fn changes(&self) -> Changes {
        Changes::dying_at(self.dies_at)
    }

    #[cfg(not(feature = "testing"))]
    #[expect(clippy::unused_self, reason = "the call knows it where tests can let it die")]
    fn changes(&self) -> Changes {
        Changes::default()
    }
}

/// The host, as its settings describe it.
struct Host {
    settings: Settings,
    root: Folder,
}

impl Host {
    fn open(settings: &Path, request: &Request) -> Result<Self, Refusal> {
        if !rustix::process::geteuid().is_root() {
            let message = "the agent does not run as root: see deploy/second-room for its forced command";
            return Err(Refusal::new(Reason::Host, message));
        }
        let settings = Settings::read(settings)?;
        if !settings.installations.contains(&request.installation) {
            let message = format!(
                "this host does not serve the installation {}: name it in the agent's settings if it should",
                request.installation
            );
            return Err(Refusal::new(Reason::Installation, message));
        }
        let root = Folder::trusted(&settings.root)?;
        Ok(Self { settings, root })
    }
}
