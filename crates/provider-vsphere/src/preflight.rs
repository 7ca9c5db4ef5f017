//! Whether a vCenter is as this plugin needs it: identity, places, templates and rights, a line for each.

use std::collections::BTreeSet;

use vertskommune_provider::{Checked, Ctx, ProviderError};
use vsphere_client::Mor;

use crate::Vsphere;
use crate::link::Session;

/// The oldest version whose API has all that is used.
const OLDEST: (u32, u32) = (7, 0);

/// The privileges that are needed, by the place they are needed at. `deploy/` has them as roles.
pub(crate) const PRIVILEGES: &[(Place, &[&str])] = &[
    (Place::Root, &["Global.ManageCustomFields", "Sessions.ValidateSession", "StorageProfile.View"]),
    (
        Place::Folder,
        &[
            "Folder.Create",
            "Folder.Delete",
            "Folder.Move",
            "Folder.Rename",
            "Global.SetCustomField",
            "VApp.Export",
            "VApp.Import",
            "VirtualMachine.Config.AddNewDisk",
            "VirtualMachine.Config.AddRemoveDevice",
            "VirtualMachine.Config.AdvancedConfig",
            "VirtualMachine.Config.Annotation",
            "VirtualMachine.Config.CPUCount",
            "VirtualMachine.Config.DiskExtend",
            "VirtualMachine.Config.EditDevice",
            "VirtualMachine.Config.Memory",
            "VirtualMachine.Config.Rename",
            "VirtualMachine.Config.Settings",
            "VirtualMachine.Interact.DeviceConnection",
            "VirtualMachine.Interact.PowerOff",
            "VirtualMachine.Interact.PowerOn",
            "VirtualMachine.Inventory.Create",
            "VirtualMachine.Inventory.CreateFromExisting",
            "VirtualMachine.Inventory.Delete",
            "VirtualMachine.Inventory.Move",
            "VirtualMachine.Provisioning.Customize",
            "VirtualMachine.State.CreateSnapshot",
            "VirtualMachine.State.RemoveSnapshot",
        ],
    ),
    (
        Place::Pool,
        &[
            "Resource.AssignVMToPool",
            "Resource.ColdMigrate",
            "Resource.CreatePool",
            "Resource.DeletePool",
            "Resource.EditPool",
            "Resource.HotMigrate",
            "Resource.RenamePool",
            "VApp.Import",
        ],
    ),
    (Place::Switch, &["DVPortgroup.Create", "DVPortgroup.Delete", "DVPortgroup.Modify", "Network.Assign"]),
    (Place::Cluster, &["Host.Inventory.EditCluster"]),
    (Place::Datastores, &["Datastore.AllocateSpace"]),
    (Place::Templates, &["VirtualMachine.Provisioning.Clone", "VirtualMachine.Provisioning.DeployTemplate"]),
];

/// Where privileges are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Root,
    Folder,
    Pool,
    Switch,
    Cluster,
    Datastores,
    Templates,
}

impl Vsphere {
    /// All lines.
    pub(crate) async fn check_all(&self, ctx: &Ctx) -> Vec<Checked> {
        let session = match self.link.session(&self.settings, ctx).await {
            Ok(session) => session,
            Err(error) => {
                let what = match error {
                    ProviderError::Misidentified { .. } => "identity",
                    ProviderError::CredentialsRefused => "credentials",
                    ProviderError::NoSight(_) => "places",
                    _ => "reachability",
                };
                return vec![Checked::new(what, Err(error.to_string()))];
            }
        };
        let mut lines = vec![
            Checked::new("identity", Ok(format!("vCenter {}", self.host.identity))),
            Checked::new("version", version(&session.version)),
            Checked::new("places", Ok("folder, resource pool, cluster and switch are there".to_owned())),
        ];
        lines.push(Checked::new(
            "datastores",
            all_there(self.settings.all_datastores(), |name| session.layout.datastores.contains_key(name)),
        ));
        lines.push(Checked::new(
            "templates",
            all_there(self.settings.templates.keys().map(String::as_str), |name| {
                session.layout.templates.contains_key(name)
            }),
        ));
        lines.push(Checked::new("privileges", self.privileges(&session).await));
        lines
    }

    async fn privileges(&self, session: &Session) -> Result<String, String> {
        let root = session.client.service().await.map_err(|error| error.to_string())?.root_folder;
        let mut objects = BTreeSet::new();
        for (place, _) in PRIVILEGES {
            objects.extend(places(session, &root, *place));
        }
        let objects: Vec<Mor> = objects.into_iter().collect();
        let held = session.client.privileges(&objects).await.map_err(|error| error.to_string())?;
        let mut missing = Vec::new();
        for (place, needed) in PRIVILEGES {
            for object in places(session, &root, *place) {
                let here = held.get(&object);
                let lacking = needed.iter().filter(|right| here.is_none_or(|held| !held.contains(**right)));
                missing.extend(lacking.map(|right| format!("{right} on {object}")));
            }
        }
        if missing.is_empty() {
            return Ok(format!(
                "all {} are held",
                PRIVILEGES.iter().map(|(_, rights)| rights.len()).sum::<usize>()
            ));
        }
        Err(format!("the account lacks {}: see the role files in deploy/", missing.join(", ")))
    }
}

fn places(session: &Session, root: &Mor, place: Place) -> Vec<Mor> {
    let layout = &session.layout;
    match place {
        Place::Root => vec![root.clone()],
        Place::Folder => vec![layout.root_folder.clone()],
        Place::Pool => vec![layout.root_pool.clone()],
        Place::Switch => vec![layout.switch.clone()],
        Place::Cluster => vec![layout.cluster.clone()],
        Place::Datastores => layout.datastores.values().cloned().collect(),
        Place::Templates => layout.templates.values().cloned().collect(),
    }
}

fn version(version: &str) -> Result<String, String> {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    let found = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    if found >= OLDEST {
        Ok(version.to_owned())
    } else {
        Err(format!("{version} is older than 7.0: upgrade vCenter"))
    }
}

fn all_there<'a>(
    names: impl Iterator<Item = &'a str>,
    is_there: impl Fn(&str) -> bool,
) -> Result<String, String> {
    let names: BTreeSet<&str> = names.collect();
    let missing: Vec<_> = names.iter().copied().filter(|name| !is_there(name)).collect();
    if missing.is_empty() {
        return Ok(format!("all {} are there", names.len()));
    }
    Err(format!("not there or not visible: {}", missing.join(", ")))
}
