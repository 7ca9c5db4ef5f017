//! Backup against the host: another room, and time enough.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use jiff::SignedDuration;

use super::{Claims, Finding, FindingReason};
use crate::backup::{Backups, Schedule, Window};
use crate::host::Host;
use crate::names::{Installation, ProviderName};
use crate::observation::Observations;
use crate::render::size;
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

/// What a tenant asks of a second room in each of its windows.
#[derive(Clone, Debug)]
pub(super) struct Night {
    window: Window,
    /// By server: the bytes of its disks that the manifest names.
    servers: BTreeMap<String, u64>,
}

/// The night of a tenant that has one, and in which room.
pub(super) fn night(tenant: &ValidatedTenant) -> Option<(&ProviderName, Night)> {
    let backup = tenant.backup.as_ref().filter(|_| !tenant.suspend)?;
    let covered = tenant.servers.iter().filter(|server| backup.selection.covers(server));
    let none = Backups::default();
    let servers = covered.map(|server| (server.name.clone(), bytes(tenant, server, &none))).collect();
    Some((&backup.provider, Night { window: backup.window()?.clone(), servers }))
}

impl Night {
    /// Bytes that are read in it: by the manifest, or more where the last run had more.
    fn bytes(&self, known: &Backups) -> u64 {
        let of_server = |(name, named): (&String, &u64)| {
            let seen = known.servers.get(name).map_or(0, |seen| {
                let last = seen.disks.values().filter(|disk| Some(disk.taken) == seen.last_good);
                last.map(|disk| disk.bytes).fold(0, u64::saturating_add)
            });
            seen.max(*named)
        };
        self.servers.iter().map(of_server).fold(0, u64::saturating_add)
    }

    /// Seconds that this takes, one server after the other.
    fn seconds(&self, known: &Backups) -> u64 {
        self.bytes(known).div_ceil(throughput(known).0)
    }
}

/// Whether the room has too few places for all that is to be backed up while the tenant's window is open: its own servers,
/// and those of others whose windows lie within it. Where each server has a place, each tenant is judged by itself.
pub(super) fn full_room(
    tenant: &ValidatedTenant,
    claims: &Claims,
    hosts: &BTreeMap<ProviderName, Host>,
    observations: &Observations,
) -> Option<Finding> {
    let backup = tenant.backup.as_ref().filter(|_| !tenant.suspend)?;
    let (window, host) = (backup.window()?, hosts.get(&backup.provider)?);
    let seen = observations.get(&backup.provider);
    let none = Backups::default();
    let (mut tenants, mut servers, mut bytes, mut seconds) = (0_u64, 0_usize, 0_u64, 0_u64);
    for (name, night) in claims.nights(&backup.provider).filter(|(_, night)| window.holds(&night.window)) {
        let known = seen.and_then(|seen| seen.backups.get(name)).map_or(&none, |known| &known.backups);
        tenants += 1;
        servers += night.servers.len();
        bytes = bytes.saturating_add(night.bytes(known));
        seconds = seconds.saturating_add(night.seconds(known));
    }
    let places = places(host);
    let takes = lasts(seconds.div_ceil(places as u64));
    if servers <= places || takes <= window.duration() {
        return None;
    }
    let whose = if tenants == 1 { "this tenant".to_owned() } else { format!("{tenants} tenants") };
    Some(short(format!(
        "the backups of {servers} servers of {whose} in this window, {}, take {} where {} takes {places} at \
         once, and the window lasts {}: give that HostProvider a larger budget, spread the windows over the day, or \
         exclude what needs no backup",
        size(bytes),
        hours(takes),
        host.name,
        hours(window.duration())
    )))
}

/// Whether a tenant's turn is too short for its backups, by what was measured so far: a server's disks are read one after
/// another, and as many servers at once as the room has places. Said before the night does, and nothing is held up by it.
pub fn short_window(
    tenant: &ValidatedTenant,
    installation: &Installation,
    hosts: &BTreeMap<ProviderName, Host>,
    observations: &Observations,
) -> Option<Finding> {
    let backup = tenant.backup.as_ref()?;
    let turn = Schedule::new(backup.window()?, installation, &tenant.name).room();
    let known = observations.get(&backup.provider).and_then(|seen| seen.backups.get(&tenant.name));
    let none = Backups::default();
    let known = known.map_or(&none, |known| &known.backups);
    let covered = tenant.servers.iter().filter(|server| backup.selection.covers(server));
    let servers: BTreeMap<&str, u64> =
        covered.map(|server| (server.name.as_str(), bytes(tenant, server, known))).collect();
    let (largest, bytes) = servers.iter().max_by_key(|(_, bytes)| **bytes)?;
    let (throughput, said) = throughput(known);
    let takes = lasts(bytes.div_ceil(throughput));
    if takes <= turn {
        return short_turn(tenant, turn, &servers, hosts.get(&backup.provider)?, known);
    }
    Some(short(format!(
        "{largest}: {} at {} a second ({said}) take {}, and the tenant's turn lasts {}: make the window longer, exclude what \
         needs no backup, or ask for more throughput",
        size(*bytes),
        size(throughput),
        hours(takes),
        hours(turn)
    )))
}

/// The same of all its servers, each of which would have time enough if it had a place. A backup has its place by the room's
/// budget alone: that of the servers' system is for calls. As long as nothing was measured nothing is said, since a guess that
/// is a little wrong for one server is far from it for many.
fn short_turn(
    tenant: &ValidatedTenant,
    turn: SignedDuration,
    servers: &BTreeMap<&str, u64>,
    room: &Host,
    known: &Backups,
) -> Option<Finding> {
    let (throughput, places) = (measured(known)?, places(room));
    let takes = lasts(in_turn(servers.values().map(|bytes| bytes.div_ceil(throughput)), places));
    // That the window as a whole is too short for so many places is said of the room.
    let (_, night) = night(tenant)?;
    let fills = lasts(night.seconds(known).div_ceil(places as u64));
    if takes <= turn || fills > night.window.duration() {
        return None;
    }
    let bytes = servers.values().copied().fold(0, u64::saturating_add);
    Some(short(format!(
        "the backups of {} servers, {} at {} a second each (as measured), take {} where {} takes {places} at once, and the \
         tenant's turn lasts {}: give that HostProvider a larger budget, make the window longer, or exclude what needs no \
         backup",
        servers.len(),
        size(bytes),
        size(throughput),
        hours(takes),
        room.name,
        hours(turn)
    )))
}

/// When the last of these ends that take so many seconds each, where each begins as soon as one of the places is free: in
/// this order, as the engine gives them their turns.
fn in_turn(each: impl Iterator<Item = u64>, places: usize) -> u64 {
    let mut ends = BinaryHeap::new();
    for seconds in each {
        let free = if ends.len() < places { None } else { ends.pop() };
        let begins = free.map_or(0, |Reverse(end)| end);
        ends.push(Reverse(seconds.saturating_add(begins)));
    }
    ends.into_iter().map(|Reverse(end)| end).max().unwrap_or_default()
}

/// How many servers are backed up at once in a room.
fn places(room: &Host) -> usize {
    usize::try_from(room.budget.concurrency).unwrap_or(usize::MAX).max(1)
}

fn lasts(seconds: u64) -> SignedDuration {
    SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))
}

fn short(message: String) -> Finding {
    Finding {
        field: "spec.backup.window.duration".to_owned(),
        reason: FindingReason::BackupWindowTooShort,
        with: None,
        message,
        blocks: false,
    }
}

/// Bytes a second that a server's disks are read with, and how that is known.
fn throughput(known: &Backups) -> (u64, &'static str) {
    match measured(known) {
        Some(measured) => (measured, "as measured"),
        None => (THROUGHPUT, "as long as nothing was measured"),
    }
}

fn measured(known: &Backups) -> Option<u64> {
    known.throughput.filter(|throughput| *throughput > 0)
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
            directory: None,
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

    /// What was seen of the tenant's backups.
    fn seen(tenant: &ValidatedTenant, backups: Backups) -> Observations {
        let mut observation = Observation::empty(&"second-room".into());
        let known = Known { seen_at: jiff::Timestamp::UNIX_EPOCH, backups: Arc::new(backups) };
        observation.backups.insert(tenant.name.clone(), known);
        Observations::from([("second-room".into(), Arc::new(observation))])
    }

    /// What is said of its turn in a room with so many places.
    fn judge(tenant: &ValidatedTenant, places: u32, seen: &Observations) -> Option<String> {
        let mut hosts = hosts(Some("room-1"), Some("room-2"));
        hosts.get_mut(&ProviderName::from("second-room")).unwrap().budget.concurrency = places;
        let found = short_window(tenant, &"nord".into(), &hosts, seen)?;
        assert!(!found.blocks, "nothing is held up by it");
        Some(found.message)
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
        let short = |size: u64, throughput: Option<u64>, system: u64, exclude: Option<&str>| {
            let mut tenant = asking();
            tenant.servers[0].disks[0].size = size;
            let asked = tenant.backup.as_mut().unwrap();
            asked.mode =
                Mode::Managed { window: window("22:00", some_hours(2)), retention: Retention::default() };
            asked.selection.exclude.extend(exclude.map(Into::into));
            let mut known = taken("2026-11-24T22:00:00Z", &[("data", None), ("system", None)]);
            known.disks.get_mut("system").unwrap().bytes = system;
            let backups = Backups { servers: [("fs01".to_owned(), known)].into(), throughput, damage: None };
            judge(&tenant, 8, &seen(&tenant, backups))
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
    fn servers_are_backed_up_beside_each_other() {
        let mut tenant = asking();
        tenant.servers = ["fs01", "fs02", "fs03"].map(|name| server(name, &["data"])).to_vec();
        for server in &mut tenant.servers {
            server.disks[0].size = 600 << 30;
        }
        assert_eq!(judge(&tenant, 8, &Observations::new()), None, "three hours and a half each");
        tenant.servers[1].disks[0].size = 8 << 40;
        let found = judge(&tenant, 8, &Observations::new()).unwrap();
        assert!(found.starts_with("fs02: 8Ti"), "{found}");
    }

    #[test]
    fn servers_share_the_places_from_the_turns_beginning() {
        // The turn of this tenant begins 13 minutes after the window opens.
        let turn = Schedule::new(&window("22:00", some_hours(8)), &"nord".into(), &"ibestad".into()).room();
        assert_eq!(hours(turn), "7 h 47 min");
        for (each, places, throughput, told, reason) in [
            (&[][..], 1, Some(100), None, "who has no server needs no time"),
            (&[770], 1, Some(100), None, "one server has the place for itself"),
            (&[790], 8, Some(100), Some("fs00: "), "one slow disk is not helped by places"),
            (&[190; 4], 1, Some(100), None, "seven hours and a half"),
            (&[197; 4], 1, Some(100), Some("the backups of 4 servers"), "after the turn, within the window"),
            (&[197; 4], 2, Some(100), None, "two at once"),
            (&[197; 4], 0, Some(100), Some("takes 1 at once"), "there is always one place"),
            (&[197; 16], 4, Some(100), Some("takes 4 at once"), "four rounds"),
            (&[197; 12], 4, Some(100), None, "three rounds"),
            (
                &[100, 100, 100, 100, 600],
                2,
                Some(100),
                Some("take 8 h 00 min"),
                "the long one is last to begin",
            ),
            (&[600, 100, 100, 100, 100], 2, Some(100), None, "and here the first"),
            (&[197; 4], 1, None, None, "nothing was measured"),
            (&[197; 4], 1, Some(0), None, "a measurement of nothing is none"),
            (&[300; 4], 1, Some(100), None, "longer than the window is said of the room"),
        ] {
            let mut tenant = asking();
            tenant.servers.clear();
            for (index, hours) in each.iter().enumerate() {
                let mut server = server(&format!("fs{index:02}"), &["data"]);
                // By the hundredth of an hour, at 100 MiB a second.
                server.disks[0].size = hours * 36 * (100 << 20);
                tenant.servers.push(server);
            }
            let throughput = throughput.map(|mebibytes: u64| mebibytes << 20);
            let found = judge(&tenant, places, &seen(&tenant, Backups { throughput, ..Backups::default() }));
            match (&found, told) {
                (None, None) => {}
                (Some(found), Some(told)) if found.contains(told) => {}
                _ => panic!("{reason}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_room_has_so_many_places_for_all_tenants() {
        let (gib, six) = (1 << 30_u64, some_hours(6));
        let day = |start: &str, duration| Mode::Managed {
            window: window(start, duration),
            retention: Retention::default(),
        };
        let judge = |tenants: usize, gibs: u64, places: u32, change: &dyn Fn(usize, &mut ValidatedTenant)| {
            let mut claims = Claims::default();
            let mut first = None;
            for index in 0..tenants {
                let mut tenant = asking();
                tenant.name = format!("tenant-{index}").as_str().into();
                tenant.servers[0].disks[0].size = gibs * gib;
                change(index, &mut tenant);
                claims.insert(&tenant);
                first.get_or_insert(tenant);
            }
            let mut hosts = hosts(Some("room-1"), Some("room-2"));
            hosts.get_mut(&ProviderName::from("second-room")).unwrap().budget.concurrency = places;
            full_room(&first.unwrap(), &claims, &hosts, &Observations::new()).map(|finding| finding.message)
        };
        // Of 500 GiB each is read in less than three hours, and the night has eight.
        let found = judge(30, 500, 4, &|_, _| {}).unwrap();
        assert!(
            found.starts_with(
                "the backups of 30 servers of 30 tenants in this window, 14Ti, take 21 h 20 min where second-room \
                 takes 4 at once, and the window lasts 8 h 00 min"
            ),
            "{found}"
        );
        assert_eq!(judge(30, 500, 11, &|_, _| {}), None, "more at once");
        assert_eq!(judge(30, 5000, 30, &|_, _| {}), None, "each has a place, and is judged by itself");
        let by_day = |index: usize, tenant: &mut ValidatedTenant| {
            if index > 9 {
                tenant.backup.as_mut().unwrap().mode = day("10:00", six);
            }
        };
        assert_eq!(judge(30, 500, 4, &by_day), None, "most are backed up by day");
        let within = |index: usize, tenant: &mut ValidatedTenant| {
            if index > 0 {
                tenant.backup.as_mut().unwrap().mode = day("23:00", six);
            }
        };
        assert!(judge(30, 500, 4, &within).is_some(), "what others take within it is taken from it");
        let suspended = |index: usize, tenant: &mut ValidatedTenant| tenant.suspend = index > 4;
        assert_eq!(judge(30, 500, 4, &suspended), None, "and the suspended take nothing");
    }

    #[test]
    fn before_anything_was_seen_the_manifest_tells() {
        let mut tenant = asking();
        let nothing = Observations::new();
        assert_eq!(judge(&tenant, 8, &nothing), None);
        tenant.servers[0].disks[0].size = 8 << 40;
        assert!(judge(&tenant, 8, &nothing).is_some());
        tenant.backup.as_mut().unwrap().mode = Mode::External { job: "nightly".to_owned() };
        assert_eq!(judge(&tenant, 8, &nothing), None, "another product has its own time");
    }
}
