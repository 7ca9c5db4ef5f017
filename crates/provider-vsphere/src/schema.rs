//! The kinds of this plugin and the rules of their fields.

use std::collections::BTreeMap;

use vertskommune_core::schema::{Change, Concern, FieldRule, KindRules, Schema, Surplus};

use crate::marks::{ANTI_AFFINITY, FOLDER, NETWORK, POOL, REF, SERVER};

/// The schema, which is the same for every vCenter.
pub(crate) fn schema() -> Schema {
    let simple =
        |fields: Vec<FieldRule>| KindRules { holds_data: false, fields, outputs: vec![REF.to_owned()] };
    let mutable = |path: &str| FieldRule::new(path, Change::Mutable);
    Schema {
        concern: Concern::Servers,
        kinds: BTreeMap::from([
            (FOLDER.into(), simple(vec![mutable("name")])),
            (POOL.into(), simple(vec![mutable("name"), mutable("shares"), mutable("limits")])),
            (NETWORK.into(), simple(vec![mutable("name"), mutable("vlan")])),
            (
                ANTI_AFFINITY.into(),
                simple(vec![mutable("enabled"), mutable("members.*").surplus(Surplus::Take)]),
            ),
            (SERVER.into(), server()),
        ]),
    }
}

fn server() -> KindRules {
    let rule = FieldRule::new;
    KindRules {
        holds_data: true,
        fields: vec![
            // Found by name in folder and pool: these are what keeps tenants apart, so they are healed always.
            rule("name", Change::Mutable),
            rule("folder", Change::Mutable),
            rule("pool", Change::Mutable),
            rule("interfaces.*.network", Change::Mutable).surplus(Surplus::Take),
            // What somebody may have needed in an emergency.
            rule("vcpus", Change::Mutable).by_policy(),
            rule("memory", Change::Mutable).by_policy(),
            // No disk is ever taken away: a disk that the manifest does not name any more is shown.
            rule("disks.*.size", Change::GrowOnly).by_policy().surplus(Surplus::Show),
            rule("disks.*.storagePolicy", Change::ShownOnly),
            // Used once, when it is made.
            rule("template", Change::CreateOnly),
            rule("guest", Change::CreateOnly),
            // Power is set when it is made and afterwards the operator's.
            rule("power", Change::ShownOnly),
            // What we still owe it ourselves.
            rule("diskNames", Change::Mutable),
            rule("born", Change::Mutable),
            rule("restarting", Change::Mutable),
        ],
        outputs: vec![REF.to_owned()],
    }
}
