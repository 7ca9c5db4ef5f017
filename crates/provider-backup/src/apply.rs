//! Carrying out steps: each looks at what it is about, does exactly what it says, and may be done again from wherever it
//! ended. Nothing here removes what a municipality has put there.

use restic::escrow::{self, Recipient};
use restic::{Error as ResticError, Repository};
use second_room::AuthorizedKey;
use second_room::protocol::{AccountState, Ask, REPOSITORY as PATH};
use serde_json::{Value as Json, json};
use ssh_session::{Files, Session};
use vertskommune_core::names::TenantName;
use vertskommune_core::resource::Value;
use vertskommune_core::step::Step;
use vertskommune_provider::secrets::of_secret;
use vertskommune_provider::{Applied, Ctx, Left, ProviderError};
use vertskommune_provider_ssh::off_the_runtime;

use crate::SecondRoom;
use crate::observe::had_a_repository;
use crate::policy;
use crate::room::{label, limits, secret_name};
use crate::schema::{ACCOUNT, REPOSITORY, field};
use crate::steps::operation;
use crate::vault::{Keys, Vault, bounds};

/// The sealed keys beside a repository: what they are for, the file, and the field that says for whom.
const ESCROW: Beside = Beside { what: "escrow", file: "escrow.age" };
const KEEPER: Beside = Beside { what: "keeper", file: "keeper.age" };

struct Beside {
    what: &'static str,
    file: &'static str,
}

/// Why a step was not carried out.
pub(crate) enum Stop {
    /// What it expects is not there.
    NotSent(String),
    /// Something failed.
    Failed(ProviderError),
}

impl From<ProviderError> for Stop {
    fn from(error: ProviderError) -> Self {
        Self::Failed(error)
    }
}

impl SecondRoom {
    /// Carries out one step.
    pub(crate) async fn carry_out_step(&self, step: &Step, ctx: &Ctx) -> Applied {
        let late = |_| Err(Stop::Failed(ProviderError::Timeout("the step did not end in time".to_owned())));
        let ended = tokio::time::timeout_at(ctx.deadline, self.step(step, ctx)).await.unwrap_or_else(late);
        let applied = match ended {
            Ok(()) => Applied::Done,
            Err(Stop::NotSent(why) | Stop::Failed(ProviderError::NotPermitted(why))) => Applied::NotSent(why),
            Err(Stop::Failed(error)) if error.left() == Left::Unknown => Applied::Unknown(error.to_string()),
            Err(Stop::Failed(error)) => Applied::Failed(error),
        };
        tracing::debug!(step = %step.id(), operation = %step.operation, ?applied, "carried out");
        applied
    }

    async fn step(&self, step: &Step, ctx: &Ctx) -> Result<(), Stop> {
        let tenant = &step.resource.tenant;
        let state = self.state_of(tenant, ctx).await?;
        match (step.resource.key.kind.as_str(), step.operation.as_str()) {
            (ACCOUNT, operation::CREATE) => self.account(step, state.as_ref(), ctx).await,
            (ACCOUNT, operation::SET) => {
                let state = state.ok_or_else(|| gone("account"))?;
                let fits = self.fits(tenant, &state, ctx).await?;
                expect(step, field::QUOTA, &state.limit_bytes.map_or(Json::Null, Json::from))?;
                expect(
                    step,
                    field::KEY,
                    &json!(if fits { crate::schema::OF_SECRET } else { crate::schema::ANOTHER }),
                )?;
                self.account(step, Some(&state), ctx).await
            }
            (REPOSITORY, operation::CREATE) => {
                let state = state.filter(|state| state.complete).ok_or_else(|| gone("account"))?;
                self.repository(step, &state, ctx).await
            }
            (REPOSITORY, operation::ADD_KEY) => {
                let state = state.filter(|state| state.repository).ok_or_else(|| gone("repository"))?;
                expect(step, field::ESCROW, &json!(state.escrow))?;
                expect(step, field::KEEPER, &json!(state.keeper_key))?;
                let vault = self.open_for_work(tenant, ctx).await?;
                self.keys(step, &vault, &state, ctx).await
            }
            (REPOSITORY, operation::SET_POLICY | operation::LEAVE | operation::COME_BACK) => {
                let state = state.ok_or_else(|| gone("account"))?;
                let there = state.policy.as_ref().map(policy::fields).unwrap_or_default();
                for (name, expected) in &step.expects {
                    let is = there.iter().find(|(it, _)| it == name).map_or(&Json::Null, |(_, value)| value);
                    if is != expected {
                        return Err(Stop::NotSent(format!("{name} is {is} and not {expected} any more")));
                    }
                }
                self.policy(step, step.operation == operation::LEAVE, ctx).await
            }
            (kind, operation) => {
                Err(ProviderError::Refused(format!("this plugin has no step {operation} for {kind}")).into())
            }
        }
    }

    async fn state_of(&self, tenant: &TenantName, ctx: &Ctx) -> Result<Option<AccountState>, ProviderError> {
        let accounts = self.room.list(ctx).await?;
        Ok(accounts.into_iter().find(|state| state.tenant.as_str() == tenant.as_str()))
    }

    /// The Secret first, then the account that is let in with it.
    async fn account(&self, step: &Step, state: Option<&AccountState>, ctx: &Ctx) -> Result<(), Stop> {
        let tenant = &step.resource.tenant;
        let name = secret_name(tenant);
        let secret = match ctx.secrets.get(&name).await {
            Err(vertskommune_provider::secrets::SecretError::NotFound(_)) => {
                if state.is_some_and(|state| state.repository || had_a_repository(state)) {
                    // A new password would open nothing of what lies there.
                    let why = vertskommune_provider::secrets::SecretError::NotFound(name.clone());
                    return Err(crate::vault::missing(&name, &why).into());
                }
                let entries = Keys::random().map_err(|error| {
                    ProviderError::Refused(format!("no random numbers are to be had: {error}"))
                })?;
                ctx.permit()?;
                ctx.secrets.create(&name, tenant, entries).await
            }
            found => found,
        };
        let secret = secret.map_err(|error| of_secret(&name, &error))?;
        let keys = Keys::read(&name, &secret)?;
        let public = keys.key.public().and_then(|key| AuthorizedKey::parse(&key).ok());
        let public = public.ok_or_else(|| {
            ProviderError::Refused(format!(
                "Secret {name}: its key is none of OpenSSH's form and kind Ed25519"
            ))
        })?;
        let quota_bytes = known(step, field::QUOTA).and_then(Json::as_u64);
        let ask = Ask::EnsureAccount { tenant: label(tenant.as_str())?, keys: vec![public], quota_bytes };
        ctx.permit()?;
        self.room.ensure(ask, ctx).await?;
        Ok(())
    }

    /// A repository from nothing, or from wherever an earlier call ended.
    async fn repository(&self, step: &Step, state: &AccountState, ctx: &Ctx) -> Result<(), Stop> {
        let tenant = &step.resource.tenant;
        let vault = self.open(tenant, ctx).await?;
        if !state.repository {
            if had_a_repository(state) {
                let why = "there was a repository, and what is left of it is no place for a new one";
                return Err(Stop::NotSent(why.to_owned()));
            }
            self.clear_half_made(&vault, state, ctx).await?;
            ctx.permit()?;
            match vault.repository.init(&bounds(ctx)).await {
                Ok(()) | Err(ResticError::AlreadyThere) => {}
                Err(error) => return Err(vault.error(&error).into()),
            }
        }
        self.keys(step, &vault, state, ctx).await?;
        self.policy(step, false, ctx).await
    }

    /// Who died while a repository was made may have left a key without the configuration that comes last. restic would try
    /// it first, and find that it opens nothing.
    async fn clear_half_made(&self, vault: &Vault, state: &AccountState, ctx: &Ctx) -> Result<(), Stop> {
        let left = self.in_folder(vault, state, ctx, |files| {
            let keys = files.names(&format!("{PATH}/keys"))?;
            if keys.is_empty() {
                return Ok((keys, false));
            }
            let mut holds_data = files.names(PATH)?.iter().any(|name| name == "config");
            for folder in ["snapshots", "index"] {
                holds_data |= !files.names(&format!("{PATH}/{folder}"))?.is_empty();
            }
            for folder in files.names(&format!("{PATH}/data"))? {
                holds_data |= !files.names(&format!("{PATH}/data/{folder}"))?.is_empty();
            }
            Ok((keys, holds_data))
        });
        let (keys, holds_data) = left.await?;
        if holds_data {
            let why = "a repository without its configuration holds data: let the keeper put it back, or look at it yourself";
            return Err(Stop::NotSent(why.to_owned()));
        }
        if keys.is_empty() {
            return Ok(());
        }
        ctx.permit()?;
        let removed = self.in_folder(vault, state, ctx, move |files| {
            keys.iter().try_for_each(|key| files.remove(&format!("{PATH}/keys/{key}")))
        });
        Ok(removed.await?)
    }

    /// The sealed keys that the step names, each added to the repository before its seal is laid beside it: a seal that is
    /// there opens something.
    async fn keys(&self, step: &Step, vault: &Vault, state: &AccountState, ctx: &Ctx) -> Result<(), Stop> {
        for (beside, recipient, there) in [
            (ESCROW, field::ESCROW_RECIPIENT, state.escrow),
            (KEEPER, field::KEEPER_RECIPIENT, state.keeper_key),
        ] {
            let Some(recipient) = known(step, recipient).and_then(Json::as_str) else { continue };
            if there {
                continue;
            }
            let recipient: Recipient =
                recipient.parse().map_err(|error: ResticError| ProviderError::Refused(error.to_string()))?;
            self.add_sealed(&beside, &recipient, vault, state, ctx).await?;
        }
        Ok(())
    }

    async fn add_sealed(
        &self,
        beside: &Beside,
        recipient: &Recipient,
        vault: &Vault,
        state: &AccountState,
        ctx: &Ctx,
    ) -> Result<(), Stop> {
        let repository: &Repository = &vault.repository;
        let derived = vault.keys.derived(beside.what);
        let password = derived.map_err(|error| ProviderError::Refused(error.to_string()))?;
        ctx.permit()?;
        repository.add_key(&password, &bounds(ctx)).await.map_err(|error| vault.error(&error))?;
        let sealed = escrow::seal(&self.settings.age, &password, recipient, &bounds(ctx)).await;
        let sealed = sealed.map_err(|error| ProviderError::Refused(format!("age: {error}")))?;
        let file = beside.file;
        ctx.permit()?;
        let laid = self.in_folder(vault, state, ctx, move |files| {
            // Another may have laid it there since it was looked at; it opens the same.
            if files.names(PATH)?.iter().any(|name| name == file) {
                return Ok(());
            }
            files.put(&format!("{PATH}/{file}"), &sealed)
        });
        Ok(laid.await?)
    }

    /// Does something in the tenant's folder, by SFTP, as its account.
    async fn in_folder<T: Send + 'static>(
        &self,
        vault: &Vault,
        state: &AccountState,
        ctx: &Ctx,
        work: impl FnOnce(&mut Files) -> Result<T, ssh_session::Error> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let (target, key) = (self.room.target(&state.account), vault.keys.key.clone());
        off_the_runtime(ctx, &self.room.endpoint, move |cancel| {
            work(&mut Session::open(&target, &key, limits(), cancel)?.files()?)
        })
        .await
    }

    async fn policy(&self, step: &Step, left: bool, ctx: &Ctx) -> Result<(), Stop> {
        let policy = policy::read(|name| known(step, name));
        let policy = policy.ok_or_else(|| ProviderError::Refused("the step's policy is none".to_owned()))?;
        let ask = Ask::SetPolicy {
            tenant: label(step.resource.tenant.as_str())?,
            retention: policy.retention,
            time_zone: policy.time_zone,
            keep_after_exit: policy.keep_after_exit,
            left,
        };
        ctx.permit()?;
        self.room.set_policy(ask, ctx).await?;
        Ok(())
    }
}

fn gone(what: &str) -> Stop {
    Stop::NotSent(format!("the {what} is not there any more"))
}

fn known<'a>(step: &'a Step, name: &str) -> Option<&'a Json> {
    step.fields.get(name).and_then(Value::as_known)
}

/// What the step expects of this field, where it expects anything.
fn expect(step: &Step, name: &str, is: &Json) -> Result<(), Stop> {
    match step.expects.get(name) {
        Some(expected) if expected != is => {
            Err(Stop::NotSent(format!("{name} is {is} and not {expected} any more")))
        }
        _ => Ok(()),
    }
}
