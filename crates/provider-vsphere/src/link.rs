//! The connection to the vCenter that the `HostProvider` pins: one session, its places, and the way to write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use vertskommune_core::host::Host;
use vertskommune_provider::secrets::{SecretError, of_secret};
use vertskommune_provider::{Ctx, ProviderError};
use vsphere_client::{Client, Config, Credentials, Error, FaultClass, Mor, Permit, Secret, TaskInfo};

use crate::failure::provider_error;
use crate::layout::Layout;
use crate::settings::Settings;

/// How long one call may take.
const CALL: Duration = Duration::from_secs(60);

/// The connection to one vCenter, made when it is first needed.
pub(crate) struct Link {
    host: Host,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    client: Option<Arc<Client>>,
    secret_version: String,
    session: Option<Arc<Session>>,
}

/// One session of a vCenter whose identity was checked.
pub(crate) struct Session {
    pub(crate) client: Arc<Client>,
    pub(crate) endpoint: String,
    pub(crate) generation: u64,
    pub(crate) version: String,
    pub(crate) layout: Layout,
    fields: SyncMutex<BTreeMap<String, i32>>,
    /// The recent tasks that have ended. One that has ended stays so, and need not be read again.
    ended: SyncMutex<BTreeSet<Mor>>,
}

impl Link {
    pub(crate) fn new(host: Host) -> Self {
        Self { host, state: Mutex::default() }
    }

    /// The session, opened and checked if there is none. A secret of another version is taken up.
    pub(crate) async fn session(
        &self,
        settings: &Settings,
        ctx: &Ctx,
    ) -> Result<Arc<Session>, ProviderError> {
        let mut state = self.state.lock().await;
        let client = self.client(&mut state, ctx).await?;
        // Answered from memory while the session lives.
        let about = client.about().await.map_err(|error| self.fail(&error))?;
        if about.instance_uuid != self.host.identity {
            state.session = None;
            return Err(ProviderError::Misidentified {
                expected: self.host.identity.clone(),
                found: about.instance_uuid,
            });
        }
        let generation = client.generation();
        if let Some(session) = state.session.as_ref().filter(|session| session.generation == generation) {
            return Ok(session.clone());
        }
        state.session = None;
        let layout = Layout::find(&client, settings, &self.host.endpoint).await?;
        let fields = read_fields(&client).await.map_err(|error| self.fail(&error))?;
        let session = Arc::new(Session {
            endpoint: self.host.endpoint.clone(),
            generation,
            version: about.version,
            layout,
            fields: SyncMutex::new(fields),
            ended: SyncMutex::default(),
            client,
        });
        state.session = Some(session.clone());
        Ok(session)
    }

    /// Looks for the places anew at the next call: one of them is gone or another was named.
    pub(crate) async fn forget_session(&self) {
        self.state.lock().await.session = None;
    }

    async fn client(&self, state: &mut State, ctx: &Ctx) -> Result<Arc<Client>, ProviderError> {
        let name = self.host.credentials.as_deref().unwrap_or_default();
        let secret = match (ctx.secrets.get(name).await, &state.client) {
            // What we came in with is as good as it was, and without it we would be blind for as long.
            (Err(SecretError::Store(_)), Some(client)) => return Ok(client.clone()),
            (secret, _) => secret.map_err(|error| of_secret(name, &error))?,
        };
        let entry = |entry| secret.text(entry).map_err(|error| of_secret(name, &error));
        let credentials =
            Credentials { user: entry("username")?.to_owned(), password: Secret::new(entry("password")?) };
        if let Some(client) = &state.client {
            if state.secret_version != secret.version {
                client.set_credentials(credentials).await;
                state.secret_version.clone_from(&secret.version);
            }
            return Ok(client.clone());
        }
        let ca = self.host.ca.clone().unwrap_or_default().into_bytes();
        let mut config = Config::new(self.host.endpoint.as_str(), credentials.user, credentials.password, ca);
        config.max_in_flight = usize::try_from(self.host.budget.concurrency).unwrap_or(1).max(1);
        config.requests_per_second = self.host.budget.requests_per_second.max(1);
        config.timeouts.call = CALL;
        let client = Arc::new(Client::new(config).map_err(|error| self.fail(&error))?);
        state.client = Some(client.clone());
        state.secret_version.clone_from(&secret.version);
        Ok(client)
    }

    fn fail(&self, error: &Error) -> ProviderError {
        provider_error(&self.host.endpoint, error)
    }
}

impl Session {
    /// What every write asks immediately before it is sent: whether we may still write, and whether this is still the
    /// session in which the vCenter's identity was checked. A login in between may have met another vCenter.
    pub(crate) fn permit(&self, ctx: &Ctx) -> Box<Permit> {
        let (client, generation, ctx) = (self.client.clone(), self.generation, ctx.clone());
        Box::new(move || {
            if client.generation() != generation {
                return Err("the session was renewed, and whose it is has to be checked first".to_owned());
            }
            ctx.permit().map_err(|error| error.to_string())
        })
    }

    /// The same for what only ends and removes what was begun. A process that is told to stop does that before it does.
    pub(crate) fn permit_to_end(&self, ctx: &Ctx) -> Box<Permit> {
        self.permit(&Ctx { cancel: CancellationToken::new(), ..ctx.clone() })
    }

    /// Whether a login since then has made another of it.
    pub(crate) fn is_over(&self) -> bool {
        self.client.generation() != self.generation
    }

    /// The error, in the words of the contract.
    pub(crate) fn fail(&self, error: &Error) -> ProviderError {
        provider_error(&self.endpoint, error)
    }

    /// Reads these tasks, but for those of `recent` that are known to have ended.
    pub(crate) async fn tasks(&self, recent: &[Mor], ours: &[Mor]) -> Result<BTreeMap<Mor, TaskInfo>, Error> {
        let recent: BTreeSet<&Mor> = recent.iter().collect();
        let asked: BTreeSet<&Mor> = {
            let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            ended.retain(|task| recent.contains(task));
            recent.iter().copied().filter(|task| !ended.contains(*task)).chain(ours).collect()
        };
        let asked: Vec<Mor> = asked.into_iter().cloned().collect();
        let tasks = self.client.tasks(&asked).await?;
        let ended = tasks.iter().filter(|(task, info)| info.state.is_final() && recent.contains(task));
        let ended = ended.map(|(task, _)| task.clone());
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).extend(ended);
        Ok(tasks)
    }

    /// The key of a custom field by its name.
    pub(crate) fn field(&self, name: &str) -> Option<i32> {
        self.fields.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    /// The names of custom fields by their keys.
    pub(crate) fn field_names(&self) -> BTreeMap<i32, String> {
        let fields = self.fields.lock().unwrap_or_else(PoisonError::into_inner);
        fields.iter().map(|(name, key)| (*key, name.clone())).collect()
    }

    /// Reads the custom fields that are defined.
    pub(crate) async fn refresh_fields(&self) -> Result<(), Error> {
        let fields = read_fields(&self.client).await?;
        *self.fields.lock().unwrap_or_else(PoisonError::into_inner) = fields;
        Ok(())
    }

    /// The key of a custom field of folders, which is defined if it is not yet.
    pub(crate) async fn field_or_define(&self, name: &str, permit: &Permit) -> Result<i32, Error> {
        if let Some(key) = self.field(name) {
            return Ok(key);
        }
        // Another process, or a call before whose answer was lost, may have defined it.
        self.refresh_fields().await?;
        if let Some(key) = self.field(name) {
            return Ok(key);
        }
        let field = match self.client.writer(permit).add_field(name, Some("Folder")).await {
            // Another call was faster.
            Err(Error::Fault(fault)) if fault.class() == FaultClass::Duplicate => {
                self.refresh_fields().await?;
                return self.field(name).ok_or(Error::Fault(fault));
            }
            field => field?,
        };
        self.fields.lock().unwrap_or_else(PoisonError::into_inner).insert(field.name, field.key);
        Ok(field.key)
    }
}

async fn read_fields(client: &Client) -> Result<BTreeMap<String, i32>, Error> {
    let fields = client.custom_fields().await?;
    let of_folders =
        fields.into_iter().filter(|field| field.kind.as_deref().is_none_or(|kind| kind == "Folder"));
    Ok(of_folders.map(|field| (field.name, field.key)).collect())
}
