//! The configuration as FortiOS' command line writes it: `config … edit … set … next end`, only what differs from
//! the defaults, always in the same order.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::cmdb::Outcome;
use crate::cmdb::order::Side;
use crate::config::{Config, Write};
use crate::identity::Identity;
use crate::schema::{Attribute, Kind, Scope, Shape, TableId, catalogue};
use crate::store::{Place, Vdom};
use crate::value::{Fields, Key, Row, Value, default_text, short};

/// What of the configuration is exported.
#[derive(Clone, Debug)]
pub(crate) enum Extent {
    /// All of it.
    Device,
    /// One VDOM.
    Vdom(Vdom),
}

/// The whole text.
pub(crate) fn configuration(config: &Config, identity: &Identity, admin: &str, extent: &Extent) -> String {
    let mut body = String::new();
    let all = matches!(extent, Extent::Device);
    let marks = match extent {
        Extent::Device => {
            device(&mut body, config);
            "#global_vdom=1\n".to_owned()
        }
        Extent::Vdom(vdom) => {
            tables(&mut body, config, Scope::Vdom, vdom);
            format!("#global_vdom=0:vd_name={vdom}/vd_vrf=0\n")
        }
    };
    // The number that FortiOS writes here changes with the content, too.
    let mut hash = Sha256::new();
    hash.update(&body);
    let content = short(hash) >> 64;
    let mut out = String::new();
    let (version, build) = (identity.firmware, identity.firmware.build());
    let _ = writeln!(
        out,
        "#config-version={}-{version}-FW-build{build}-000000:opmode=0:vdom={}:user={admin}",
        Identity::MODEL,
        u8::from(all),
    );
    let _ = writeln!(out, "#conf_file_ver={content}");
    let _ = writeln!(out, "#buildno={build}");
    out + &marks + &body
}

/// The commands that a write stands for, as `transaction-show` lists them.
pub(crate) fn commands(table: TableId, write: &Write, outcome: &Outcome) -> Vec<String> {
    let mut lines = vec![format!("config {}", spoken(table))];
    match write {
        Write::Move(key, side, other) => {
            let side = if *side == Side::Before { "before" } else { "after" };
            lines.push(format!("move {} {side} {}", quoted_key(key), quoted_key(other)));
        }
        _ => {
            for change in &outcome.changes {
                match &change.row {
                    None => lines.push(format!("delete {}", quoted_key(&change.key))),
                    Some(row) => {
                        let mut text = String::new();
                        edit(&mut text, table, row, 0);
                        lines.extend(text.lines().map(|line| line.trim_start().to_owned()));
                    }
                }
            }
        }
    }
    lines.push("end".to_owned());
    lines
}

fn device(out: &mut String, config: &Config) {
    out.push_str("\nconfig vdom\n");
    for vdom in config.committed().vdoms() {
        let _ = writeln!(out, "edit {vdom}\nnext");
    }
    out.push_str("end\n\nconfig global\n");
    let root: Vdom = "root".into();
    tables(out, config, Scope::Global, &root);
    out.push_str("end\n");
    for vdom in config.committed().vdoms() {
        let _ = writeln!(out, "\nconfig vdom\nedit {vdom}");
        tables(out, config, Scope::Vdom, vdom);
        out.push_str("end\n");
    }
}

fn tables(out: &mut String, config: &Config, scope: Scope, vdom: &Vdom) {
    // The VDOMs themselves are the frame around all others.
    for table in catalogue().of_scope(scope).filter(|table| table.table().full != "system/vdom") {
        let rows = config.committed().list(&Place::of(table, vdom));
        if rows.is_empty() {
            continue;
        }
        let _ = writeln!(out, "config {}", spoken(table));
        for row in rows {
            match table.table().shape {
                Shape::List => edit(out, table, row, 1),
                Shape::Single => settings(out, table.table().attributes, &row.fields, 1, false),
            }
        }
        out.push_str("end\n");
    }
}

fn spoken(table: TableId) -> String {
    table.table().full.replace(['/', '.'], " ")
}

fn edit(out: &mut String, table: TableId, row: &Row, depth: usize) {
    line(out, depth, &format!("edit {}", quoted_key(&row.key)));
    settings(out, table.table().attributes, &row.fields, depth + 1, true);
    line(out, depth, "next");
}

fn settings(out: &mut String, attributes: &'static [Attribute], fields: &Fields, depth: usize, keyed: bool) {
    for (place, attribute) in (0..).zip(attributes).skip(usize::from(keyed)) {
        let Some(value) = fields.get(place) else {
            if attribute.always_exported {
                line(out, depth, &format!("set {} {}", attribute.name, quoted(default_text(attribute))));
            }
            continue;
        };
        match (value, attribute.kind) {
            (Value::Rows(rows), Kind::Rows(inner)) => children(out, attribute.name, inner, rows, depth),
            (Value::Record(record), Kind::Record(inner)) => {
                line(out, depth, &format!("config {}", attribute.name));
                settings(out, inner, record, depth + 1, false);
                line(out, depth, "end");
            }
            _ => line(out, depth, &format!("set {} {}", attribute.name, written(attribute, value))),
        }
    }
}

/// A child table of names alone is a list of names; any other has rows of its own.
fn children(out: &mut String, name: &str, attributes: &'static [Attribute], rows: &[Fields], depth: usize) {
    let key = |row: &Fields| row.get(0).map(|value| written(&attributes[0], value)).unwrap_or_default();
    if attributes.len() == 1 {
        let names: Vec<String> = rows.iter().map(key).collect();
        return line(out, depth, &format!("set {name} {}", names.join(" ")));
    }
    line(out, depth, &format!("config {name}"));
    for row in rows {
        line(out, depth + 1, &format!("edit {}", key(row)));
        settings(out, attributes, row, depth + 2, true);
        line(out, depth + 1, "next");
    }
    line(out, depth, "end");
}

fn written(attribute: &Attribute, value: &Value) -> String {
    match (value, attribute.kind) {
        (_, Kind::Secret { .. }) => crate::render::MASK.to_owned(),
        (Value::Text(text), Kind::Text { .. } | Kind::Reference { .. }) => quoted(text),
        (Value::Text(text), Kind::Formatted { .. }) if text.contains('-') => quoted(text),
        (Value::Text(text), _) => text.to_string(),
        (Value::Number(number), _) => number.to_string(),
        (Value::Rows(_) | Value::Record(_), _) => String::new(),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn quoted_key(key: &Key) -> String {
    match key {
        Key::Number(number) => number.to_string(),
        Key::Text(text) => quoted(text),
    }
}

fn line(out: &mut String, depth: usize, text: &str) {
    for _ in 0..depth {
        out.push_str("    ");
    }
    out.push_str(text);
    out.push('\n');
}
