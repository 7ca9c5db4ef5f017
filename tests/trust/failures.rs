//! What breaks a trust, done for real: each comes out as its own reason, and where it can be healed without harm it is.

use std::fs;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;
use vertskommune_core::directory::Verdict;
use vertskommune_core::plan::Plan;
use vertskommune_core::step::{RefusalReason, Wait};
use vertskommune_provider::testing::conformance::{Drive, Peer as _};
use vertskommune_tests::alerts::{Alerts, Case};
use vertskommune_tests::directories::Directory;

use super::stage::Stage;
use super::told::metrics;

/// How long a look may take, whatever is broken: the engine gives it two minutes.
const LOOK: Duration = Duration::from_secs(100);
/// How long until a trust is valid again whose way is mended: controllers look for each other anew.
const MENDED: Duration = Duration::from_secs(120);

/// The word for it, what else is told, and how long that took.
async fn told(stage: &Stage, drive: &Drive<'_>) -> (String, Plan) {
    let begun = Instant::now();
    let (report, plan) = stage.report(drive).await;
    eprintln!("told {} in {:?}", report.word(), begun.elapsed());
    assert!(begun.elapsed() < LOOK, "{} after {:?}", report.word(), begun.elapsed());
    (report.word().to_owned(), plan)
}

async fn word(stage: &Stage, drive: &Drive<'_>) -> String {
    told(stage, drive).await.0
}

/// Passes until it is valid, without a hand, and gives the plan that says so.
pub(super) async fn becomes_valid(stage: &Stage, drive: &Drive<'_>, after: &str) -> Plan {
    let begun = Instant::now();
    loop {
        let plan = drive.converge().await;
        let report = plan.directory.as_ref().unwrap();
        if report.verdict == Verdict::Valid {
            eprintln!("valid {:?} after {after}", begun.elapsed());
            stage.tell(&plan);
            return plan;
        }
        assert!(begun.elapsed() < MENDED, "after {after}: {}: {plan:#?}", report.line());
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

/// An order to the lab, or what is run on the tenant's controller.
fn act(stage: &Stage, what: &str) {
    match what.strip_prefix("there: ") {
        Some(script) => drop(stage.run(stage.tenant_side(), script, &[])),
        None => stage.order(what),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_is_told_and_when_it_is_gone_all_is_well() {
    let Some(stage) = Stage::set().await else { return };
    let drive = stage.drive();
    let Some(alerts) = Alerts::of_the_lab() else { return };
    let mut well = metrics(&becomes_valid(&stage, &drive, "its creation").await);
    let record = "127.0.0.1 _msdcs.ibestad.test _ldap._tcp.dc SRV 'ibedc.ibestad.test 389 0 100' -P";
    let [no_record, recorded] =
        ["delete", "add"].map(|what| format!("there: samba-tool dns {what} {record}"));
    let rows: [(&[&str], &str, &[&str]); 10] = [
        (&["dns nxdomain ibestad.test"], "NotForwarded", &["dns ok ibestad.test"]),
        (&[&no_record], "DnsNamesNone", &[&recorded]),
        (
            &["there: samba-tool spn delete ldap/ibedc.ibestad.test 'IBEDC$'"],
            "TicketRefused",
            &["there: samba-tool spn add ldap/ibedc.ibestad.test 'IBEDC$'"],
        ),
        (&["block ibestad 53/udp", "block ibestad 53/tcp"], "DnsSilent", &["unblock ibestad"]),
        (&["block ibestad 88/udp"], "PortsClosed", &["unblock ibestad"]),
        (&["block ibestad 49152-65535/tcp"], "PortsClosed", &["unblock ibestad"]),
        (&["skew ibestad 900"], "ClockSkew", &["skew ibestad 0"]),
        (&["skew host 900"], "ClockSkew", &["skew host 0"]),
        (&["cut ibestad"], "DnsSilent", &["mend ibestad"]),
        (&["stop ibestad sshd"], "Unreachable", &["start ibestad sshd"]),
    ];
    for (broken, expected, mended) in rows {
        for what in broken {
            act(&stage, what);
        }
        let (word, plan) = told(&stage, &drive).await;
        assert_eq!(word, expected, "{broken:?}");
        for what in mended {
            act(&stage, what);
        }
        let before = well;
        well = metrics(&becomes_valid(&stage, &drive, &broken.join(", ")).await);
        let fired = alerts_of(expected);
        if !fired.is_empty() {
            alerts.fire(&before, &Case::of(fired, metrics(&plan), well.clone()));
        }
    }
}

/// Which fire where that is held for as long as they ask for. Some of the causes will do to see it.
fn alerts_of(reason: &str) -> &'static [&'static str] {
    match reason {
        "DnsSilent" => &["VertskommuneTrustBroken"],
        "ClockSkew" => &["VertskommuneTrustBroken", "VertskommuneTrustNotValid"],
        // Whether it works nobody can tell, and nobody is woken for that.
        "Unreachable" => &["VertskommuneTrustNotValid"],
        _ => &[],
    }
}

/// Removes the trustedDomain object alone, as a careless hand with LDAP does.
const OBJECT_GONE: &str = "for entry in directory.search(expression='(objectClass=trustedDomain)', attrs=['cn']):\n  directory.delete(entry.dn)\n";
/// Nothing tells any more whose the trusts are.
pub(super) const RECORDS_GONE: &str = "find /var/lib/vertskommune-directory -name '*.json' -delete";

#[tokio::test(flavor = "multi_thread")]
async fn what_people_and_deaths_leave_is_told_and_healed_where_that_harms_nobody() {
    let Some(stage) = Stage::set().await else { return };
    let drive = stage.drive();
    let (host, tenant) = (stage.host_side(), stage.tenant_side());
    becomes_valid(&stage, &drive, "its creation").await;

    stage.python(tenant, OBJECT_GONE);
    assert_eq!(word(&stage, &drive).await, "OrphanAccount", "its account is left");
    becomes_valid(&stage, &drive, "a deletion over LDAP").await;

    for side in [host, tenant] {
        stage.python(side, OBJECT_GONE);
        stage.run(side, RECORDS_GONE, &[]);
    }
    assert_eq!(word(&stage, &drive).await, "OrphanAccount", "both are gone, with all that we knew");
    becomes_valid(&stage, &drive, "two orphans").await;

    remove(&stage, tenant, host, &host.sid);
    assert_eq!(word(&stage, &drive).await, "OneSided");
    becomes_valid(&stage, &drive, "one side gone").await;

    // Samba's own command tells winbindd nothing, whose channels are those of the trust before.
    let password = fs::read_to_string(&tenant.administrator.password_file).unwrap();
    let how = "--skip-validation --type=forest --direction=both --create-location=both";
    for what in ["delete ibestad.test --delete-location=both", &format!("create ibestad.test {how}")] {
        stage.run(
            host,
            &format!("samba-tool domain trust {what} -U '{}%{password}'", tenant.administrator.name),
            &[],
        );
    }
    assert_eq!(word(&stage, &drive).await, "StaleChannel");
    becomes_valid(&stage, &drive, "both made anew by hand").await;

    // Until the channel is made anew it looks like one of before.
    stage.run(tenant, "samba-tool user disable 'HOST$'", &[]);
    drive.converge().await;
    assert_eq!(word(&stage, &drive).await, "ChannelFailed");
    stage.run(tenant, "samba-tool user enable 'HOST$'", &[]);
    becomes_valid(&stage, &drive, "an account that was disabled").await;
}

/// Has our record and all that it tells of removed by hand.
fn remove(stage: &Stage, of: &Directory, partner: &Directory, sid: &str) {
    let ask = json!({"remove": {"tenant": "ibestad", "domain": partner.domain, "sid": sid}});
    let removed = stage.ask(of, "nord", &ask);
    assert_eq!(removed["done"]["removed"]["was"], true, "{removed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trust_with_a_domain_that_is_no_more_is_left_to_people_and_made_anew_once_it_is_gone() {
    let Some(stage) = Stage::set().await else { return };
    let drive = stage.drive();
    let (host, tenant) = (stage.host_side(), stage.tenant_side());
    let (secret, gone) = ("a-secret-of-a-domain-before", "S-1-5-21-9-9-9");
    let with_another = json!({ "sid": gone });
    becomes_valid(&stage, &drive, "its creation").await;

    // With all that makes it work on both sides; as it is where the tenant's domain was made anew; and where the host's was.
    for (which, host_has, tenant_has) in [
        ("the host's, beside the tenant's", Some(&with_another), Some(&json!({}))),
        ("the host's alone", Some(&with_another), None),
        ("the tenant's alone", None, Some(&with_another)),
    ] {
        remove(&stage, host, tenant, &tenant.sid);
        remove(&stage, tenant, host, &host.sid);
        for (side, has) in [(host, host_has), (tenant, tenant_has)] {
            if let Some(otherwise) = has {
                stage.ensure(side, "nord", secret, otherwise);
            }
        }
        let before = stage.ours().await;
        let plan = drive.converge().await;
        assert_eq!(plan.directory.as_ref().unwrap().word(), "SidMismatch", "{which}: {plan:#?}");
        stage.tell(&plan);
        assert!(plan.steps.is_empty(), "{which}: {plan:#?}");
        assert_eq!(plan.refusals.len(), 1, "{which}: {plan:#?}");
        let refusal = &plan.refusals[0];
        assert_eq!(refusal.reason, RefusalReason::NotOurs, "{which}");
        assert!(refusal.message.contains(gone), "{which}: {}", refusal.message);
        assert_eq!(stage.ours().await, before, "{which}: it was touched");

        match (host_has, tenant_has) {
            (Some(_), Some(_)) => remove(&stage, host, tenant, gone),
            // By whoever knows nothing of our records and of the account that is left.
            (Some(_), None) => drop(stage.python(host, OBJECT_GONE)),
            _ => drop(stage.python(tenant, OBJECT_GONE)),
        }
        becomes_valid(&stage, &drive, &format!("{which} was removed by hand")).await;
    }
}

/// The role of the PDC emulator goes to another controller, of which the directory alone knows.
const ROLE_GONE: &str = r#"
import ldb
server = "CN=ANOTHER,CN=Servers,CN=Default-First-Site-Name,CN=Sites," + str(directory.get_config_basedn())
directory.add({"dn": server, "objectClass": "server"})
directory.add({"dn": "CN=NTDS Settings," + server, "objectClass": "nTDSDSA"}, ["relax:0"])
message = ldb.Message(ldb.Dn(directory, directory.domain_dn()))
message["owner"] = ldb.MessageElement("CN=NTDS Settings," + server, ldb.FLAG_MOD_REPLACE, "fSMORoleOwner")
directory.modify(message)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_only_people_can_settle_is_told_and_done_when_they_say_so() {
    let Some(stage) = Stage::set().await else { return };
    let mut drive = stage.drive();
    let (host, tenant) = (stage.host_side(), stage.tenant_side());
    becomes_valid(&stage, &drive, "its creation").await;

    stage.ensure(host, "nord", "a-secret-of-one-side-alone", &json!({}));
    let (report, plan) = stage.report(&drive).await;
    assert_eq!(report.word(), "WrongSecret", "{plan:#?}");
    assert!(
        plan.steps.iter().all(|it| it.step.operation == "heal"),
        "a secret is never applied again: {plan:#?}"
    );
    drive.tenant.directory.as_mut().unwrap().new_secret_after = Some(Timestamp::now());
    tokio::time::sleep(Duration::from_secs(2)).await;
    becomes_valid(&stage, &drive, "a secret of one side alone").await;

    let waits =
        |plan: &Plan| plan.steps.iter().any(|it| matches!(it.wait, Some(Wait::MaintenanceWindow { .. })));
    let secret = "another-secret-of-the-lab";
    stage.ensure(tenant, "nord", secret, &json!({"direction": "inbound"}));
    let (report, plan) = stage.report(&drive).await;
    assert_eq!(report.word(), "NotMirrored", "{plan:#?}");
    assert!(waits(&plan), "{plan:#?}");
    let soon = Timestamp::now() + Duration::from_secs(3600);
    drive.tenant.directory.as_mut().unwrap().restart_before = Some(soon);
    becomes_valid(&stage, &drive, "another direction").await;

    drive.tenant.directory.as_mut().unwrap().restart_before = None;
    stage.ensure(tenant, "nord", secret, &json!({"kind": "external"}));
    let (report, plan) = stage.report(&drive).await;
    assert_eq!(report.word(), "TypeMismatch", "{plan:#?}");
    assert!(waits(&plan), "{plan:#?}");
    remove(&stage, tenant, host, &host.sid);
    becomes_valid(&stage, &drive, "another type").await;

    for side in [tenant, host] {
        stage.python(side, ROLE_GONE);
        let (report, plan) = stage.report(&drive).await;
        assert_eq!(report.word(), "NotPdc", "{}: {plan:#?}", side.name);
        assert!(plan.ready().next().is_none(), "{}: {plan:#?}", side.name);
        stage.run(side, "samba-tool fsmo seize --role=pdc --force", &[]);
        becomes_valid(&stage, &drive, "the role is back").await;
    }
}
