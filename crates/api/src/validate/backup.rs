//! The backup of a tenant.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use vertskommune_core::backup::proving::{ProofRule, ProofScope};
use vertskommune_core::backup::{Backup, Item, Mode, Retention, SYSTEM, Selection, Window, Zone};
use vertskommune_core::names::ProviderName;
use vertskommune_core::tenant::Server;

use super::fields::Fields;
use crate::rules::MAX_SELECTED;
use crate::tenant::backup as written;
use crate::tenant::{self, backup::Proven};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The backup that is written; what is wrong with it is noted. `names` are the servers as written, `servers` those of them
/// that could be read, and `after` is what somebody has asked for.
pub(super) fn backup(
    written: &written::Backup,
    names: &[tenant::Server],
    servers: &[Server],
    after: Option<Timestamp>,
    fields: &mut Fields,
) -> Option<Backup> {
    fields.label(&at("provider"), &written.provider, 63);
    let mode = mode(written, fields);
    let selection = selection(&written.servers, names, servers, fields);
    let max_age = fields.duration(&at("maxAge"), &written.max_age);
    let managed = written.mode == written::Mode::Managed;
    let least = if managed { DAY } else { SignedDuration::from_mins(1) };
    let remedy = if managed {
        "backups are taken once a day: write at least 24h, better some hours more, such as 26h"
    } else {
        "write at least 1m, such as 26h"
    };
    at_least(&at("maxAge"), max_age, least, remedy, fields);
    let proof_age = fields.duration(&at("proof.maxAge"), &written.proof.max_age);
    at_least(&at("proof.maxAge"), proof_age, DAY, "write at least 24h, such as 168h", fields);
    let keep = fields.duration(&at("keepAfterExit"), &written.keep_after_exit);
    let remedy = "a mistake would be noticed too late: write at least 168h, such as 2160h for 90 days";
    at_least(&at("keepAfterExit"), keep, DAY * 7, remedy, fields);
    let scope = match written.proof.what {
        Proven::OneDisk => ProofScope::OneDisk,
        Proven::OneDiskPerServer => ProofScope::OneDiskPerServer,
        Proven::EveryDisk => ProofScope::EveryDisk,
    };
    Some(Backup {
        provider: ProviderName::from(written.provider.as_str()),
        mode: mode?,
        selection,
        max_age: max_age?,
        proof: ProofRule { max_age: proof_age?, scope },
        keep_after_exit: keep?,
        after,
    })
}

fn at(field: &str) -> String {
    format!("spec.backup.{field}")
}

fn at_least(
    field: &str,
    duration: Option<SignedDuration>,
    least: SignedDuration,
    remedy: &str,
    fields: &mut Fields,
) {
    let within = duration.is_none_or(|duration| duration >= least);
    fields.must(within, field, format!("is too short, {remedy}"));
}

fn mode(written: &written::Backup, fields: &mut Fields) -> Option<Mode> {
    let window = written.window.as_ref().and_then(|it| window(it, fields));
    let retention = written.retention.as_ref().map(|it| retention(it, fields));
    if let Some(external) = &written.external {
        fields.text(&at("external.job"), &external.job, 128);
    }
    match written.mode {
        written::Mode::Managed => {
            fields.must(
                written.window.is_some(),
                &at("window"),
                "is missing: say when backups are taken, such as {start: \"22:00\", duration: 8h}",
            );
            fields.must(
                written.retention.is_some(),
                &at("retention"),
                "is missing: say how many backups are kept, such as {daily: 14, weekly: 8}",
            );
            fields.must(
                written.external.is_none(),
                &at("external"),
                "is only for mode External: remove it, or write mode: External",
            );
            Some(Mode::Managed { window: window?, retention: retention? })
        }
        written::Mode::External => {
            for (field, is_there) in
                [("window", written.window.is_some()), ("retention", written.retention.is_some())]
            {
                let message = "is the job's own in mode External: remove it, or write mode: Managed";
                fields.must(!is_there, &at(field), message);
            }
            fields.must(
                written.external.is_some(),
                &at("external"),
                "is missing: name the job that is watched, such as {job: ibestad-nightly}",
            );
            Some(Mode::External { job: written.external.as_ref()?.job.clone() })
        }
    }
}

fn window(written: &written::Window, fields: &mut Fields) -> Option<Window> {
    let start = fields.take(&at("window.start"), Window::time_of_day(&written.start));
    let duration = fields.duration(&at("window.duration"), &written.duration);
    let zone = fields.take(&at("window.timeZone"), Zone::named(&written.time_zone));
    let (start, duration, zone) = (start?, duration?, zone?);
    fields.take(&at("window.duration"), Window::new(start, duration, zone))
}

fn retention(written: &written::Retention, fields: &mut Fields) -> Retention {
    let mut count = |name: &str, number: Option<i32>| {
        number.map_or(0, |number| fields.number(&at(&format!("retention.{name}")), number, 1, 1000))
    };
    let retention = Retention {
        last: count("last", written.last),
        hourly: count("hourly", written.hourly),
        daily: count("daily", written.daily),
        weekly: count("weekly", written.weekly),
        monthly: count("monthly", written.monthly),
        yearly: count("yearly", written.yearly),
    };
    let none = *written == written::Retention::default();
    fields.must(!none, &at("retention"), "keeps nothing: write at least one number, such as daily: 14");
    retention
}

fn selection(
    written: &written::Servers,
    names: &[tenant::Server],
    servers: &[Server],
    fields: &mut Fields,
) -> Selection {
    let mut read = |list: &str, written: &[String]| {
        let field = at(&format!("servers.{list}"));
        fields.entries(&field, written.len(), MAX_SELECTED);
        let entries = written.iter().enumerate().map(|(i, each)| (format!("{field}[{i}]"), each));
        let entries: Vec<_> = entries.collect();
        fields.unique(entries.iter().cloned(), |item, first| {
            format!("{item:?} is {first} already: remove one of the two")
        });
        for (field, item) in entries {
            named(&field, item, names, fields);
        }
        written.iter().map(|item| Item::from(item.as_str())).collect::<BTreeSet<_>>()
    };
    let selection =
        Selection { include: read("include", &written.include), exclude: read("exclude", &written.exclude) };
    let nothing = !servers.is_empty() && !servers.iter().any(|server| selection.covers(server));
    fields.must(
        !nothing,
        &at("servers"),
        "leaves nothing to back up: exclude less, or remove spec.backup if there shall be none",
    );
    selection
}

/// A misspelt name would leave out what somebody counts on.
fn named(field: &str, item: &str, names: &[tenant::Server], fields: &mut Fields) {
    let item = Item::from(item);
    let Some(server) = names.iter().find(|server| server.name == item.server) else {
        let names: Vec<_> = names.iter().map(|server| server.name.as_str()).collect();
        let known = if names.is_empty() {
            "there is none".to_owned()
        } else {
            format!("write one of {}", names.join(", "))
        };
        fields.wrong(field, format!("{:?} is none of spec.servers: {known}", item.server));
        return;
    };
    if let Some(disk) = &item.disk {
        let disks: Vec<_> = server.disks.iter().map(|disk| disk.name.as_str()).chain([SYSTEM]).collect();
        let message = format!("{disk:?} is no disk of {}: write one of {}", server.name, disks.join(", "));
        fields.must(disks.contains(&disk.as_str()), field, message);
    }
}
