//! Everything that changes something in vCenter. Each method is one request.

use crate::client::{Call, Mode, Permit, returned_mor};
use crate::spec::write_rules;
use crate::xml::{Body, Element};
use crate::{
    Client, CloneSpec, CustomField, Error, Location, Mor, NewPortgroup, NewSnapshot, PoolSpec,
    PortgroupChange, RuleChange, Task, VmConfig,
};

/// The right to write, for as long as its permit says so.
///
/// Each method asks the permit once immediately before its request goes out, also before a
/// request that is sent again after a login. What the permit refuses is [`Error::Refused`].
///
/// A method that returns a [`Task`] has only started it. On [`Error::LostAnswer`] look before
/// trying again; the same goes for a future that was dropped before it was ready.
#[derive(Clone, Copy)]
pub struct Writer<'a> {
    client: &'a Client,
    permit: &'a Permit,
}

impl Client {
    /// A handle for writes that asks `permit` before each of them.
    pub fn writer<'a>(&'a self, permit: &'a Permit) -> Writer<'a> {
        Writer { client: self, permit }
    }
}

/// The inventory: folders, names, and what lies where.
impl Writer<'_> {
    /// Makes a folder. `DuplicateName` names the object that has the name.
    pub async fn create_folder(&self, parent: &Mor, name: &str) -> Result<Mor, Error> {
        let write = |b: &mut Body| {
            b.value("name", name);
        };
        self.mor("CreateFolder", parent, write).await
    }

    /// Renames an object.
    pub async fn rename(&self, object: &Mor, name: &str) -> Result<Task, Error> {
        let write = |b: &mut Body| {
            b.value("newName", name);
        };
        self.task("Rename_Task", object, write).await
    }

    /// Moves objects into a folder of their sort.
    pub async fn move_into_folder(&self, folder: &Mor, objects: &[Mor]) -> Result<Task, Error> {
        self.task("MoveIntoFolder_Task", folder, |b| write_list(b, objects)).await
    }

    /// Destroys an object: a VM with its disks, a pool, a port group, an **empty** folder.
    ///
    /// vCenter destroys a folder with everything in it, and the simulator leaves its VMs as
    /// orphans: look that it is empty.
    pub async fn destroy(&self, object: &Mor) -> Result<Task, Error> {
        self.task("Destroy_Task", object, |_| {}).await
    }

    /// Defines a custom attribute, of objects of one kind or of all.
    pub async fn add_field(&self, name: &str, kind: Option<&str>) -> Result<CustomField, Error> {
        let manager = self.client.service().await?.custom_fields_manager;
        let write = |b: &mut Body| {
            b.value("name", name).option("moType", kind);
        };
        let answer = self.call("AddCustomFieldDef", &manager, write).await?;
        let field = answer.first().and_then(CustomField::read);
        field.ok_or_else(|| Error::Protocol("AddCustomFieldDef returns no field".into()))
    }

    /// Sets a custom attribute of an object.
    pub async fn set_field(&self, object: &Mor, key: i32, value: &str) -> Result<(), Error> {
        let manager = self.client.service().await?.custom_fields_manager;
        let write = |b: &mut Body| {
            b.mor("entity", object).value("key", key).value("value", value);
        };
        self.call("SetField", &manager, write).await.map(drop)
    }
}

/// Resource pools.
impl Writer<'_> {
    /// Makes a resource pool. `DuplicateName` names the pool that has the name.
    pub async fn create_resource_pool(
        &self,
        parent: &Mor,
        name: &str,
        spec: &PoolSpec,
    ) -> Result<Mor, Error> {
        let write = |b: &mut Body| spec.write(b.value("name", name), "spec");
        self.mor("CreateResourcePool", parent, write).await
    }

    /// Changes a resource pool's name, its share, or both.
    pub async fn update_resource_pool(
        &self,
        pool: &Mor,
        name: Option<&str>,
        spec: Option<&PoolSpec>,
    ) -> Result<(), Error> {
        let write = |b: &mut Body| {
            b.option("name", name);
            if let Some(spec) = spec {
                spec.write(b, "config");
            }
        };
        self.call("UpdateConfig", pool, write).await.map(drop)
    }

    /// Moves VMs or pools into a resource pool of the same cluster.
    pub async fn move_into_resource_pool(&self, pool: &Mor, objects: &[Mor]) -> Result<(), Error> {
        self.call("MoveIntoResourcePool", pool, |b| write_list(b, objects)).await.map(drop)
    }
}

/// Distributed port groups and DRS rules.
impl Writer<'_> {
    /// Adds a port group to a distributed switch. The task has no result: find it by its name.
    pub async fn add_portgroup(&self, switch: &Mor, spec: &NewPortgroup) -> Result<Task, Error> {
        self.task("AddDVPortgroup_Task", switch, |b| spec.write(b)).await
    }

    /// Changes a port group.
    pub async fn reconfigure_portgroup(
        &self,
        portgroup: &Mor,
        change: &PortgroupChange,
    ) -> Result<Task, Error> {
        self.task("ReconfigureDVPortgroup_Task", portgroup, |b| change.write(b)).await
    }

    /// Changes a cluster's rules that keep VMs on different hosts.
    pub async fn change_rules(&self, cluster: &Mor, changes: &[RuleChange]) -> Result<Task, Error> {
        self.task("ReconfigureComputeResource_Task", cluster, |b| write_rules(b, changes)).await
    }
}

/// Virtual machines.
impl Writer<'_> {
    /// Clones a VM or template into a folder. The task's result is the new VM.
    ///
    /// The name is the only guard against a second clone: of all at once, one succeeds, and the
    /// tasks of the others fail with `DuplicateName`, which names the VM that is there.
    pub async fn clone_vm(
        &self,
        source: &Mor,
        folder: &Mor,
        name: &str,
        spec: &CloneSpec,
    ) -> Result<Task, Error> {
        let write = |b: &mut Body| spec.write(b.mor("folder", folder).value("name", name));
        self.task("CloneVM_Task", source, write).await
    }

    /// Changes a VM's settings and hardware.
    pub async fn reconfigure_vm(&self, vm: &Mor, config: &VmConfig) -> Result<Task, Error> {
        self.task("ReconfigVM_Task", vm, |b| config.write(b, "spec")).await
    }

    /// Moves a VM to another datastore, pool or host.
    pub async fn relocate_vm(&self, vm: &Mor, location: &Location) -> Result<Task, Error> {
        self.task("RelocateVM_Task", vm, |b| location.write(b, "spec")).await
    }

    /// Powers a VM on.
    pub async fn power_on(&self, vm: &Mor) -> Result<Task, Error> {
        self.task("PowerOnVM_Task", vm, |_| {}).await
    }

    /// Powers a VM off at once, as by pulling the plug.
    pub async fn power_off(&self, vm: &Mor) -> Result<Task, Error> {
        self.task("PowerOffVM_Task", vm, |_| {}).await
    }

    /// Asks the guest to shut down, and returns before it does. `ToolsUnavailable` when VMware
    /// Tools do not run in it.
    pub async fn shutdown_guest(&self, vm: &Mor) -> Result<(), Error> {
        self.call("ShutdownGuest", vm, |_| {}).await.map(drop)
    }
}

/// Importing VMs.
impl Writer<'_> {
    /// Begins to make a VM in a folder and a resource pool, and returns its lease for
    /// [`Import::open`](crate::Import::open). A lease that nobody takes up times out by itself, and
    /// with it goes what was made. As with a clone, the name is the only guard: the lease of one
    /// whose name is taken fails with `DuplicateName`. Needs the privilege `VApp.Import` at both, and
    /// what making a VM with these devices needs.
    pub async fn import_vm(&self, pool: &Mor, folder: &Mor, config: &VmConfig) -> Result<Mor, Error> {
        let write = |b: &mut Body| {
            b.typed("spec", "VirtualMachineImportSpec", |b| config.write(b, "configSpec"));
            b.mor("folder", folder);
        };
        self.mor("ImportVApp", pool, write).await
    }
}

/// Snapshots and their export.
impl Writer<'_> {
    /// Takes a snapshot of a VM's disks, without its memory. The task's result is the snapshot.
    /// Needs the privilege `VirtualMachine.State.CreateSnapshot`.
    pub async fn create_snapshot(&self, vm: &Mor, snapshot: &NewSnapshot) -> Result<Task, Error> {
        let write = |b: &mut Body| {
            b.value("name", &snapshot.name).value("description", &snapshot.description);
            b.value("memory", false).value("quiesce", snapshot.quiesce);
        };
        self.task("CreateSnapshot_Task", vm, write).await
    }

    /// Removes a snapshot, and merges its disks; those taken after it stay. Needs the privilege
    /// `VirtualMachine.State.RemoveSnapshot`.
    pub async fn remove_snapshot(&self, snapshot: &Mor) -> Result<Task, Error> {
        let write = |b: &mut Body| {
            b.value("removeChildren", false).value("consolidate", true);
        };
        self.task("RemoveSnapshot_Task", snapshot, write).await
    }

    /// Merges disks that a removed snapshot has left behind: those of a VM whose property
    /// `runtime.consolidationNeeded` is true.
    pub async fn consolidate_disks(&self, vm: &Mor) -> Result<Task, Error> {
        self.task("ConsolidateVMDisks_Task", vm, |_| {}).await
    }

    /// Begins the export of a snapshot, and returns its lease for [`Export::open`](crate::Export::open).
    /// A lease that nobody takes up times out by itself. Needs the privilege `VApp.Export`.
    pub async fn export_snapshot(&self, snapshot: &Mor) -> Result<Mor, Error> {
        self.mor("ExportSnapshot", snapshot, |_| {}).await
    }
}

impl Writer<'_> {
    async fn call(
        &self,
        method: &'static str,
        this: &Mor,
        write: impl FnOnce(&mut Body),
    ) -> Result<Vec<Element>, Error> {
        self.client.call(Call::new(method, this, Mode::Write(self.permit), write)).await
    }

    async fn mor(
        &self,
        method: &'static str,
        this: &Mor,
        write: impl FnOnce(&mut Body),
    ) -> Result<Mor, Error> {
        returned_mor(method, &self.call(method, this, write).await?)
    }

    async fn task(
        &self,
        method: &'static str,
        this: &Mor,
        write: impl FnOnce(&mut Body),
    ) -> Result<Task, Error> {
        self.mor(method, this, write).await.map(Task)
    }
}

fn write_list(b: &mut Body, objects: &[Mor]) {
    for object in objects {
        b.mor("list", object);
    }
}
