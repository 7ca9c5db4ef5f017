//! `system zone`

use crate::schema::attribute::{Attribute, choice, reference, rows, text};
use crate::schema::table::Table;

pub(crate) const ZONE: Table =
    Table::list("system/zone", ATTRIBUTES).limit(500).shares_names_with(&["system/interface"]);

const ATTRIBUTES: &[Attribute] = &[
    text("name", 35),
    rows("tagging", &[text("name", 63), reference("category", &[]), rows("tags", &[text("name", 79)])]),
    text("description", 127),
    choice("intrazone", "deny", &["allow", "deny"]),
    rows("interface", &[reference("interface-name", &["system/interface"])]),
];
