//! Which faults ask for what: wait, make room, change something, or look again.
//!
//! SOAP gives only the concrete type of a fault, never its ancestors, so the subtypes that matter
//! are listed here. Source: the fault types of the vSphere Web Services API reference, 7.0.

/// What a fault asks of the one who called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FaultClass {
    /// Something else is under way with the object: look again soon.
    Busy,
    /// CPU, memory, disk, ports or hosts do not suffice: report it and come back much later.
    Capacity,
    /// The request or the object's settings are wrong: final until one of them changes.
    Final,
    /// The object is not there any more: look again what there is.
    Gone,
    /// The user lacks a privilege: final until somebody grants it.
    Permission,
    /// The name is taken in its folder; [`Fault::object`](crate::Fault::object) is what has it.
    Duplicate,
    /// There is no session. The client logs in again by itself; a caller sees it only when that
    /// does not help.
    NotAuthenticated,
    /// None of these.
    Other,
}

use FaultClass::{Busy, Capacity, Duplicate, Final, Gone, NotAuthenticated, Other, Permission};

/// Sorted by name, as it is searched by halves.
static CLASSES: &[(&str, FaultClass)] = &[
    ("AlreadyExists", Duplicate),
    ("CannotAccessNetwork", Final),
    ("CannotAccessVmDevice", Final),
    ("CannotAccessVmDisk", Final),
    ("CannotDeleteFile", Busy),
    ("CannotUseNetwork", Final),
    ("ConcurrentAccess", Busy),
    ("CustomizationFault", Final),
    ("CustomizationPending", Busy),
    ("DVPortNotSupported", Final),
    ("DatacenterMismatch", Final),
    ("DestinationSwitchFull", Capacity),
    ("DeviceNotFound", Final),
    ("DuplicateName", Duplicate),
    ("DvsFault", Final),
    ("DvsNotAuthorized", Permission),
    ("FileLocked", Busy),
    ("FileNotFound", Final),
    ("GenericVmConfigFault", Final),
    ("HostCommunication", Busy),
    ("HostConnectFault", Busy),
    ("HostNotConnected", Busy),
    ("HostNotReachable", Busy),
    ("InvalidDatastoreState", Busy),
    ("InvalidHostConnectionState", Busy),
    ("InvalidHostState", Busy),
    ("InvalidLogin", Permission),
    ("InvalidPowerState", Busy),
    ("InvalidState", Busy),
    ("InvalidVmState", Busy),
    ("ManagedObjectNotFound", Gone),
    ("MemorySizeNotRecommended", Final),
    ("MigrationNotReady", Busy),
    ("MissingController", Final),
    ("MissingLinuxCustResources", Final),
    ("MissingWindowsCustResources", Final),
    ("NicSettingMismatch", Final),
    ("NoActiveHostInCluster", Capacity),
    ("NoCompatibleHost", Capacity),
    ("NoDiskSpace", Capacity),
    ("NoDisksToCustomize", Final),
    ("NoPermission", Permission),
    ("NotAuthenticated", NotAuthenticated),
    ("NotEnoughCpus", Final),
    ("NotEnoughLicenses", Capacity),
    ("NotEnoughLogicalCpus", Final),
    ("NumVirtualCpusExceedsLimit", Final),
    ("PasswordExpired", Permission),
    ("QuestionPending", Final),
    ("RequestCanceled", Busy),
    ("ResourceInUse", Busy),
    ("RestrictedByAdministrator", Permission),
    ("RestrictedVersion", Final),
    ("RuleViolation", Final),
    ("SecurityError", Permission),
    ("SnapshotDisabled", Final),
    ("SnapshotIncompatibleDeviceInVm", Final),
    ("SnapshotLocked", Busy),
    ("TaskInProgress", Busy),
    ("Timedout", Busy),
    ("TooManyConcurrentNativeClones", Busy),
    ("TooManyDevices", Final),
    ("TooManySnapshotLevels", Final),
    ("UncustomizableGuest", Final),
    ("VAppTaskInProgress", Busy),
    ("VmConfigFault", Final),
    ("VmHostAffinityRuleViolation", Final),
];

/// The class of a fault of this type.
pub(crate) fn class_of(kind: &str) -> FaultClass {
    if let Ok(at) = CLASSES.binary_search_by(|row| row.0.cmp(kind)) {
        return CLASSES[at].1;
    }
    // The many subtypes of InsufficientResourcesFault, InvalidArgument and VmConfigFault are
    // named alike, and a newer vCenter may know more of them.
    if kind.starts_with("Insufficient") {
        Capacity
    } else if ["Invalid", "Unsupported"].iter().any(|p| kind.starts_with(p))
        || ["NotSupported", "Incompatible"].iter().any(|s| kind.ends_with(s))
    {
        Final
    } else {
        Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(CLASSES.windows(2).all(|w| w[0].0 < w[1].0));
    }

    #[test]
    fn classes() {
        for (kind, class) in [
            ("TaskInProgress", Busy),
            ("ConcurrentAccess", Busy),
            ("InvalidPowerState", Busy),
            ("InsufficientResourcesFault", Capacity),
            ("InsufficientHostCpuCapacityFault", Capacity),
            ("NoDiskSpace", Capacity),
            ("InvalidArgument", Final),
            ("InvalidDeviceSpec", Final),
            ("MemorySizeNotSupported", Final),
            ("NoPermission", Permission),
            ("ManagedObjectNotFound", Gone),
            ("DuplicateName", Duplicate),
            ("NotAuthenticated", NotAuthenticated),
            ("SystemError", Other),
            ("", Other),
        ] {
            assert_eq!(class_of(kind), class, "{kind}");
        }
    }
}
