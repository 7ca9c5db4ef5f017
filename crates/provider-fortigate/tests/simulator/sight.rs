//! What cannot be seen is unknown: nothing is planned from it, and what went wrong has its own name.

use std::sync::Arc;
use std::time::Duration;

use fortios_simulator::Firmware;
use serde_json::{Value as Json, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vertskommune_core::observation::{Blindness, Scope};
use vertskommune_provider::context::{Always, Never};
use vertskommune_provider::secrets::{Secret, SecretError, SecretStore};
use vertskommune_provider::testing::conformance::{self, Peer as _};
use vertskommune_provider::{Applied, Changes, Claim, Ctx, ProviderError};

use super::drive;
use super::peer::{FortiGate, TOKEN, example};

pub(super) fn ctx(secrets: Arc<dyn SecretStore>) -> Ctx {
    Ctx {
        deadline: Instant::now() + Duration::from_mins(5),
        cancel: CancellationToken::new(),
        secrets,
        permit: Arc::new(Never),
    }
}

#[tokio::test]
async fn a_table_without_a_right_is_unknown_and_the_rest_goes_on() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    let drive = drive(&peer, example("gratangen"));
    drive.converge().await;
    peer.admin("POST", "/hide?vdom=root&table=firewall/policy", Json::Null).await;
    let plan = drive.look().await;
    assert_eq!(plan.steps.len(), 0, "{plan:#?}");
    assert_eq!(plan.doubts.len(), 7, "six rules and their order: {plan:#?}");
    assert!(plan.doubts.iter().all(|doubt| matches!(doubt.why, Blindness::NoSight(_))));
    peer.admin("DELETE", "/hide", Json::Null).await;
    conformance::converges(&drive).await;
}

#[tokio::test]
async fn without_the_anchor_no_rule_is_planned() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    let drive = drive(&peer, example("gratangen"));
    drive.converge().await;
    peer.raw("PUT", "firewall/policy/2?vdom=root", json!({"name": "another"})).await;
    let plan = drive.look().await;
    assert_eq!((plan.steps.len(), plan.doubts.len()), (0, 7), "{plan:#?}");
    assert!(plan.doubts[0].why.to_string().contains("deny-and-log"), "{plan:#?}");
}

#[tokio::test]
async fn what_goes_wrong_has_its_own_name_and_no_secret() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    let look = async |host: vertskommune_core::host::Host, secrets: Arc<dyn SecretStore>| {
        FortiGate::provider_of(&host).observe(&Scope::default(), &ctx(secrets)).await.unwrap_err()
    };
    let right = peer.secrets();
    let other = peer.host_with(|host| "FGVM04TM99999999".clone_into(&mut host.identity));
    let error = look(other, right.clone()).await;
    assert!(matches!(error, ProviderError::Misidentified { .. }), "{error:?}");
    let error = look(peer.host(), Arc::new(Wrong)).await;
    assert_eq!(error, ProviderError::CredentialsRefused);
    let stranger = FortiGate::start(Firmware::new(7, 4, 8)).await;
    let wrong_ca = peer.host_with(|host| host.ca = stranger.host().ca);
    let error = look(wrong_ca, right.clone()).await;
    assert!(
        matches!(error, ProviderError::Unreachable { .. }) && !format!("{error:?}").contains(TOKEN),
        "{error:?}"
    );
    peer.admin("POST", "/http?code=429&count=1", Json::Null).await;
    let error = look(peer.host(), right.clone()).await;
    assert!(matches!(error, ProviderError::Throttled { .. }), "{error:?}");
    peer.admin("POST", "/http?code=503&count=1", Json::Null).await;
    let error = look(peer.host(), right.clone()).await;
    assert!(matches!(error, ProviderError::Unreachable { .. }), "{error:?}");
    peer.admin("POST", "/pause", Json::Null).await;
    let error = look(peer.host(), right).await;
    assert!(matches!(error, ProviderError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn another_device_under_the_same_address_is_not_written_to() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    let drive = drive(&peer, example("gratangen"));
    let plan = drive.look().await;
    assert!(!plan.steps.is_empty());
    let other = peer.host_with(|host| "FGVM04TM99999999".clone_into(&mut host.identity));
    let other = FortiGate::provider_of(&other);
    let claim = Claim {
        installation: "nord".into(),
        holder: "test".to_owned(),
        expires: jiff::Timestamp::now() + Duration::from_secs(60),
        take_over: true,
    };
    peer.reset().await;
    let outcomes = drive.carry_out(other.as_ref(), &plan).await;
    assert!(matches!(&outcomes[..], [Applied::Failed(ProviderError::Misidentified { .. })]), "{outcomes:?}");
    let claimed = other.claim(&claim, &ctx(peer.secrets())).await;
    assert!(matches!(claimed, Err(ProviderError::Misidentified { .. })), "{claimed:?}");
    assert_eq!(peer.journal().await, Vec::<String>::new());
}

/// Transactions lock the table in which the claim stands; ours are waited for.
#[tokio::test]
async fn a_claim_is_renewed_while_a_transaction_of_ours_is_open() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    let drive = drive(&peer, example("gratangen"));
    let mut plan = drive.look().await;
    // Interfaces and zones go before.
    while plan.ready().any(|it| it.step.batch.is_none()) {
        let mut alone = plan.clone();
        alone.steps.retain(|it| it.step.batch.is_none());
        drive.carry_out(peer.provider().as_ref(), &alone).await;
        plan = drive.look().await;
    }
    let provider = peer.provider();
    let claim = Claim {
        installation: "nord".into(),
        holder: "conformance".to_owned(),
        expires: jiff::Timestamp::now() + Duration::from_secs(60),
        take_over: false,
    };
    peer.admin("POST", "/delay?ms=10", Json::Null).await;
    peer.reset().await;
    let may_write = Ctx { permit: Arc::new(Always), ..ctx(peer.secrets()) };
    let renewed = async {
        while !peer.journal().await.iter().any(|write| write.contains("firewall/address")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        provider.claim(&claim, &may_write).await
    };
    let (outcomes, renewed) = tokio::join!(drive.carry_out(provider.as_ref(), &plan), renewed);
    assert_eq!(renewed, Ok(()));
    assert!(!outcomes.is_empty() && outcomes.iter().all(|it| *it == Applied::Done), "{outcomes:?}");
}

struct Wrong;

impl SecretStore for Wrong {
    fn get<'a>(&'a self, _: &'a str) -> futures::future::BoxFuture<'a, Result<Secret, SecretError>> {
        let entries = [("token".to_owned(), b"wrong".to_vec())].into();
        Box::pin(async { Ok(Secret { entries, version: "1".to_owned(), tenant: None }) })
    }
}

#[tokio::test]
async fn a_change_by_hand_is_noticed() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    drive(&peer, example("gratangen")).converge().await;
    let (provider, ctx) = (peer.provider(), ctx(peer.secrets()));
    assert_eq!(provider.changed(&ctx).await, Ok(Changes::Anything), "the first answer");
    provider.observe(&Scope::default(), &ctx).await.unwrap();
    let change = json!({"subnet": "10.13.30.12/32"});
    peer.raw("PUT", "firewall/address/gratangen.gra-fs01?vdom=root", change).await;
    assert_eq!(provider.changed(&ctx).await, Ok(Changes::Tenants(["gratangen".into()].into())));
}
