//! Backup against the host: another room, and time enough.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::{Finding, FindingReason};
use crate::backup::{Backups, Schedule};
use crate::difference::bytes_text;
use crate::host::Host;
use crate::names::{Installation, ProviderName};
use crate::observation::Observations;
use crate::tenant::{Server, ValidatedTenant};

/// Bytes a second that one tenant's disks are read with as long as none were: what a gigabit link carries when it is
/// shared by two.
const THROUGHPUT: u64 = 50 << 20;

/// A backup in the room of its servers is lost with them. A site that is not given is no other one.
pub(super) fn same_site(tenant: &ValidatedTenant, hosts: &BTreeMap<ProviderName, Host>) -> Option<Finding> {
    let (backup, compute) = (tenant.backup.as_ref()?, tenant.compute.as_ref()?);
    let (room, servers) = (hosts.get(&backup.provider)?, hosts.get(&compute.provider)?);
    let message = match (&room.site, &servers.site) {
        (Some(room), Some(servers)) if room != servers => return None,
        (Some(site), Some(_)) => format!(
            "{} stands in {site}, and so does {} with the servers: a backup must lie in another room",
            room.name, servers.name
        ),
        (None, Some(_)) => not_given(room),
        (_, None) => not_given(servers),
    };
    Some(Finding::blocking("spec.backup.provider".to_owned(), FindingReason::SameSite, message))
}

fn not_given(host: &Host) -> String {
    format!(
        "it is not known in which room {} stands, and a backup must lie in another than the servers: add spec.site to \
         that HostProvider",
        host.name
    )
}

/// Whether a night is too short for a backup of everything, by what was measured so far. Said before the night does, and
/// nothing is held up by it.
pub fn short_window(
    tenant: &ValidatedTenant,
    installation: &Installation,
    observations: &Observations,
) -> Option<Finding> {
    let backup = tenant.backup.as_ref()?;
    let room = Schedule::new(backup.window()?, installation, &tenant.name).room();
    let known = observations.get(&backup.provider).and_then(|seen| seen.backups.get(&tenant.name));
    let none = Backups::default();
    let known = known.map_or(&none, |known| &known.backups);
    let bytes = tenant.servers.iter().map(|server| bytes(tenant, server, known)).fold(0, u64::saturating_add);
    let measured = known.throughput.filter(|throughput| *throughput > 0);
    let throughput = measured.unwrap_or(THROUGHPUT);
    let seconds = i64::try_from(bytes.div_ceil(throughput)).unwrap_or(i64::MAX);
    if seconds <= room.as_secs() {
        return None;
    }
    let said = if measured.is_some() { "as measured" } else { "as long as nothing was measured" };
    Some(Finding {
        field: "spec.backup.window.duration".to_owned(),
        reason: FindingReason::BackupWindowTooShort,
        with: None,
        message: format!(
            "{} at {} a second ({said}) take {}, and the tenant's turn lasts {}: make the window longer, exclude what \
             needs no backup, or ask for more throughput",
            about(bytes),
            about(throughput),
            hours(SignedDuration::from_secs(seconds)),
            hours(room)
        ),
        blocks: false,
    })
}

/// The bytes of the server's disks that are read for a backup: by the manifest, or more where more was seen. Before the
/// first backup nothing is known of disks that the manifest does not name.
fn bytes(tenant: &ValidatedTenant, server: &Server, known: &Backups) -> u64 {
    let Some(selection) = tenant.backup.as_ref().map(|backup| &backup.selection) else { return 0 };
    let seen: BTreeMap<&str, u64> = known
        .servers
        .get(&server.name)
        .into_iter()
        .flat_map(|known| known.current(server, selection).map(|(name, disk)| (name, disk.bytes)))
        .collect();
    let mut sizes = seen;
    for disk in server.disks.iter().filter(|disk| selection.covers_disk(server, &disk.name)) {
        let size = sizes.entry(&disk.name).or_default();
        *size = disk.size.max(*size);
    }
    sizes.into_values().fold(0, u64::saturating_add)
}

/// A size for people, in the largest unit in which it is at least ten.
fn about(bytes: u64) -> String {
    let shift = [40, 30, 20, 10].into_iter().find(|shift| bytes >> shift >= 10).unwrap_or(0);
    bytes_text(bytes >> shift << shift)
}

fn hours(duration: SignedDuration) -> String {
    let minutes = duration.as_secs().unsigned_abs().div_ceil(60);
    format!("{} h {:02} min", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::backup::testing::{backup, hours as some_hours, server, taken, window};
    use crate::backup::{Known, Mode, Retention};
    use crate::host::{Budget, Ground};
    use crate::observation::Observation;
    use crate::tenant::{Compute, DeletionPolicy, DriftPolicy, Quota};
    use crate::windows::Maintenance;

    fn host(name: &str) -> Host {
        Host {
            name: name.into(),
            plugin: "memory".to_owned(),
            endpoint: String::new(),
            identity: String::new(),
            ca: None,
            credentials: None,
            site: None,
            mode: crate::host::Mode::Manage,
            budget: Budget::default(),
            ground: Ground::default(),
            destruction_released_until: None,
            maintenance: Maintenance::default(),
            settings: serde_json::Value::Null,
        }
    }

    fn asking() -> ValidatedTenant {
        let quota = Quota { vcpus: 1, memory: 1, storage: 1 };
        ValidatedTenant {
            name: "ibestad".into(),
            display_name: "Ibestad kommune".to_owned(),
            municipality_number: None,
            networks: Vec::new(),
            compute: Some(Compute { provider: "vcenter".into(), quota, retire_after: some_hours(720) }),
            servers: vec![server("fs01", &["data"])],
            firewall: None,
            backup: Some(backup()),
            maintenance: Maintenance::default(),
            drift_policy: DriftPolicy::Heal,
            deletion_policy: DeletionPolicy::default(),
            suspend: false,
            allow_destroy: std::collections::BTreeSet::new(),
            accept_loss: None,
        }
    }

    fn hosts(servers: Option<&str>, room: Option<&str>) -> BTreeMap<ProviderName, Host> {
        let at = |name: &str, site: Option<&str>| {
            let host = Host { site: site.map(ToOwned::to_owned), ..host(name) };
            (host.name.clone(), host)
        };
        BTreeMap::from([at("vcenter", servers), at("second-room", room)])
    }

    #[test]
    fn another_room_is_one_that_is_known() {
        for (servers, room, refused, reason) in [
            (Some("room-1"), Some("room-2"), None, "another room"),
            (Some("room-1"), Some("room-1"), Some("stands in room-1"), "the same"),
            (Some("room-1"), None, Some("in which room second-room stands"), "nobody knows"),
            (None, Some("room-2"), Some("in which room vcenter stands"), "nobody knows"),
            (None, None, Some("in which room vcenter stands"), "nobody knows"),
        ] {
            let found = same_site(&asking(), &hosts(servers, room));
            let said = found.as_ref().map(|it| (it.message.as_str(), it.blocks));
            match (said, refused) {
                (None, None) => {}
                (Some((message, true)), Some(says)) => assert!(message.contains(says), "{reason}: {message}"),
                other => panic!("{reason}: {other:?}"),
            }
        }
        let plain = ValidatedTenant { backup: None, ..asking() };
        assert_eq!(same_site(&plain, &hosts(None, None)), None, "who asks for no backup needs no other room");
    }

    #[test]
    fn a_night_must_be_long_enough_for_all_disks() {
        let short = |size: u64, throughput: Option<u64>, seen: u64, exclude: Option<&str>| {
            let mut tenant = asking();
            tenant.servers[0].disks[0].size = size;
            let asked = tenant.backup.as_mut().unwrap();
            asked.mode =
                Mode::Managed { window: window("22:00", some_hours(2)), retention: Retention::default() };
            asked.selection.exclude.extend(exclude.map(Into::into));
            let mut known = taken("2026-11-24T22:00:00Z", &[("data", None), ("system", None)]);
            known.disks.get_mut("system").unwrap().bytes = seen;
            let backups = Backups { servers: [("fs01".to_owned(), known)].into(), throughput, damage: None };
            let mut observation = Observation::empty(&"second-room".into());
            let known = Known { seen_at: jiff::Timestamp::UNIX_EPOCH, backups: Arc::new(backups) };
            observation.backups.insert(tenant.name.clone(), known);
            let observations = Observations::from([("second-room".into(), Arc::new(observation))]);
            short_window(&tenant, &"nord".into(), &observations).map(|finding| finding.message)
        };
        let (gib, tib) = (1 << 30, 1 << 40);
        assert_eq!(short(100 * gib, None, gib, None), None, "half an hour");
        let message = short(tib, None, gib, None).unwrap();
        assert!(
            message.contains("1025Gi at 50Mi a second (as long as nothing was measured) take 5 h 50 min"),
            "{message}"
        );
        assert_eq!(short(tib, Some(500 << 20), gib, None), None, "a faster link");
        assert!(short(tib, Some(0), gib, None).is_some(), "a measurement of nothing is none");
        assert!(short(gib, None, tib, None).is_some(), "the template's own disk");
        assert_eq!(short(gib, None, tib, Some("fs01/system")), None, "and without it");
    }

    #[test]
    fn before_anything_was_seen_the_manifest_tells() {
        let mut tenant = asking();
        let nothing = Observations::new();
        assert_eq!(short_window(&tenant, &"nord".into(), &nothing), None);
        tenant.servers[0].disks[0].size = 8 << 40;
        let found = short_window(&tenant, &"nord".into(), &nothing).unwrap();
        assert!(!found.blocks, "nothing is held up by it");
        tenant.backup.as_mut().unwrap().mode = Mode::External { job: "nightly".to_owned() };
        assert_eq!(short_window(&tenant, &"nord".into(), &nothing), None, "another product has its own time");
    }
}
