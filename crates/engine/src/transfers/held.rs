//! What has to stand before bytes are moved for a tenant, and why nothing is begun where it does not.

use std::sync::Arc;

use vertskommune_core::backup;
use vertskommune_core::domain::Inputs;
use vertskommune_core::host::Mode;
use vertskommune_core::names::{Kind, ProviderName, ResourceKey, TenantName};
use vertskommune_core::observation::{Blindness, Seen};
use vertskommune_core::tenant::ValidatedTenant;
use vertskommune_core::transfer::{Transfer, Work};

use crate::endpoint::Endpoint;
use crate::{Engine, World};

/// Why nothing is begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Held {
    /// There is no such tenant, or its manifest is refused.
    #[error("there is no tenant {0} whose manifest is right")]
    NoTenant(TenantName),
    /// The manifest is being deleted.
    #[error("the manifest of {0} is being deleted")]
    Leaving(TenantName),
    /// Nothing is to be done for the tenant.
    #[error("{0} is suspended: set spec.suspend to false")]
    Suspended(TenantName),
    /// The manifest asks for no backup.
    #[error("the manifest of {0} asks for no backup: give it spec.backup")]
    NoBackup(TenantName),
    /// We do not take its backups.
    #[error("the backups of {tenant} are taken by another product, as its job {job}: start it there")]
    External {
        /// The tenant.
        tenant: TenantName,
        /// The job's name there.
        job: String,
    },
    /// The backups would lie where they are of no use.
    #[error("{0}")]
    Refused(String),
    /// An endpoint is not there.
    #[error("there is no HostProvider {0} that can be used: see what is wrong with it")]
    NoProvider(ProviderName),
    /// An endpoint is only looked at.
    #[error("{0} is only observed: set its mode to Manage")]
    ObserveOnly(ProviderName),
    /// An endpoint takes no backups, or gives out no disks.
    #[error("{0} has no plugin that {1}")]
    NotOffered(ProviderName, &'static str),
    /// What stands in an endpoint is unknown.
    #[error("{provider} is not seen: {why}")]
    Unseen {
        /// The endpoint.
        provider: ProviderName,
        /// Why.
        why: Blindness,
    },
    /// What a backup is written into is not made yet.
    #[error("{what} does not stand on {provider} yet: it is made by a pass over the tenant, such as `apply`")]
    NotYet {
        /// The endpoint.
        provider: ProviderName,
        /// What is missing.
        what: ResourceKey,
    },
    /// The manifest names nothing that runs servers.
    #[error("the manifest of {0} does not say where its servers run: give it spec.compute")]
    NoCompute(TenantName),
    /// The name is one of the manifest's servers.
    #[error("{0} is a server of the manifest: choose another name")]
    NameTaken(String),
    /// The server is not in the manifest, or not backed up by it.
    #[error("the manifest has no server {0} that is backed up")]
    NoServer(String),
}

impl Held {
    /// Whether a person has ordered it, so that what runs is ended as well.
    pub(super) fn is_order(&self) -> bool {
        match self {
            Self::NoTenant(_)
            | Self::Leaving(_)
            | Self::Suspended(_)
            | Self::NoBackup(_)
            | Self::External { .. }
            | Self::NoProvider(_)
            | Self::ObserveOnly(_)
            | Self::NoCompute(_)
            | Self::NameTaken(_)
            | Self::NoServer(_) => true,
            Self::Refused(_) | Self::NotOffered(..) | Self::Unseen { .. } | Self::NotYet { .. } => false,
        }
    }
}

/// The manifest of a tenant for which something may be done.
fn active<'a>(world: &'a World, name: &TenantName) -> Result<&'a ValidatedTenant, Held> {
    let tenant = world.tenant(name).ok_or_else(|| Held::NoTenant(name.clone()))?;
    if world.is_leaving(name) {
        return Err(Held::Leaving(name.clone()));
    }
    if tenant.suspend {
        return Err(Held::Suspended(name.clone()));
    }
    Ok(tenant)
}

/// What the work for one tenant stands on.
pub(super) struct Ground<'a> {
    pub(super) tenant: &'a ValidatedTenant,
    /// Where its backups lie.
    pub(super) room: Arc<Endpoint>,
    /// Where its servers run; only a backup needs it.
    servers: Result<Arc<Endpoint>, Held>,
}

impl Engine {
    /// Where the backups of this tenant lie, unless nothing is to be done for it at all.
    pub(super) fn room<'a>(
        &self,
        world: &'a World,
        name: &TenantName,
    ) -> Result<(&'a ValidatedTenant, Arc<Endpoint>), Held> {
        let tenant = active(world, name)?;
        let backup = tenant.backup.as_ref().ok_or_else(|| Held::NoBackup(name.clone()))?;
        if let backup::Mode::External { job } = &backup.mode {
            return Err(Held::External { tenant: name.clone(), job: job.clone() });
        }
        let room = self.manages(&backup.provider)?;
        if room.provider.transfers().is_none() {
            return Err(Held::NotOffered(backup.provider.clone(), "takes backups"));
        }
        Ok((tenant, room))
    }

    /// What the work for this tenant stands on.
    pub(super) fn ground<'a>(&self, world: &'a World, name: &TenantName) -> Result<Ground<'a>, Held> {
        let (tenant, room) = self.room(world, name)?;
        // What is wrong elsewhere in a manifest is no reason to leave its servers without a backup.
        let mut findings = world.check(tenant, &self.observations()).into_iter();
        if let Some(found) = findings.find(|it| it.blocks && it.field.starts_with("spec.backup")) {
            return Err(Held::Refused(found.to_string()));
        }
        self.stands(tenant, &room)?;
        let servers = match &tenant.compute {
            Some(compute) => self.gives_out(&compute.provider),
            None => Err(Held::NoCompute(name.clone())),
        };
        Ok(Ground { tenant, room, servers })
    }

    /// Where a new server of this name is made for a tenant.
    pub(super) fn landing(
        &self,
        world: &World,
        tenant: &TenantName,
        name: &str,
    ) -> Result<Arc<Endpoint>, Held> {
        let tenant = active(world, tenant)?;
        if tenant.servers.iter().any(|server| server.name == name) {
            return Err(Held::NameTaken(name.to_owned()));
        }
        let compute = tenant.compute.as_ref().ok_or_else(|| Held::NoCompute(tenant.name.clone()))?;
        let endpoint = self.manages(&compute.provider)?;
        match endpoint.provider.imports() {
            Some(_) => Ok(endpoint),
            None => Err(Held::NotOffered(compute.provider.clone(), "makes servers from a backup")),
        }
    }

    /// An endpoint that we may write to.
    fn manages(&self, provider: &ProviderName) -> Result<Arc<Endpoint>, Held> {
        let endpoint = self.endpoint(provider).ok_or_else(|| Held::NoProvider(provider.clone()))?;
        match endpoint.host().mode {
            Mode::Manage => Ok(endpoint),
            Mode::Observe => Err(Held::ObserveOnly(provider.clone())),
        }
    }

    fn gives_out(&self, provider: &ProviderName) -> Result<Arc<Endpoint>, Held> {
        // A backup makes a snapshot, which is a write.
        let endpoint = self.manages(provider)?;
        match endpoint.provider.exports() {
            Some(_) => Ok(endpoint),
            None => Err(Held::NotOffered(provider.clone(), "gives out disks")),
        }
    }

    /// Whether all stands there that a backup is written into.
    fn stands(&self, tenant: &ValidatedTenant, room: &Endpoint) -> Result<(), Held> {
        let (provider, seen) = (&room.host().name, room.observation());
        // What was never seen would look as if there were no backup at all.
        if let Some(why) = seen.coverage.gap(&tenant.name, &Kind::from("backup")) {
            return Err(Held::Unseen { provider: provider.clone(), why: why.clone() });
        }
        let inputs = Inputs { installation: self.settings.installation.clone(), tenant: tenant.clone() };
        let wanted = room.provider.expand(&inputs).map_err(|violations| {
            Held::Refused(violations.first().map(ToString::to_string).unwrap_or_default())
        })?;
        let things = seen.seen.get(&tenant.name);
        let is_there = |key: &ResourceKey| {
            things.and_then(|things| things.get(key)).is_some_and(|it| matches!(it, Seen::Present(_)))
        };
        match wanted.into_iter().find(|resource| !is_there(&resource.id.key)) {
            Some(missing) => Err(Held::NotYet { provider: provider.clone(), what: missing.id.key }),
            None => Ok(()),
        }
    }
}

impl Ground<'_> {
    /// What this piece of work needs besides the room; nothing may be begun where that is not there.
    pub(super) fn servers_for(&self, transfer: &Transfer) -> Result<Option<Arc<Endpoint>>, Held> {
        if transfer.work != Work::Backup {
            return Ok(None);
        }
        let missing = || Held::NoServer(transfer.server.clone());
        let backup = self.tenant.backup.as_ref().ok_or_else(missing)?;
        let server = self.tenant.servers.iter().find(|server| server.name == transfer.server);
        server.filter(|server| backup.selection.covers(server)).ok_or_else(missing)?;
        let servers = self.servers.clone()?;
        let key = ResourceKey::new("server", transfer.server.as_str());
        let seen = servers.observation();
        if let Some(why) = seen.coverage.gap(&self.tenant.name, &key.kind) {
            return Err(Held::Unseen { provider: servers.host().name.clone(), why: why.clone() });
        }
        let things = seen.seen.get(&self.tenant.name);
        match things.and_then(|things| things.get(&key)) {
            Some(Seen::Present(_)) => Ok(Some(servers)),
            // One that is not made yet, or lost, has nothing to be backed up.
            _ => Err(Held::NotYet { provider: servers.host().name.clone(), what: key }),
        }
    }
}
