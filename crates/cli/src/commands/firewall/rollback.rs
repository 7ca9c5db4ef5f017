//! `vertskommune firewall rollback`: one tenant's part of the firewall as a configuration revision has it.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{bail, ensure};
use clap::Args;
use vertskommune_provider::context::{Always, Never};
use vertskommune_provider::{Permit, Record};

use super::{Compared, Kept, Whose};
use crate::arguments::Global;
use crate::carrying_out::{Writer, show};
use crate::commands::plan;
use crate::exit::Exit;
use crate::output;

/// How many things a refusal names.
const NAMED: usize = 5;

/// Brings one tenant's rules and objects back to where a configuration revision of the firewall has them
///
/// Shows the plan, and carries it out as `apply` does: what others have stays as it is. Without --to it is the newest
/// revision in which this tenant's part is another than now; since a revision is saved before a rollback too, a second
/// one takes back the first. What it was stopped in, a run with --to takes up.
///
/// The controller converges a tenant to its manifest again. So this is refused unless the manifest says
/// `spec.suspend: true`; afterwards, revert the manifest before you let the controller go on.
#[derive(Args)]
pub(super) struct Rollback {
    #[command(flatten)]
    whose: Whose,
    /// The revision, by its id as `firewall revisions` shows it
    #[arg(long, value_name = "ID")]
    to: Option<String>,
    /// Show the plan and change nothing; ends as `plan` does
    #[arg(long)]
    dry_run: bool,
    /// Roll back although the manifest is not suspended, so that a controller undoes it with its next pass
    #[arg(long)]
    although_not_suspended: bool,
    /// Remove everything that the tenant has on the firewall where the revision is from before it was there
    #[arg(long, requires = "to")]
    remove_all: bool,
    #[command(flatten)]
    writer: Writer,
}

impl Rollback {
    pub(super) async fn roll_back(&self, global: &Global) -> anyhow::Result<Exit> {
        let permit: Arc<dyn Permit> = if self.dry_run { Arc::new(Never) } else { Arc::new(Always) };
        let mut kept = self.whose.look(permit).await?;
        let (tenant, provider) = (kept.tenant.clone(), kept.provider.clone());
        ensure!(
            kept.suspended || self.although_not_suspended || self.dry_run,
            "{tenant} is not suspended: the controller would converge it to its manifest again. Set spec.suspend: \
             true, or name --although-not-suspended"
        );
        ensure!(!kept.records.is_empty(), "{provider} keeps no revision: there is nothing to roll back to");
        let Some((record, compared)) = self.target(&mut kept).await? else {
            output::note(format_args!("nothing to roll back: {tenant} is as in all revisions of {provider}"));
            return Ok(Exit::Success);
        };
        let Record { id, saved_at, by, comment } = &record;
        output::note(format_args!("{tenant} as in revision {id} of {saved_at:.0} by {by}: {comment}"));
        if !compared.has_any && compared.differs() && !self.remove_all {
            bail!(before_tenant(&kept, &record, &compared));
        }
        show(std::slice::from_ref(&compared.plan), global)?;
        if self.dry_run {
            return Ok(plan::exit(&[compared.plan], &[]));
        }
        let tenants = BTreeSet::from([tenant.clone()]);
        let exit = self.writer.carry_out(&kept.embedded, tenants, None, global).await?;
        if exit != Exit::Success {
            // By now the newest revision is from before this rollback.
            output::note(format_args!("to go on, name the revision: --to {id}"));
        } else if kept.suspended {
            output::note(format_args!(
                "{tenant} stays so while it is suspended: revert its manifest before you end that"
            ));
        } else {
            output::note(format_args!(
                "{tenant} is not suspended: the controller converges it to its manifest again, unless that is reverted"
            ));
        }
        Ok(exit)
    }

    /// The revision that is named, or the newest that has the tenant otherwise than it is. One that cannot be read is
    /// not passed over: it may be the one that is meant.
    async fn target(&self, kept: &mut Kept) -> anyhow::Result<Option<(Record, Compared)>> {
        if let Some(id) = &self.to {
            let Some(record) = kept.records.iter().find(|record| record.id == *id).cloned() else {
                let known: Vec<_> = kept.records.iter().map(|record| record.id.as_str()).collect();
                bail!("{} keeps no revision {id}: there is {}", kept.provider, known.join(", "));
            };
            let compared = kept.compare(id).await?;
            return Ok(Some((record, compared)));
        }
        for record in kept.records.clone() {
            let compared = kept.compare(&record.id).await?;
            if compared.differs() {
                return Ok(Some((record, compared)));
            }
        }
        Ok(None)
    }
}

/// What would go, and what to write where that is meant.
fn before_tenant(kept: &Kept, record: &Record, compared: &Compared) -> String {
    let steps = &compared.plan.steps;
    let named = steps.iter().take(NAMED).map(|planned| planned.step.resource.key.to_string());
    let named: Vec<String> = named.collect();
    let others = match steps.len().saturating_sub(NAMED) {
        0 => String::new(),
        others => format!(" and {others} more"),
    };
    format!(
        "revision {id} is from before {tenant} was on {provider}: all that it has there would go, {named}{others}. If \
         that is meant, write --to {id} --remove-all",
        id = record.id,
        tenant = kept.tenant,
        provider = kept.provider,
        named = named.join(", "),
    )
}
