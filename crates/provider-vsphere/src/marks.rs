//! The names and marks that our things carry in vCenter, and how they are read back.

use std::collections::BTreeMap;

use vertskommune_core::names::{Installation, Mark, ResourceId, ResourceKey, TenantName};
use vertskommune_core::tenant::ValidatedTenant;

/// Kinds.
pub(crate) const FOLDER: &str = "folder";
/// Kinds.
pub(crate) const POOL: &str = "pool";
/// Kinds.
pub(crate) const NETWORK: &str = "network";
/// Kinds.
pub(crate) const ANTI_AFFINITY: &str = "anti-affinity";
/// Kinds.
pub(crate) const SERVER: &str = "server";

/// The output by which others refer to a thing: the port group's key, and the reference of anything else.
pub(crate) const REF: &str = "ref";

/// Keys of `extraConfig`.
pub(crate) mod keys {
    /// The mark of a VM.
    pub(crate) const MARK: &str = "vertskommune.mark";
    /// The sizes that we gave last, as JSON.
    pub(crate) const APPLIED: &str = "vertskommune.applied";
    /// The manifest's names of disks, as JSON.
    pub(crate) const DISKS: &str = "vertskommune.disks";
    /// When the VM was retired.
    pub(crate) const RETIRED: &str = "vertskommune.retired";
    /// A restart or shutdown of ours that is under way.
    pub(crate) const RESTARTING: &str = "vertskommune.restarting";
    /// The mark of a machine that is restored, for as long as it is not whole. It is nobody's otherwise: it has no
    /// [`MARK`], neither then nor later.
    pub(crate) const RESTORING: &str = "vertskommune.restoring";
}

/// The custom field of the root folder that holds our claim.
pub(crate) const CLAIM_FIELD: &str = "vertskommune.claim";

/// The custom fields of a tenant's folder that say which servers were born; see [`crate::born`].
pub(crate) const BORN_FIELD: &str = "vertskommune.born.";

/// The first part of every name of a rule of ours.
const RULES: &str = "vertskommune";

/// How the description of a snapshot begins that a backup takes.
const BACKUP: &str = "vertskommune backup ";

/// How the mark of a machine begins that is restored.
const RESTORE: &str = "vertskommune restore ";

/// Fixed for all time: the instance UUIDs of all servers follow from it.
const NAMESPACE: uuid::Uuid = uuid::Uuid::from_u128(0x6f1d_1c2e_5f0b_4b8e_9d0a_7a3c_52b1_90e7);

/// The mark of a resource.
pub(crate) fn mark(installation: &Installation, id: &ResourceId) -> Mark {
    Mark { installation: installation.clone(), tenant: id.tenant.clone(), key: id.key.clone() }
}

/// The mark, if it is one of this installation.
pub(crate) fn ours(installation: &Installation, text: &str) -> Option<(TenantName, ResourceKey)> {
    Mark::parse(text).filter(|mark| mark.installation == *installation).map(|mark| (mark.tenant, mark.key))
}

/// The name of a tenant's port group; names of networks are unique in a datacenter only with the tenant's.
pub(crate) fn portgroup_name(tenant: &TenantName, network: &str) -> String {
    format!("{tenant}-{network}")
}

/// The name of an anti-affinity rule, which is its mark too.
pub(crate) fn rule_name(installation: &Installation, tenant: &TenantName, group: &str) -> String {
    format!("{RULES}/{installation}/{tenant}/{group}")
}

/// Whose rule it is and of which group, if it is one of this installation.
pub(crate) fn read_rule_name(installation: &Installation, name: &str) -> Option<(TenantName, String)> {
    let parts: Vec<_> = name.split('/').collect();
    let [RULES, from, tenant, group] = parts[..] else { return None };
    (from == installation.as_str() && !tenant.is_empty() && !group.is_empty())
        .then(|| (tenant.into(), group.to_owned()))
}

/// The description of a snapshot that a backup of a server takes, which is its mark: a snapshot has no other place.
pub(crate) fn backup_mark(
    installation: &Installation,
    tenant: &TenantName,
    server: &str,
    run: &str,
) -> String {
    format!("{BACKUP}{installation}/{tenant}/{server} {run}")
}

/// The mark of a machine that a restore makes from a server's backup, until it is whole.
pub(crate) fn restore_mark(
    installation: &Installation,
    tenant: &TenantName,
    server: &str,
    run: &str,
) -> String {
    format!("{RESTORE}{installation}/{tenant}/{server} {run}")
}

/// For whom a machine is restored that is not whole, if a restore of this installation makes it.
pub(crate) fn read_restore_mark(installation: &Installation, mark: &str) -> Option<TenantName> {
    read_run_mark(RESTORE, installation, mark)
}

/// Whose snapshot it is, if a backup of this installation took it.
pub(crate) fn read_backup_mark(installation: &Installation, description: &str) -> Option<TenantName> {
    read_run_mark(BACKUP, installation, description)
}

fn read_run_mark(kind: &str, installation: &Installation, text: &str) -> Option<TenantName> {
    let (whose, run) = text.strip_prefix(kind)?.split_once(' ')?;
    let [from, tenant, server] = whose.split('/').collect::<Vec<_>>()[..] else { return None };
    let is_whole = [tenant, server, run].iter().all(|part| !part.is_empty()) && !run.contains(' ');
    (from == installation.as_str() && is_whole).then(|| tenant.into())
}

/// The instance UUID that a server is made with. `recreate` names the one that it succeeds.
pub(crate) fn instance_uuid(
    installation: &Installation,
    tenant: &TenantName,
    server: &str,
    recreate: Option<&str>,
) -> String {
    let name = format!("{installation}/{tenant}/{server}/{}", recreate.unwrap_or_default());
    uuid::Uuid::new_v5(&NAMESPACE, name.as_bytes()).to_string()
}

/// The anti-affinity groups with at least two members, with the servers in each. One server alone has nobody to be
/// kept away from, and vCenter refuses such a rule.
pub(crate) fn groups(tenant: &ValidatedTenant) -> BTreeMap<&str, Vec<&str>> {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for server in &tenant.servers {
        if let Some(group) = &server.anti_affinity {
            groups.entry(group).or_default().push(&server.name);
        }
    }
    groups.retain(|_, members| members.len() > 1);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_reads_back_and_no_other_does() {
        let ours = Installation::from("nord");
        let name = rule_name(&ours, &"ibestad".into(), "dc");
        assert_eq!(read_rule_name(&ours, &name), Some(("ibestad".into(), "dc".to_owned())));
        for other in
            ["dc", "vertskommune/sor/ibestad/dc", "vertskommune/nord/ibestad", "vertskommune/nord//dc"]
        {
            assert_eq!(read_rule_name(&ours, other), None, "{other}");
        }
    }

    #[test]
    fn only_our_own_backups_are_known_by_their_snapshots() {
        let ours = Installation::from("nord");
        let mark = backup_mark(&ours, &"ibestad".into(), "ibe-fs01", "20261128T221500Z");
        assert_eq!(mark, "vertskommune backup nord/ibestad/ibe-fs01 20261128T221500Z");
        assert_eq!(read_backup_mark(&ours, &mark), Some("ibestad".into()));
        for other in [
            "",
            "before the patch",
            "vertskommune backup sor/ibestad/ibe-fs01 20261128T221500Z",
            "vertskommune backup nord/ibestad/ibe-fs01",
            "vertskommune backup nord/ibestad/ibe-fs01 ",
            "vertskommune backup nord/ibestad/ibe-fs01 taken by hand",
            "vertskommune backup nord/ibestad 20261128T221500Z",
            "vertskommune backup nord//ibe-fs01 20261128T221500Z",
            "copy of vertskommune backup nord/ibestad/ibe-fs01 20261128T221500Z",
        ] {
            assert_eq!(read_backup_mark(&ours, other), None, "{other:?}");
        }
    }

    #[test]
    fn a_restore_and_a_backup_are_not_taken_for_each_other_nor_for_a_server() {
        let ours = Installation::from("nord");
        let whose = |mark: fn(&Installation, &TenantName, &str, &str) -> String| {
            mark(&ours, &"ibestad".into(), "ibe-fs01", "20261128T221500Z")
        };
        let (backup, restore) = (whose(backup_mark), whose(restore_mark));
        assert_eq!(read_restore_mark(&ours, &restore), Some("ibestad".into()));
        assert_eq!((read_restore_mark(&ours, &backup), read_backup_mark(&ours, &restore)), (None, None));
        assert_eq!(super::ours(&ours, &restore), None);
        assert_eq!(read_restore_mark(&"sor".into(), &restore), None);
    }

    #[test]
    fn a_successor_is_another_machine() {
        let uuid = |recreate| instance_uuid(&"nord".into(), &"ibestad".into(), "ibe-fs01", recreate);
        assert_eq!(uuid(None), uuid(None));
        assert_ne!(uuid(None), uuid(Some("42")));
    }
}
