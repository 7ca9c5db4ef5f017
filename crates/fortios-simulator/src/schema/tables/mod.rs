//! One file for each table, or for a family of small ones. Names, types and defaults follow Fortinet's CLI
//! reference of FortiOS 7.4; attributes of hardware that nobody here has are left out.

mod firewall_address;
mod firewall_addrgrp;
mod firewall_ippool;
mod firewall_policy;
mod firewall_schedule;
mod firewall_service;
mod firewall_service_predefined;
mod firewall_vip;
mod profiles;
mod router_static;
mod system_admin;
mod system_global;
mod system_ha;
mod system_interface;
mod system_settings;
mod system_vdom;
mod system_zone;

use super::table::Table;

/// Every table, in the order in which a configuration export lists them.
pub(crate) fn all() -> Vec<&'static Table> {
    vec![
        &system_global::GLOBAL,
        &system_admin::ACCPROFILE,
        &system_vdom::VDOM_LINK,
        &system_interface::INTERFACE,
        &system_admin::ADMIN,
        &system_admin::API_USER,
        &system_ha::HA,
        &system_global::CENTRAL_MANAGEMENT,
        &system_vdom::VDOM,
        &system_vdom::VDOM_PROPERTY,
        &system_settings::SETTINGS,
        &system_zone::ZONE,
        &firewall_address::ADDRESS,
        &firewall_addrgrp::ADDRGRP,
        &firewall_service::CATEGORY,
        &firewall_service::CUSTOM,
        &firewall_service::GROUP,
        &profiles::IPS_SENSOR,
        &profiles::APPLICATION_LIST,
        &profiles::ANTIVIRUS,
        &profiles::WEBFILTER,
        &profiles::LOG_SETTING,
        &firewall_schedule::ONETIME,
        &firewall_schedule::RECURRING,
        &firewall_schedule::GROUP,
        &firewall_ippool::IPPOOL,
        &firewall_vip::VIP,
        &firewall_vip::VIPGRP,
        &profiles::PROTOCOL_OPTIONS,
        &profiles::SSL_SSH,
        &profiles::PROFILE_GROUP,
        &firewall_policy::POLICY,
        &router_static::STATIC,
    ]
}
