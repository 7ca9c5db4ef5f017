//! Snapshots of VMs: which there are, taking one, removing one.

use crate::fault::FaultClass;
use crate::{Client, Element, Error, Mor, Property};

/// A snapshot of a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What the other calls take.
    pub mor: Mor,
    /// The name that people see; several may have the same.
    pub name: String,
    /// What it was made for.
    pub description: String,
    /// When it was taken, as RFC 3339.
    pub created: String,
    /// Whether the guest's file systems were brought to rest for it. vCenter leaves that out
    /// without a word when the VM is off or VMware Tools do not run.
    pub quiesced: bool,
    /// The snapshot before it.
    pub parent: Option<Mor>,
}

/// A snapshot to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSnapshot {
    /// The name that people see.
    pub name: String,
    /// Carries the mark of the one that takes it: a snapshot has no other place for it.
    pub description: String,
    /// Whether the guest's file systems are to be brought to rest. When that fails, the task fails
    /// with a fault of which [`Fault::is_quiesce_failure`](crate::Fault::is_quiesce_failure) holds.
    pub quiesce: bool,
}

/// The snapshots in the value of `snapshot.rootSnapshotList`, each after its parent.
pub fn snapshots(value: &Element) -> Vec<Snapshot> {
    let mut found = vec![];
    // By a list and not by recursion: how deep the tree is, the answer says.
    let mut open: Vec<(&Element, Option<Mor>)> = value.children.iter().rev().map(|s| (s, None)).collect();
    while let Some((element, parent)) = open.pop() {
        let Some(mor) = element.get("snapshot").and_then(Element::mor) else { continue };
        let text = |path: &str| element.text_at(path).unwrap_or_default().to_owned();
        open.extend(element.all("childSnapshotList").map(|child| (child, Some(mor.clone()))));
        found.push(Snapshot {
            mor,
            name: text("name"),
            description: text("description"),
            created: text("createTime"),
            quiesced: element.bool_at("quiesced").unwrap_or(false),
            parent,
        });
    }
    found
}

impl Client {
    /// The snapshots of a VM, each after its parent; none when the VM is gone.
    pub async fn snapshots(&self, vm: &Mor) -> Result<Vec<Snapshot>, Error> {
        const PATH: &str = "snapshot.rootSnapshotList";
        let Some(object) = self.read(vm, &[PATH]).await? else { return Ok(vec![]) };
        match object.property(PATH) {
            Property::Present(value) => Ok(snapshots(value)),
            Property::Absent => Ok(vec![]),
            Property::Unreadable(fault) if fault.class() == FaultClass::Gone => Ok(vec![]),
            Property::Unreadable(fault) => Err(Error::Fault(fault.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::parse;

    #[test]
    fn the_tree_is_made_flat() {
        let tree = |id: u32, more: &str| {
            format!(
                "<snapshot type='VirtualMachineSnapshot'>s-{id}</snapshot><name>n{id}</name><description>d</description>\
                 <createTime>t</createTime><quiesced>{}</quiesced>{more}",
                id == 2
            )
        };
        let child = |inner: String| format!("<childSnapshotList>{inner}</childSnapshotList>");
        let inner = child(tree(2, &child(tree(3, "")))) + &child(tree(4, ""));
        let text = format!(
            "<val><VirtualMachineSnapshotTree>{}</VirtualMachineSnapshotTree></val>",
            tree(1, &inner)
        );
        let found = snapshots(&parse(&text).unwrap());
        let read: Vec<_> = found
            .iter()
            .map(|s| (&*s.mor.id, &*s.name, s.quiesced, s.parent.as_ref().map(|p| &*p.id)))
            .collect();
        assert_eq!(
            read,
            [
                ("s-1", "n1", false, None),
                ("s-4", "n4", false, Some("s-1")),
                ("s-2", "n2", true, Some("s-1")),
                ("s-3", "n3", false, Some("s-2")),
            ]
        );
    }
}
