//! Checks that a request's elements stand in the order of the WSDL. Debug builds and tests only.
//!
//! vCenter reads requests with a forward cursor: an element out of order, or a field newer than
//! the server, is answered with "Unexpected element tag" (govmomi issue 4124). The simulator
//! accepts any order, so that only this check finds it.

use crate::order_table::ORDER;
use crate::xml::{Element, parse};

/// The fields of a type in their order, each with its declared type, empty for simple values.
type Fields = &'static [(&'static str, &'static str)];

/// Checks the body of a call of `method`.
pub(crate) fn check(method: &str, body: &str) -> Result<(), String> {
    let text = format!("<_ xmlns:xsi=\"i\" xmlns:xsd=\"d\">{body}</_>");
    let request = parse(&text).map_err(|e| e.to_string())?;
    let kind = format!("{}RequestType", method.trim_end_matches("_Task"));
    check_element(&request, &kind, method)
}

fn fields(kind: &str) -> Option<Fields> {
    ORDER.binary_search_by(|row| row.0.cmp(kind)).ok().map(|at| ORDER[at].1)
}

fn check_element(element: &Element, declared: &str, path: &str) -> Result<(), String> {
    if element.children.is_empty() {
        return Ok(());
    }
    let kind = if element.kind.is_empty() { declared } else { &*element.kind };
    let fields = fields(kind).ok_or_else(|| format!("{path}: {kind} is not in src/order_types.txt"))?;
    let mut from = 0;
    for child in &element.children {
        let at = fields[from..].iter().position(|field| field.0 == &*child.name);
        from += at.ok_or_else(|| format!("{path}: <{}> is unknown to {kind} or out of order", child.name))?;
        check_element(child, fields[from].1, &format!("{path}/{}", child.name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{ORDER, check};
    use crate::xml::Body;
    use crate::{
        Adapter, Address, CloneSpec, Customization, DeviceChange, Identity, Location, Mor, NewNic, NicKind,
        PortConnection, PortgroupChange, VmConfig,
    };

    const DISK: &str = "<device xsi:type=\"VirtualDisk\"><key>1</key><controllerKey>1</controllerKey>\
                        <capacityInKB>1</capacityInKB></device>";

    fn reconfigure(inner: &str) -> Result<(), String> {
        check("ReconfigVM_Task", &format!("<spec>{inner}</spec>"))
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(ORDER.windows(2).all(|w| w[0].0 < w[1].0));
    }

    #[test]
    fn the_table_has_exactly_the_listed_types() {
        let listed: Vec<&str> = include_str!("order_types.txt").lines().filter(|l| !l.is_empty()).collect();
        let table: Vec<&str> = ORDER.iter().map(|row| row.0).collect();
        assert_eq!(table, listed, "run the generator again: see tests/lab");
    }

    #[test]
    fn the_right_order_passes() {
        let change = format!("<deviceChange><operation>edit</operation>{DISK}</deviceChange>");
        reconfigure(&format!(
            "<annotation>a</annotation><numCPUs>2</numCPUs><memoryMB>2</memoryMB>{change}{change}"
        ))
        .unwrap();
    }

    #[test]
    fn swapped_unknown_and_deep_are_refused() {
        for (inner, named) in [
            ("<memoryMB>2</memoryMB><numCPUs>2</numCPUs>".to_owned(), "numCPUs"),
            ("<nope>2</nope>".to_owned(), "nope"),
            (format!("<deviceChange>{DISK}<operation>edit</operation></deviceChange>"), "operation"),
        ] {
            assert!(reconfigure(&inner).unwrap_err().contains(named), "{inner}");
        }
    }

    /// The simulator's tests send most requests; these are the forms that they do not.
    #[test]
    fn the_rarer_forms_pass() {
        let location = Location {
            datastore: Some(Mor::new("Datastore", "d")),
            pool: Some(Mor::new("ResourcePool", "p")),
            host: Some(Mor::new("HostSystem", "h")),
            profile_id: Some("policy".into()),
        };
        let identity = Identity::CloudInit { metadata: "m".into(), userdata: Some("u".into()) };
        let adapters = vec![Adapter { address: Address::Dhcp, dns_servers: vec![], dns_domain: None }];
        let port = PortConnection { switch_uuid: "s".into(), portgroup_key: "p".into() };
        let nic = NewNic {
            key: -1,
            kind: NicKind::E1000e,
            port,
            plugged: true,
            mac: Some("00:50:56:00:00:01".into()),
        };
        let config = VmConfig {
            change_version: Some("1".into()),
            name: Some("n".into()),
            devices: vec![DeviceChange::AddNic(nic)],
            ..VmConfig::default()
        };
        let customization = Some(Customization { identity, adapters });
        let clone = CloneSpec { location: location.clone(), config, customization };
        let change =
            PortgroupChange { config_version: "1".into(), name: Some("n".into()), ..Default::default() };
        for (method, body) in [
            ("CloneVM_Task", Body::with(|b| clone.write(b))),
            ("RelocateVM_Task", Body::with(|b| location.write(b, "spec"))),
            ("ReconfigureDVPortgroup_Task", Body::with(|b| change.write(b))),
        ] {
            check(method, &body.finish().unwrap()).unwrap();
        }
    }

    #[test]
    fn fields_newer_than_7_0_are_refused() {
        assert!(check("CloneVM_Task", "<spec><tpmProvisionPolicy>copy</tpmProvisionPolicy></spec>").is_err());
    }
}
