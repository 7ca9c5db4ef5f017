//! Where people make the tenant's side, and where the host's agent does not answer.

use serde_json::json;
use vertskommune_core::directory::{Partner, Verdict};
use vertskommune_provider::testing::conformance::{Drive, Peer as _};

use super::canary::Canaries;
use super::conflicts::is_refused;
use super::stage::Stage;
use super::watch::Watch;

/// What nobody should ever see.
const CANARY: &str = "canary-6f1d-of-the-trust";

#[tokio::test(flavor = "multi_thread")]
async fn where_people_make_the_other_side_they_are_told_how_and_no_secret_shows() {
    let Some(stage) = Stage::set().await else { return };
    let mut drive = stage.drive();
    let (host, tenant) = (stage.host_side(), stage.tenant_side());
    stage.keep_secret("ibestad-trust", Some("ibestad"), &[("trustSecret", CANARY)]);
    let directory = drive.tenant.directory.as_mut().unwrap();
    directory.partner = Partner::Manual { secret: "ibestad-trust".to_owned() };
    directory.sid = Some(host.sid.clone());
    is_refused(&stage, &drive, stage.provider().as_ref(), "OwnSid").await;
    let directory = drive.tenant.directory.as_mut().unwrap();
    directory.sid = Some(tenant.sid.clone());
    directory.to_tenant.as_mut().unwrap().selective = true;
    let (report, plan) = stage.report(&drive).await;
    assert_eq!(report.word(), "NobodyAllowed", "{plan:#?}");
    let directory = drive.tenant.directory.as_mut().unwrap();
    directory.to_tenant.as_mut().unwrap().allowed.push("IBE-FS01".to_owned());

    let watch = Watch::begin();
    let plan = drive.converge().await;
    let mut shown = watch.end();
    shown.push(("the plan".to_owned(), serde_json::to_vec(&plan).unwrap()));
    let kept = "cat /var/log/samba/* 2>/dev/null || true; cat /var/lib/vertskommune-directory/*/* || true";
    shown.push(("logs and records".to_owned(), stage.run(host, kept, &[]).into_bytes()));
    let mut canaries = Canaries::new();
    canaries.add("the trust's secret", CANARY.as_bytes());
    let seen: Vec<String> = shown.iter().flat_map(|(place, text)| canaries.seen_in(place, text)).collect();
    assert_eq!(seen, Vec::<String>::new());

    let (report, plan) = stage.report(&drive).await;
    assert_eq!(report.verdict, Verdict::OurSideOnly, "{plan:#?}");
    assert!(plan.is_empty(), "our side is done: {plan:#?}");
    let todo = report.todo.join("\n");
    assert!(todo.contains("CreateLocalSideOfTrustRelationship('host.test', 'Bidirectional'"), "{todo}");
    let none: Vec<String> =
        stage.ours().await.into_iter().filter(|line| line.starts_with("ibestad")).collect();
    assert_eq!(none, Vec::<String>::new(), "the tenant's side was touched");

    // Its administrators do so.
    stage.ensure(tenant, "sor", CANARY, &json!({}));
    stage.ask(host, "nord", &json!({"heal": {"domain": tenant.domain}}));
    let (report, plan) = stage.report(&drive).await;
    assert_eq!(report.verdict, Verdict::Valid, "{plan:#?}");
    assert!(report.todo.is_empty());

    // A secret that is another tenant's, or the host's own, is not used.
    stage.clear_all();
    for secret in ["ad-host", "ibestad-dc-of-others"] {
        stage.keep_secret(secret, None, &[("trustSecret", CANARY)]);
        let partner = Partner::Manual { secret: secret.to_owned() };
        drive.tenant.directory.as_mut().unwrap().partner = partner;
        let provider = stage.provider();
        let plan = drive.plan(provider.as_ref(), drive.observe(provider.as_ref()).await);
        let outcomes = drive.carry_out(provider.as_ref(), &plan).await;
        assert!(format!("{outcomes:?}").contains("is not ibestad's"), "{outcomes:?}");
    }
    assert_eq!(stage.ours().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_side_is_seen_without_its_agent_and_nothing_is_done_by_that() {
    let Some(stage) = Stage::set().await else { return };
    stage.read_over_ldaps();
    let drive = stage.drive();
    drive.converge().await;
    let lines = stage.provider().preflight(&stage.ctx()).await;
    let wrong: Vec<_> = lines.iter().filter(|line| line.result.is_err()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    stage.order("stop host sshd");
    let provider = stage.provider();
    let seen = drive.observe(provider.as_ref()).await;
    let signals = seen.trusts.get(&drive.tenant.name).cloned().unwrap();
    assert!(signals.host.object.present().is_some(), "{signals:#?}");
    let leaving = Drive { leaving: true, ..stage.drive() };
    for drive in [&drive, &leaving] {
        let plan = drive.plan(provider.as_ref(), drive.observe(provider.as_ref()).await);
        assert!(plan.ready().next().is_none(), "{plan:#?}");
    }
    let lines = provider.preflight(&stage.ctx()).await;
    let ldap = lines.iter().find(|line| line.what == "ldap").unwrap();
    assert!(ldap.result.is_ok(), "{lines:#?}");
    stage.order("start host sshd");
}
