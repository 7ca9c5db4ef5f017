//! What cannot be had with a virtual firewall of its own.

use std::path::Path;

use fortios_simulator::Firmware;
use serde_json::{Value as Json, json};
use vertskommune_api::manifest;
use vertskommune_core::domain::Inputs;
use vertskommune_core::firewall::{AddressKind, Peer, Peers, Rule, Side};
use vertskommune_core::step::RefusalReason;
use vertskommune_core::tenant::ValidatedTenant;

use super::{offered, salangen, start};
use crate::drive;
use crate::peer::FortiGate;

type Spoil = fn(&mut ValidatedTenant, &mut Json);

#[test]
fn what_cannot_be_had_with_one_is_refused_by_its_field() {
    fn rule<'a>(tenant: &'a mut ValidatedTenant, id: &str) -> &'a mut Rule {
        tenant.firewall.as_mut().unwrap().rules.iter_mut().find(|rule| rule.id == id).unwrap()
    }
    let rows: [(Spoil, &str, &str); 11] = [
        (|_, settings| settings["dedicated"] = Json::Null, "spec.firewall.vdom", "has no virtual firewalls"),
        (
            |_, settings| settings["places"]["services"]["networks"] = json!([]),
            "spec.firewall.vdom",
            "settings.places.services.networks",
        ),
        (
            |_, settings| settings["places"]["services"]["addresses"] = json!(["host-dns", "host-backup"]),
            "spec.firewall.ruleSets[0].to",
            "host-dns has no address",
        ),
        (
            |tenant, _| {
                tenant.firewall.as_mut().unwrap().addresses[0].what = AddressKind::Fqdn("a.example".into());
            },
            "spec.firewall.addresses[0]",
            "a.example may mean an address of the host's",
        ),
        (
            |tenant, _| {
                let what = AddressKind::Network("10.13.0.128/25".parse().unwrap());
                tenant.firewall.as_mut().unwrap().addresses[0].what = what;
            },
            "spec.firewall.addresses[0]",
            "lies in services",
        ),
        (
            |tenant, _| rule(tenant, "to-supplier").nat = false,
            "spec.firewall.rules[2].nat",
            "rule to-supplier has not",
        ),
        (
            |tenant, _| rule(tenant, "clients-out").profiles.antivirus = Some("host-only".into()),
            "spec.firewall.rules[2].profiles",
            "from its birth",
        ),
        (
            |tenant, _| {
                rule(tenant, "citizens-to-portal").from =
                    Peers { side: Side::Tenant, members: vec![Peer::Network("clients".into())] }
            },
            "spec.firewall.rules[4].to",
            "names a published server",
        ),
        (
            |tenant, _| {
                let rule = rule(tenant, "backup-to-files");
                rule.from = Peers { side: Side::Internet, members: vec![Peer::Any] };
            },
            "spec.firewall.rules[5].to",
            "rule citizens-to-portal by a published one",
        ),
        (
            |tenant, _| {
                let firewall = tenant.firewall.as_mut().unwrap();
                let mut again = firewall.published[0].clone();
                "again".clone_into(&mut again.name);
                firewall.published.push(again);
                let mut other = rule(tenant, "citizens-to-portal").clone();
                other.to.members = vec![Peer::Published("again".into())];
                tenant.firewall.as_mut().unwrap().rules.push(other);
            },
            "spec.firewall.rules[4].to",
            "names portal and not again",
        ),
        (
            |tenant, _| rule(tenant, "backup-to-files").from.members = vec![Peer::Host("host-fax".into())],
            "spec.firewall.rules[5].from",
            "host-fax is not among",
        ),
    ];
    for (spoil, field, text) in rows {
        let mut tenant = salangen();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tenants/host/fortigate-main.yaml");
        let file = std::fs::read_to_string(file).unwrap();
        let read = manifest::read([("fortigate-main.yaml", file.as_str())]);
        let mut host = vertskommune_api::validate_host(&read.hosts[0].object).unwrap();
        offered(&mut host);
        spoil(&mut tenant, &mut host.settings);
        let provider = FortiGate::provider_of(&host);
        let violations = provider.expand(&Inputs { installation: "nord".into(), tenant }).unwrap_err();
        let found = violations.iter().any(|it| it.field == field && it.message.contains(text));
        assert!(found, "{field} {text}: {violations:#?}");
    }
}

/// What the host has made in its own virtual firewall, others have not.
#[tokio::test]
async fn a_service_of_the_hosts_is_not_there() {
    let peer = start(Firmware::new(7, 4, 8)).await;
    let fax = json!({"name": "FAX", "tcp-portrange": "4557"});
    peer.raw("POST", "firewall.service/custom?vdom=root", fax).await;
    drive(&peer, salangen()).converge().await;
    let mut tenant = salangen();
    tenant.firewall.as_mut().unwrap().rules[6].services.push("FAX".to_owned());
    let field = format!("{}.services", tenant.firewall.as_ref().unwrap().rules[6].written.origin);
    let plan = drive(&peer, tenant).converge().await;
    let refused: Vec<_> = plan.refusals.iter().map(|it| (it.field.as_str(), it.reason)).collect();
    assert_eq!(refused, [(field.as_str(), RefusalReason::NotFound)]);
    assert!(plan.refusals[0].message.starts_with("there is no service FAX in sala-"), "{:?}", plan.refusals);
}
