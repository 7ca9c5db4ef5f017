//! A tenant's repository, opened: with restic, through the stock ssh, and with the Secret that has its password and the
//! account's key.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use restic::{Bounds, Error as ResticError, Location, Password, Repository, Restic};
use second_room::account_name;
use sha2::{Digest as _, Sha256};
use ssh_session::{PrivateKey, Stock};
use tokio::sync::OnceCell;
use tokio::time::Instant;
use vertskommune_core::names::TenantName;
use vertskommune_provider::secrets::{Secret, SecretError, of_secret};
use vertskommune_provider::{Ctx, ProviderError};
use vertskommune_provider_ssh::{KEY, of_ssh, private_key};

use crate::room::{label, secret_name};
use crate::settings::Settings;
use crate::{SecondRoom, failure};

/// The entry of a Secret with a repository's password.
pub(crate) const PASSWORD: &str = "password";

/// So long nothing at all may be heard of the host.
const SILENCE: Duration = Duration::from_secs(30);

/// What opening repositories needs, and what was learnt by it.
#[derive(Debug)]
pub(crate) struct Vaults {
    restic: OnceCell<Restic>,
    /// Which of a repository's keys its password opens.
    opened: Mutex<BTreeMap<TenantName, String>>,
}

impl Vaults {
    pub(crate) fn new() -> Self {
        Self { restic: OnceCell::new(), opened: Mutex::default() }
    }

    fn opened(&self) -> MutexGuard<'_, BTreeMap<TenantName, String>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The restic program, asked once for its version.
    pub(crate) async fn restic(&self, settings: &Settings) -> Result<Restic, ProviderError> {
        let found = self.restic.get_or_try_init(|| async {
            let restic = Restic::find(&settings.restic, &settings.temporary).await?;
            Ok(match &settings.cache {
                Some(cache) => restic.with_cache(cache),
                None => restic,
            })
        });
        found.await.cloned().map_err(|error: ResticError| ProviderError::Refused(error.to_string()))
    }

    /// restic tries one key after the other, which takes half a second of a processor for each, unless it is told which one to
    /// try first. One that is not there any more does no harm: it goes on to the others.
    fn hint(&self, tenant: &TenantName, mut vault: Vault) -> Vault {
        if let Some(key) = self.opened().get(tenant) {
            vault.repository = vault.repository.with_key(key);
        }
        vault
    }
}

impl SecondRoom {
    /// A tenant's repository, with the Secret that is there. Asks nothing of the second room yet.
    pub(crate) async fn open(&self, tenant: &TenantName, ctx: &Ctx) -> Result<Vault, ProviderError> {
        let name = secret_name(tenant);
        let secret = ctx.secrets.get(&name).await.map_err(|error| missing(&name, &error))?;
        let keys = Keys::read(&name, &secret)?;
        let restic = self.vaults.restic(&self.settings).await?;
        let unusable = |error: std::io::Error| {
            ProviderError::Refused(format!("no anonymous file is to be had: {error}"))
        };
        let target = self.room.target(&account_name(&label(tenant.as_str())?));
        let user = target.user.clone();
        let way = Stock::new(&self.settings.ssh, target, &keys.key, SILENCE).map_err(unusable)?;
        let path = second_room::protocol::REPOSITORY.to_owned();
        let location = Location::Sftp { host: user, path, command: way.command() };
        let repository = Repository::new(restic, location, keys.password.clone());
        let vault = Vault { repository, keys, endpoint: self.room.endpoint.clone(), secret: name, way };
        Ok(self.vaults.hint(tenant, vault))
    }

    /// The same for one who works in it: nobody who is gone is in the way then. Other work of ours must not shut it out
    /// meanwhile ([`SecondRoom::sharing`]).
    pub(crate) async fn open_for_work(&self, tenant: &TenantName, ctx: &Ctx) -> Result<Vault, ProviderError> {
        let vault = self.open(tenant, ctx).await?;
        vault.break_stale_locks(ctx).await?;
        if self.vaults.opened().contains_key(tenant) {
            return Ok(vault);
        }
        // restic 0.14 lists keys under a lock, whatever it is told.
        ctx.permit()?;
        let key = vault.repository.current_key(&bounds(ctx)).await.map_err(|error| vault.error(&error))?;
        self.vaults.opened().insert(tenant.clone(), key);
        Ok(self.vaults.hint(tenant, vault))
    }
}

/// A tenant's repository, opened.
pub(crate) struct Vault {
    pub(crate) repository: Repository,
    pub(crate) keys: Keys,
    endpoint: String,
    secret: String,
    way: Stock,
}

impl Vault {
    /// Removes the locks of those who are surely gone, and no others. restic never does it by itself, and a check that died
    /// would keep all others out, one that only read keeps out a check.
    async fn break_stale_locks(&self, ctx: &Ctx) -> Result<(), ProviderError> {
        let locks = self.repository.locks(&bounds(ctx)).await.map_err(|error| self.error(&error))?;
        let now = Timestamp::now();
        let here = rustix::system::uname();
        let here = here.nodename().to_string_lossy();
        // A process of this host that is not there holds nothing; of another host's it takes half an hour to be sure.
        let is_gone =
            |lock: &restic::Lock| lock.is_stale(now) || (lock.hostname == here && !is_running(lock.pid));
        if locks.iter().any(is_gone) {
            ctx.permit()?;
            tracing::warn!("a lock of one who is gone is removed from the repository");
            self.repository.unlock(&bounds(ctx)).await.map_err(|error| self.error(&error))?;
        }
        Ok(())
    }

    /// What an error of restic means. What `ssh` has said tells more than restic's last words.
    pub(crate) fn error(&self, error: &ResticError) -> ProviderError {
        let cut = matches!(
            error,
            ResticError::Unreachable { .. }
                | ResticError::Failed { .. }
                | ResticError::NoRoom { sure: false, .. }
        );
        // It is of this call alone, so it is taken in any case.
        match self.way.failure() {
            Some(said) if cut => match of_ssh(&self.endpoint, &said) {
                ProviderError::CredentialsRefused => ProviderError::Permission(format!(
                    "the second room does not let the key of Secret {} in: put the right Secret back, or let the \
                     account be made anew",
                    self.secret
                )),
                error => error,
            },
            _ => failure::of_restic(&self.endpoint, &self.secret, error),
        }
    }
}

/// Whether there is such a process on this host. One that has ended and was not waited for yet is none.
fn is_running(process: impl std::fmt::Display) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{process}/stat"));
    // The name in parentheses may hold anything; the state is behind it.
    let has_ended =
        |stat: &str| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']));
    state.is_ok_and(|stat| !has_ended(&stat))
}

/// Why a tenant's Secret cannot be had, where there must be one.
pub(crate) fn missing(name: &str, error: &SecretError) -> ProviderError {
    match error {
        SecretError::NotFound(_) => ProviderError::NoSight(format!(
            "Secret {name}, which opens the repository, is gone: put it back from your copy, or make it from the escrow key"
        )),
        error => of_secret(name, error),
    }
}

/// What a tenant's Secret holds, and what follows from it.
pub(crate) struct Keys {
    pub(crate) password: Password,
    pub(crate) key: PrivateKey,
}

impl Keys {
    /// Reads a Secret.
    pub(crate) fn read(name: &str, secret: &Secret) -> Result<Self, ProviderError> {
        let entry = |entry: &str| secret.text(entry).map_err(|error| of_secret(name, &error));
        let wrong = |error: &dyn std::fmt::Display| ProviderError::Refused(format!("Secret {name}: {error}"));
        let password = Password::new(entry(PASSWORD)?).map_err(|error| wrong(&error))?;
        let key = private_key(name, secret)?;
        Ok(Self { password, key })
    }

    /// New ones, as they are written into a Secret.
    pub(crate) fn random() -> std::io::Result<BTreeMap<String, Vec<u8>>> {
        Ok(BTreeMap::from([
            (PASSWORD.to_owned(), Password::random()?.expose()?.into_bytes()),
            (KEY.to_owned(), PrivateKey::random()?.expose().as_bytes().to_vec()),
        ]))
    }

    /// The password of another key of the repository. It follows from the first by a hash that leads no way back, so that one
    /// who ends anywhere leaves no key that nobody knows, and the next makes the same.
    pub(crate) fn derived(&self, what: &str) -> std::io::Result<Password> {
        let hash = Sha256::digest(format!("vertskommune {what} 1\0{}", self.password.expose()?));
        Password::new(&hex(&hash))
    }
}

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Until the call has to end, or the process stops.
pub(crate) fn bounds(ctx: &Ctx) -> Bounds {
    Bounds {
        within: ctx.deadline.saturating_duration_since(Instant::now()),
        cancel: ctx.cancel.child_token(),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_that_has_ended_holds_nothing() {
        assert!(is_running(std::process::id()));
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        assert!(is_running(child.id()));
        child.kill().unwrap();
        // It is a zombie until it is waited for.
        while is_running(child.id()) {
            std::thread::yield_now();
        }
        assert!(std::path::Path::new(&format!("/proc/{}", child.id())).exists());
        child.wait().unwrap();
        assert!(!is_running(child.id()));
    }
}
