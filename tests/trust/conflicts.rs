//! What others have made: equal, it is taken over as it stands; anything else is told, and left alone.

use jiff::Timestamp;
use serde_json::json;
use vertskommune_core::directory::Verdict;
use vertskommune_core::step::{Class, RefusalReason};
use vertskommune_provider::testing::conformance::{Drive, Peer as _};
use vertskommune_provider::{Applied, Provider};

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
    let (report, plan) = stage.report(&drive).await;
    assert_eq!(report.verdict, Verdict::Valid, "it works, and is not ours yet: {plan:#?}");
    assert!(plan.steps.iter().all(|it| it.step.class == Class::Adopt) && plan.steps.len() == 1, "{plan:#?}");
    becomes_valid(&stage, &drive, "its adoption").await;
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
    let mut as_it_stands = stage.drive();
    as_it_stands.tenant.directory.as_mut().unwrap().to_tenant = None;
    becomes_valid(&stage, &as_it_stands, "the manifest asks for what stands").await;

    // One side alone.
    stage.clear_all();
    stage.ensure(host, "sor", secret, &json!({}));
    stage.run(host, RECORDS_GONE, &[]);
    let plan = drive.converge().await;
    assert!(plan.steps.is_empty() && plan.refusals.len() == 1, "{plan:#?}");
    let (report, _) = stage.report(&drive).await;
    assert_eq!(report.word(), "OneSided");
    stage.clear_all();
    becomes_valid(&stage, &drive, "its administrators removed their side").await;
}

/// Tries once. It is refused, and what people are told of it begins with that word.
pub(super) async fn is_refused(stage: &Stage, drive: &Drive<'_>, provider: &dyn Provider, word: &str) {
    let plan = drive.plan(provider, drive.observe(provider).await);
    let outcomes = drive.carry_out(provider, &plan).await;
    assert!(matches!(outcomes.as_slice(), [Applied::Failed(_)]), "{outcomes:?}: {plan:#?}");
    let plan = drive.plan(provider, drive.observe(provider).await);
    let report = plan.directory.as_ref().unwrap();
    assert_eq!(report.word(), word, "{outcomes:?}");
    stage.tell(&plan);
    eprintln!("told {}", report.line());
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

    // What was refused is remembered until it is done.
    let provider = stage.provider();
    let mut drive = stage.drive();
    let secret = "a-secret-of-another-trust";
    for (otherwise, expected) in [
        (json!({"domain": "third.test", "sid": "S-1-5-21-1-2-3"}), "NetbiosNameTaken"),
        (json!({"domain": "third.test", "netbios": "THIRD"}), "SidTaken"),
    ] {
        stage.ensure(host, "sor", secret, &otherwise);
        is_refused(&stage, &drive, provider.as_ref(), expected).await;
        stage.clear_all();
        // winbindd takes a name that it knows for the domain that had it first.
        if expected == "NetbiosNameTaken" {
            stage.order("stop host samba");
            stage.order("start host samba");
        }
    }

    drive.tenant.directory.as_mut().unwrap().netbios.clone_from(&host.netbios);
    is_refused(&stage, &drive, provider.as_ref(), "OwnName").await;
    drive.tenant.directory.as_mut().unwrap().netbios.clone_from(&tenant.netbios);

    stage.python(host, &suffixes(&format!("['{}']", tenant.domain)));
    is_refused(&stage, &drive, provider.as_ref(), "NameCollision").await;
    stage.python(host, &suffixes("[]"));
    assert_eq!(stage.ours().await, Vec::<String>::new(), "something of the refused trusts is left");

    for (broken, mended) in [FULL_DISK, NAME_OF_THE_ACCOUNT] {
        stage.run(tenant, broken, &[]);
        is_refused(&stage, &drive, provider.as_ref(), "DirectoryRefuses").await;
        stage.run(tenant, mended, &[]);
    }
    let plan = drive.plan(provider.as_ref(), drive.observe(provider.as_ref()).await);
    let outcomes = drive.carry_out(provider.as_ref(), &plan).await;
    assert_eq!(outcomes, [Applied::Done], "{plan:#?}");
    becomes_valid(&stage, &drive, "all that was refused").await;

    // What one side would refuse takes nothing away from the other.
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

/// Where the agent keeps its records nothing can be written any more, and can again.
const FULL_DISK: (&str, &str) = (
    "at=/var/lib/vertskommune-directory/nord; mount -t tmpfs -o size=4k,mode=700 full $at; head -c 4096 /dev/zero >$at/.full",
    "umount /var/lib/vertskommune-directory/nord",
);
/// Something else has the place of the trust's account.
const NAME_OF_THE_ACCOUNT: (&str, &str) =
    ("samba-tool contact add 'HOST$' --ou=CN=Users", "samba-tool contact delete 'HOST$'");

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_after_the_trust_was_made_is_told_until_it_is_given_up() {
    let Some(stage) = Stage::set().await else { return };
    let drive = stage.drive();
    becomes_valid(&stage, &drive, "its creation").await;
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
        stage.tell(&plan);
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
