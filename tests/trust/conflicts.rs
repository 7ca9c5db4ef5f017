//! What others have made: equal, it is taken over as it stands; anything else is told, and left alone.

use jiff::Timestamp;
use serde_json::json;
use vertskommune_core::step::{Class, RefusalReason};
use vertskommune_provider::Applied;
use vertskommune_provider::testing::conformance::Peer as _;

use super::failures::{RECORDS_GONE, becomes_valid};
use super::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn an_equal_trust_is_adopted_and_any_other_left_alone() {
    let Some(stage) = Stage::set().await else { return };
    let drive = stage.drive();
    let (host, tenant) = (stage.host_side(), stage.tenant_side());
    let secret = "a-secret-that-others-agreed-on";

    // An equal one, first of another installation, then of people.
    for side in [host, tenant] {
        stage.ensure(side, "sor", secret, &json!({}));
    }
    let (report, plan) = stage.report(&drive).await;
    assert_eq!(report.word(), "ConflictingTrust", "{plan:#?}");
    assert!(plan.steps.is_empty(), "what is another installation's is not even tried: {plan:#?}");
    assert!(plan.refusals[0].message.contains("installation sor"), "{}", plan.refusals[0].message);
    for side in [host, tenant] {
        stage.run(side, RECORDS_GONE, &[]);
    }
    let plan = drive.look().await;
    assert!(plan.steps.iter().all(|it| it.step.class == Class::Adopt) && plan.steps.len() == 1, "{plan:#?}");
    becomes_valid(&drive, "its adoption").await;
    let plan = drive.look().await;
    assert!(plan.is_empty(), "{plan:#?}");

    // Another direction.
    stage.clear_all();
    for (side, direction) in [(host, "outbound"), (tenant, "inbound")] {
        stage.ensure(side, "sor", secret, &json!({"direction": direction}));
        stage.run(side, RECORDS_GONE, &[]);
    }
    let before = stage.ours().await;
    let plan = drive.converge().await;
    assert!(plan.steps.is_empty(), "{plan:#?}");
    assert_eq!(plan.refusals[0].reason, RefusalReason::NotOurs, "{plan:#?}");
    assert!(plan.refusals[0].message.contains("direction outbound"), "{}", plan.refusals[0].message);
    let (report, _) = stage.report(&drive).await;
    assert_eq!(report.word(), "ConflictingTrust");
    assert_eq!(stage.ours().await, before, "it was touched");

    // One side alone.
    stage.clear_all();
    stage.ensure(host, "sor", secret, &json!({}));
    stage.run(host, RECORDS_GONE, &[]);
    let plan = drive.converge().await;
    assert!(plan.steps.is_empty() && plan.refusals.len() == 1, "{plan:#?}");
    let (report, _) = stage.report(&drive).await;
    assert_eq!(report.word(), "OneSided");
}

/// Tries once, and gives the word for what came of it.
async fn refused(stage: &Stage) -> String {
    let drive = stage.drive();
    let provider = stage.provider();
    let plan = drive.plan(provider.as_ref(), drive.observe(provider.as_ref()).await);
    let outcomes = drive.carry_out(provider.as_ref(), &plan).await;
    assert!(matches!(outcomes.as_slice(), [Applied::Failed(_)]), "{outcomes:?}: {plan:#?}");
    let plan = drive.plan(provider.as_ref(), drive.observe(provider.as_ref()).await);
    plan.directory.unwrap().word().to_owned()
}

/// Gives a forest these suffixes of its users' names, and no others.
fn suffixes(values: &str) -> String {
    format!(
        "import ldb\nmessage = ldb.Message(ldb.Dn(directory, 'CN=Partitions,' + str(directory.get_config_basedn())))\n\
         message['s'] = ldb.MessageElement({values}, ldb.FLAG_MOD_REPLACE, 'uPNSuffixes')\ndirectory.modify(message)\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_directory_refuses_has_a_reason() {
    let Some(stage) = Stage::set().await else { return };
    let (host, tenant) = (stage.host_side(), stage.tenant_side());

    let both = json!(["inbound", "outbound", "both"]);
    stage.allow(host, &json!({"third.test": both}));
    let (report, _) = stage.report(&stage.drive()).await;
    assert_eq!(report.word(), "PartnerNotAllowed");
    stage.allow(host, &json!({"third.test": both, tenant.domain.as_str(): both}));

    let third = json!({"domain": "third.test", "sid": "S-1-5-21-1-2-3"});
    stage.ensure(host, "sor", "a-secret-of-another-trust", &third);
    assert_eq!(refused(&stage).await, "NetbiosNameTaken");
    stage.clear_all();

    stage.python(host, &suffixes(&format!("['{}']", tenant.domain)));
    assert_eq!(refused(&stage).await, "NameCollision");
    stage.python(host, &suffixes("[]"));
    assert_eq!(stage.ours().await, Vec::<String>::new(), "something of the refused trusts is left");

    // What one side would refuse takes nothing away from the other.
    let mut drive = stage.drive();
    drive.converge().await;
    let before = stage.ours().await;
    stage.allow(host, &json!({tenant.domain.as_str(): ["both"]}));
    let directory = drive.tenant.directory.as_mut().unwrap();
    (directory.to_tenant, directory.restart_before) = (None, Some(Timestamp::MAX));
    let provider = stage.provider();
    let plan = drive.plan(provider.as_ref(), drive.observe(provider.as_ref()).await);
    let outcomes = drive.carry_out(provider.as_ref(), &plan).await;
    assert!(matches!(outcomes.as_slice(), [Applied::Failed(_)]), "{outcomes:?}: {plan:#?}");
    assert_eq!(stage.ours().await, before, "a side was taken away though the other refuses");
    assert_eq!(plan.directory.unwrap().word(), "PartnerNotAllowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_after_the_trust_was_made_is_told_until_it_is_given_up() {
    let Some(stage) = Stage::set().await else { return };
    let drive = stage.drive();
    becomes_valid(&drive, "its creation").await;
    let (host, tenant) = (stage.host_side(), stage.tenant_side());
    for (side, partner) in [(host, tenant), (tenant, host)] {
        // Samba looks at names when it is told to.
        let read_anew = format!("samba-tool domain trust namespaces {} --refresh=store", partner.domain);
        stage.python(side, &suffixes(&format!("['{}']", partner.domain)));
        stage.run(side, &read_anew, &[]);
        let before = stage.ours().await;
        let plan = drive.converge().await;
        let report = plan.directory.as_ref().unwrap();
        assert_eq!(report.word(), "NamesInConflict", "{plan:#?}");
        let line = report.line();
        assert!(line.contains(&partner.domain) && line.contains("read anew"), "{line}");
        assert!(plan.is_empty(), "names are people's: {plan:#?}");
        assert_eq!(stage.ours().await, before, "it was touched");

        stage.python(side, &suffixes("[]"));
        let (report, _) = stage.report(&drive).await;
        assert_eq!(report.word(), "NamesInConflict", "Samba has looked by itself");
        stage.run(side, &read_anew, &[]);
        let (report, plan) = stage.report(&drive).await;
        assert_eq!(report.word(), "Valid", "{plan:#?}");
    }
}
