//! Distributed port groups.

use crate::xml::Body;

/// A distributed port group to add: early binding, and as many ports as are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPortgroup {
    /// Unique within the switch's network folder.
    pub name: String,
    /// 1 to 4094; 0 for untagged.
    pub vlan: u16,
    /// For people, and for marks.
    pub description: String,
    /// Ports to begin with.
    pub ports: u32,
}

/// A change to a distributed port group. What is none stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PortgroupChange {
    /// `config.configVersion` as it was read: vCenter refuses the change of another version.
    pub config_version: String,
    /// A new name.
    pub name: Option<String>,
    /// Another VLAN, 1 to 4094; 0 for untagged.
    pub vlan: Option<u16>,
    /// Another description.
    pub description: Option<String>,
}

impl NewPortgroup {
    pub(crate) fn write(&self, b: &mut Body) {
        b.element("spec", |b| {
            b.value("name", &self.name).value("numPorts", self.ports);
            write_vlan(b, Some(self.vlan));
            b.value("description", &self.description).value("type", "earlyBinding").value("autoExpand", true);
        });
    }
}

impl PortgroupChange {
    pub(crate) fn write(&self, b: &mut Body) {
        b.element("spec", |b| {
            b.value("configVersion", &self.config_version).option("name", self.name.as_ref());
            write_vlan(b, self.vlan);
            b.option("description", self.description.as_ref());
        });
    }
}

fn write_vlan(b: &mut Body, vlan: Option<u16>) {
    let Some(vlan) = vlan else { return };
    b.typed("defaultPortConfig", "VMwareDVSPortSetting", |b| {
        b.typed("vlan", "VmwareDistributedVirtualSwitchVlanIdSpec", |b| {
            b.value("inherited", false).value("vlanId", vlan);
        });
    });
}
