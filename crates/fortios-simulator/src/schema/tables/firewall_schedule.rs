//! `firewall schedule onetime`, `recurring` and `group`

use serde_json::json;

use crate::schema::attribute::{Attribute, formatted, number, off, options, reference, rows, text, uuid};
use crate::schema::format::Format;
use crate::schema::table::Table;

const ONETIME_NAME: &str = "firewall.schedule/onetime";
const RECURRING_NAME: &str = "firewall.schedule/recurring";
const GROUP_NAME: &str = "firewall.schedule/group";

pub(crate) const ONETIME: Table = Table::list(ONETIME_NAME, ONETIME_ATTRIBUTES)
    .limit(5_000)
    .shares_names_with(&[RECURRING_NAME, GROUP_NAME]);

pub(crate) const RECURRING: Table = Table::list(RECURRING_NAME, RECURRING_ATTRIBUTES)
    .limit(1_024)
    .shares_names_with(&[ONETIME_NAME, GROUP_NAME])
    .predefined(|| {
        vec![
            json!({"name": "always", "day": "sunday monday tuesday wednesday thursday friday saturday"}),
            json!({"name": "none", "day": "none"}),
            json!({"name": "default-darrp-optimize", "start": "01:00", "end": "01:30",
                   "day": "sunday monday tuesday wednesday thursday friday saturday"}),
        ]
    });

pub(crate) const GROUP: Table =
    Table::list(GROUP_NAME, GROUP_ATTRIBUTES).limit(1_024).shares_names_with(&[ONETIME_NAME, RECURRING_NAME]);

const DAYS: &[&str] = &["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "none"];

const ONETIME_ATTRIBUTES: &[Attribute] = &[
    text("name", 31),
    uuid(),
    formatted("start", Format::Moment, "00:00 2001/01/01"),
    text("start-utc", 31),
    formatted("end", Format::Moment, "00:00 2001/01/01"),
    text("end-utc", 31),
    number("color", 0, 32, 0),
    number("expiration-days", 0, 100, 3),
    off("fabric-object"),
];

const RECURRING_ATTRIBUTES: &[Attribute] = &[
    text("name", 31),
    uuid(),
    formatted("start", Format::TimeOfDay, "00:00"),
    formatted("end", Format::TimeOfDay, "00:00"),
    options("day", "none", DAYS),
    number("color", 0, 32, 0),
    off("fabric-object"),
];

const GROUP_ATTRIBUTES: &[Attribute] = &[
    text("name", 31),
    uuid(),
    rows("member", &[reference("name", &[ONETIME_NAME, RECURRING_NAME])]).required(),
    number("color", 0, 32, 0),
    off("fabric-object"),
];
