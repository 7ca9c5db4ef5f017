//! Making a machine anew from a backup, beside the one that was backed up: an import, its disks as a stream, and the way
//! back where it does not become whole.
//!
//! The machine never has the mark of a server, so that no sweep takes it for one. Until it is whole it carries a mark of its
//! own in `extraConfig`. vSphere removes by itself what an import does not complete; what is left all the same is known by
//! that mark, and removed before the next machine is made for the tenant. No other machine is touched.

mod machine;
mod making;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;
use vertskommune_core::observation::Scope;
use vertskommune_provider::{Ctx, Import, Imports, NewServer, ProviderError};
use vsphere_client::{LeaseError, LeaseTimeouts, Mor, Scope as Within, Select};

use crate::Vsphere;
use crate::exports::stopping;
use crate::failure::of_lease;
use crate::index::Index;
use crate::layout::Paths;
use crate::link::Session;
use crate::marks;
use crate::under_way::is_under_way;
use machine::{Ground, Plan};
use making::{Making, RESTORING, Removal};

/// What is read of the machines beside which one is made.
const NEIGHBOUR: &[&str] = &["name", "runtime.powerState", crate::rows::MARK, RESTORING];

impl Imports for Vsphere {
    fn import<'a>(
        &'a self,
        wanted: &'a NewServer,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Box<dyn Import>, ProviderError>> {
        Box::pin(ctx.in_time("the machine was not made in time", self.make(wanted, ctx)))
    }
}

/// Where a tenant's machines are made.
struct Places {
    folder: Mor,
    pool: Mor,
    /// The keys of its port groups by their names.
    networks: BTreeMap<String, String>,
    /// The machines in its folder.
    inside: Vec<Mor>,
}

impl Vsphere {
    async fn make(&self, wanted: &NewServer, ctx: &Ctx) -> Result<Box<dyn Import>, ProviderError> {
        for network in machine::networks(&wanted.configuration) {
            // A look at a tenant alone finds those that were noted. Whose it is, its mark says.
            self.note_portgroup(&wanted.tenant, network);
        }
        let seen = self.look(&Scope::of([wanted.tenant.clone()]), ctx).await?;
        let session = self.link.session(&self.settings, ctx).await?;
        let places = self.places(wanted)?;
        let mark = marks::restore_mark(&self.installation, &wanted.tenant, &wanted.server, &wanted.run);
        let ground = Ground {
            provider: &self.host.name,
            settings: &self.settings,
            switch_uuid: &session.layout.switch_uuid,
            networks: &places.networks,
            capacity: &seen.capacity,
            mark: &mark,
        };
        let plan = Plan::of(wanted, &ground)?;
        self.remove_unfinished(&session, wanted, &places.inside, ctx).await?;
        let path = Paths(&self.settings).server(&wanted.tenant, &wanted.name);
        let there = session.client.find_by_inventory_path(&path).await;
        if there.map_err(|error| session.fail(&error))?.is_some() {
            return Err(ProviderError::Refused(format!("{path} is there already: choose another name")));
        }
        let mut making = Making::new(self, ctx, wanted, mark)?;
        let permit = session.permit(ctx);
        let begun =
            session.client.writer(&*permit).import_vm(&places.pool, &places.folder, &plan.config).await;
        let lease = begun.map_err(|error| session.fail(&error))?;
        let opening = vsphere_client::Import::open(session.client.clone(), lease, LeaseTimeouts::default());
        let lease = tokio::select! {
            lease = opening => lease,
            () = ctx.cancel.cancelled() => return Err(stopping()),
        };
        let lease = lease.map_err(|error| match &error {
            LeaseError::Failed(fault) if &*fault.kind == "DuplicateName" => {
                ProviderError::Refused(format!("{path} is there already: choose another name"))
            }
            error => of_lease(&session.endpoint, error),
        })?;
        let targets = plan.targets(lease.disks());
        making.take(lease, plan.without);
        match targets {
            Ok(targets) => {
                making.targets = targets;
                Ok(Box::new(making))
            }
            Err(error) => {
                if let Err(left) = Box::new(making).close(false).await {
                    tracing::warn!(name = %wanted.name, error = %left, "a machine that was not made whole may be left");
                }
                Err(error)
            }
        }
    }

    /// Where this tenant's machines are, as was just seen.
    fn places(&self, wanted: &NewServer) -> Result<Places, ProviderError> {
        let tenant = &wanted.tenant;
        let found = self.hint(|inventory, ground| {
            let index = Index::of(inventory, ground);
            let (folder, _) = index.folder(tenant)?;
            let (pool, _) = index.pool(tenant)?;
            let networks = index.networks(tenant).iter();
            Some(Places {
                folder: folder.clone(),
                pool: pool.clone(),
                networks: networks.map(|(_, _, row)| (row.name.clone(), row.key.clone())).collect(),
                inside: index.inside(folder).iter().map(|vm| vm.slim.mor.clone()).collect(),
            })
        });
        found.ok_or_else(|| {
            ProviderError::Refused(format!(
                "the folder and the resource pool of {tenant} do not stand yet: they are made by a pass over the tenant, \
                 such as `apply`"
            ))
        })
    }

    /// Removes what restores for this tenant left that did not become whole. There is no other process, by our claim.
    async fn remove_unfinished(
        &self,
        session: &Session,
        wanted: &NewServer,
        inside: &[Mor],
        ctx: &Ctx,
    ) -> Result<(), ProviderError> {
        let mut left = Vec::new();
        let select = [Select { kind: "VirtualMachine", paths: NEIGHBOUR }];
        let read = session.client.retrieve(Within::Objects(inside), &select, 500, |object| {
            let mark = object.text(RESTORING).unwrap_or_default();
            let is_theirs =
                marks::read_restore_mark(&self.installation, mark).as_ref() == Some(&wanted.tenant);
            // One that somebody has adopted or started meanwhile is in use.
            let is_used = object.text(crate::rows::MARK).is_some_and(|mark| !mark.is_empty())
                || object.text("runtime.powerState") != Some("poweredOff");
            if is_theirs && !is_used && !is_under_way(&self.host.identity, mark) {
                left.push((
                    object.mor.clone(),
                    object.text("name").unwrap_or_default().to_owned(),
                    mark.to_owned(),
                ));
            }
        });
        read.await.map_err(|error| session.fail(&error))?;
        for (vm, name, mark) in left {
            let permit = session.permit(ctx);
            Removal { session, permit: &*permit, vm: &vm, mark: &mark, not_before: Duration::ZERO }.carry_out().await.map_err(|error| match error {
                ProviderError::Conflict(why) => ProviderError::Conflict(format!(
                    "{name}, which a restore has left, is still held; vSphere lets go of it within minutes: {why}"
                )),
                error => error,
            })?;
            tracing::info!(%name, "a machine that a restore has left was removed");
        }
        Ok(())
    }
}
