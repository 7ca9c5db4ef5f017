//! Who the device is and how it fares.

use serde_json::{Map, Value as Json, json};
use sha2::{Digest as _, Sha256};

use super::Question;
use crate::config::Config;
use crate::identity::Identity;
use crate::schema::{Scope, catalogue};
use crate::store::{Place, Vdom, View};
use crate::sync::read;
use crate::value::{Key, short};

/// A text of `system global`.
pub(crate) fn global_text<'a>(view: View<'a>, name: &str) -> &'a str {
    let Ok(global) = Config::table("system/global") else { return "" };
    let row = view.single(&Place { table: global, vdom: None });
    row.map_or("", |row| row.text(global.table(), name))
}

fn hostname(question: &Question<'_>) -> String {
    global_text(read(&question.device.config).committed(), "hostname").to_owned()
}

pub(crate) fn status(question: &Question<'_>) -> Json {
    json!({
        "model_name": "FortiGate",
        "model_number": "VM64",
        "model": Identity::MODEL,
        "hostname": hostname(question),
        "log_disk_status": "available",
    })
}

pub(crate) fn web_ui(question: &Question<'_>) -> Json {
    let config = read(&question.device.config);
    let vdoms: Vec<&str> = config.committed().vdoms().map(|vdom| &**vdom).collect();
    let info: Map<String, Json> = vdoms
        .iter()
        .map(|vdom| {
            let is_management = *vdom == crate::api::MANAGEMENT;
            let state = json!({
                "central_nat_enabled": false,
                "transparent_mode": false,
                "ngfw_mode": "profile-based",
                "is_management_vdom": is_management,
                "is_admin_type_vdom": false,
            });
            ((*vdom).to_owned(), state)
        })
        .collect();
    let profile = profile(config.committed(), &question.principal.name);
    json!({
        "model_name": "FortiGate",
        "model_number": "VM64",
        "model": Identity::MODEL,
        "hostname": global_text(config.committed(), "hostname"),
        "model_subtype": "",
        "model_level": "mid",
        "admin_using_default_password": false,
        "admin": {
            "name": question.principal.name,
            "login_name": question.principal.name,
            "profile": {"name": profile, "q_origin_key": profile, "scope": "global"},
            "global_admin": true,
            "super_admin": true,
            "vdoms": vdoms,
            "vdom_info": info,
        },
        "vdom_mode": "multi-vdom",
        "ha_mode": if question.device.identity.peers.is_empty() { "standalone" } else { "a-p" },
    })
}

/// The profile of an API user or an administrator.
fn profile<'a>(view: View<'a>, name: &str) -> &'a str {
    let tables =
        ["system/api-user", "system/admin"].into_iter().filter_map(|table| Config::table(table).ok());
    let mut profiles = tables.filter_map(|table| {
        let row = view.get(&Place { table, vdom: None }, &Key::from(name))?;
        Some(row.text(table.table(), "accprofile"))
    });
    profiles.next().unwrap_or_default()
}

pub(crate) fn license(question: &Question<'_>) -> Json {
    let config = read(&question.device.config);
    let used = config.committed().vdoms().count();
    let max = config.limits.get("system/vdom").copied().unwrap_or(used);
    json!({
        "fortiguard": {"type": "cloud_service_status", "connected": false, "has_updated": false},
        "forticare": {"type": "cloud_service_status", "status": "registered", "registration_supported": true},
        "vdom": {"type": "platform", "can_upgrade": true, "used": used, "max": max},
        "vm": {"type": "vm", "status": "vm_valid", "valid": true, "cpu_used": 4, "cpu_max": 4},
    })
}

pub(crate) fn firmware(question: &Question<'_>) -> Json {
    let firmware = question.device.identity.firmware;
    let build = firmware.build();
    json!({
        "current": {
            "platform-id": Identity::MODEL,
            "version": format!("v{firmware}"),
            "major": firmware.major,
            "minor": firmware.minor,
            "patch": firmware.patch,
            "build": build,
            "branch": build,
            "release-type": "GA",
            "maturity": "M",
        },
        "available": [],
    })
}

pub(crate) fn time(question: &Question<'_>) -> Json {
    json!({"time": question.device.clock.now().as_secs()})
}

pub(crate) fn ha_peer(question: &Question<'_>) -> Json {
    let identity = &question.device.identity;
    if identity.peers.is_empty() {
        return json!([]);
    }
    let own = json!({
        "serial_no": identity.serial,
        "vcluster_id": 0,
        "priority": 200,
        "hostname": hostname(question),
        "primary": true,
    });
    let peers = identity.peers.iter().zip(2..).map(|(serial, number)| {
        json!({
            "serial_no": serial,
            "vcluster_id": 0,
            "priority": 100,
            "hostname": format!("{}-{number}", hostname(question)),
        })
    });
    std::iter::once(own).chain(peers).collect()
}

/// Every member has the same sums: the simulator's cluster is always in step.
pub(crate) fn ha_checksums(question: &Question<'_>) -> Json {
    let config = read(&question.device.config);
    let mut sums = Map::new();
    let mut all = Sha256::new();
    let root: Vdom = crate::api::MANAGEMENT.into();
    let parts = std::iter::once((Scope::Global, &root))
        .chain(config.committed().vdoms().map(|vdom| (Scope::Vdom, vdom)));
    for (scope, vdom) in parts {
        let mut sum = Sha256::new();
        for table in catalogue().of_scope(scope) {
            sum.update(config.revision(&Place::of(table, vdom)));
        }
        let sum = format!("{:032x}", short(sum));
        all.update(&sum);
        let name = if scope == Scope::Global { "global" } else { &**vdom };
        sums.insert(name.to_owned(), json!(sum));
    }
    sums.insert("all".to_owned(), json!(format!("{:032x}", short(all))));
    let identity = &question.device.identity;
    let serials = std::iter::once(&identity.serial).chain(&identity.peers);
    serials
        .enumerate()
        .map(|(place, serial)| {
            let primary = u8::from(place == 0);
            json!({
                "is_manage_primary": primary,
                "is_root_primary": primary,
                "is_manage_master": primary,
                "is_root_master": primary,
                "checksum": sums,
                "serial_no": serial,
            })
        })
        .collect()
}
