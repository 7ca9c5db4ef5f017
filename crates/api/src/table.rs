//! All tenants as a table, as `kubectl get tenants` shows it.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;
use vertskommune_core::render::Colour;

use crate::Tenant;
use crate::age::age;
use crate::conditions::{READY, find};

/// One tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Whether all that is ours to do is done: True, False or Unknown.
    pub ready: String,
    /// Servers that are as the manifest says, of all.
    pub servers: String,
    /// Rules of the firewall, likewise.
    pub firewall: String,
    /// How old the last good backups are.
    pub backup: String,
    /// Whether the trust is valid, or why not.
    pub trust: String,
    /// What is being done or waited for.
    pub status: String,
    /// How old the manifest is.
    pub age: String,
}

const HEAD: [&str; 8] = ["NAME", "READY", "SERVERS", "FIREWALL", "BACKUP", "TRUST", "STATUS", "AGE"];

/// The rows, by name.
pub fn rows<'a>(tenants: impl IntoIterator<Item = &'a Tenant>, now: Timestamp) -> Vec<Row> {
    let mut rows: Vec<Row> = tenants.into_iter().map(|tenant| row(tenant, now)).collect();
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    rows
}

fn row(tenant: &Tenant, now: Timestamp) -> Row {
    let status = tenant.status.clone().unwrap_or_default();
    let ready = find(&status.conditions, READY).map_or("Unknown", |ready| ready.status.as_str()).to_owned();
    let created = tenant.metadata.creation_timestamp.as_ref();
    Row {
        name: tenant.metadata.name.clone().unwrap_or_default(),
        ready,
        servers: status.servers.map(|counts| counts.summary).unwrap_or_default(),
        firewall: status.firewall.map(|counts| counts.summary).unwrap_or_default(),
        backup: status.backup.and_then(|it| it.last_backup).map(|at| age(at.0, now)).unwrap_or_default(),
        trust: status.directory.map(|it| it.trust).unwrap_or_default(),
        status: status.message.unwrap_or_else(|| "Pending".to_owned()),
        age: created.map(|at| age(at.0, now)).unwrap_or_default(),
    }
}

/// The table, a line for each row and one for the head.
pub fn text(rows: &[Row], colour: Colour) -> String {
    let cells = |row: &Row| {
        let Row { name, ready, servers, firewall, backup, trust, status, age } = row.clone();
        [name, ready, servers, firewall, backup, trust, status, age]
    };
    let mut lines = vec![HEAD.map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    let width =
        |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let mut out = String::new();
    for (number, line) in lines.iter().enumerate() {
        let mut text = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            // Writing to a String does not fail.
            let _ = write!(text, "{cell:width$}   ");
        }
        let text = text.trim_end();
        let code = match line[1].as_str() {
            _ if number == 0 => Some("1"),
            "True" => None,
            "False" => Some("33"),
            _ => Some("2"),
        };
        let text = code.map_or_else(|| text.to_owned(), |code| colour.paint(code, text));
        let _ = writeln!(out, "{text}");
    }
    out
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::tenant::Counts;
    use crate::{TenantSpec, TenantStatus};

    #[test]
    fn the_table_is_that_of_kubectl() {
        let now = Timestamp::from_second(1000).unwrap();
        let mut new = Tenant::new("dyroy", TenantSpec::default());
        new.metadata.creation_timestamp = Some(Time(Timestamp::from_second(996).unwrap()));
        let mut old = Tenant::new("ibestad", TenantSpec::default());
        old.metadata.creation_timestamp = Some(Time(Timestamp::from_second(0).unwrap()));
        let servers = Counts { ready: 1, total: 2, summary: "1/2".to_owned() };
        let message = Some("Cloning ibe-fs01 on vcenter-main (62%)".to_owned());
        old.status = Some(TenantStatus { message, servers: Some(servers), ..TenantStatus::default() });
        let expected = [
            "NAME      READY     SERVERS   FIREWALL   BACKUP   TRUST   STATUS                                   AGE",
            "dyroy     Unknown                                         Pending                                  4s",
            "ibestad   Unknown   1/2                                   Cloning ibe-fs01 on vcenter-main (62%)   16m",
        ];
        assert_eq!(text(&rows([&old, &new], now), Colour::Never).lines().collect::<Vec<_>>(), expected);
    }
}
