//! A tenant's firewall as a configuration revision has it: only that tenant's, by the same plan and steps as any other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fortios_simulator::{Firmware, Options};
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vertskommune_core::difference::Difference;
use vertskommune_core::domain::{Domain, Inputs, Proposal};
use vertskommune_core::host::Host;
use vertskommune_core::names::{Installation, ProviderName};
use vertskommune_core::observation::{Observation, Scope};
use vertskommune_core::resource::Resource;
use vertskommune_core::schema::Schema;
use vertskommune_core::step::Step;
use vertskommune_core::tenant::ValidatedTenant;
use vertskommune_core::violation::Violation;
use vertskommune_provider::context::{Always, Never};
use vertskommune_provider::secrets::SecretStore;
use vertskommune_provider::testing::Cut;
use vertskommune_provider::testing::conformance::{self, Drive, Peer, Things};
use vertskommune_provider::{
    Applied, Changes, Checked, Claim, Ctx, Permit, Provider, ProviderError, Record, Recorded,
};

use super::peer::{FortiGate, edits, example};
use super::{changed, drive, firmwares};

const REVISIONS: &str = "monitor/system/config-revision";

fn ctx(peer: &FortiGate, permit: Arc<dyn Permit>) -> Ctx {
    Ctx {
        deadline: Instant::now() + Duration::from_secs(60),
        cancel: CancellationToken::new(),
        secrets: peer.secrets(),
        permit,
    }
}

async fn records(peer: &FortiGate) -> Vec<Record> {
    peer.provider().records(&ctx(peer, Arc::new(Never))).await.unwrap()
}

async fn read(peer: &FortiGate, id: &str, tenant: &str) -> Result<Recorded, ProviderError> {
    peer.provider().recorded(id, &tenant.into(), &ctx(peer, Arc::new(Never))).await
}

/// The peer while a tenant is to be as a record has it.
struct Back<'a> {
    peer: &'a FortiGate,
    resources: Vec<Resource>,
}

impl Peer for Back<'_> {
    fn host(&self) -> Host {
        self.peer.host()
    }
    fn installation(&self) -> Installation {
        self.peer.installation()
    }
    fn provider(&self) -> Arc<dyn Provider> {
        Arc::new(Past { provider: self.peer.provider(), resources: self.resources.clone() })
    }
    fn secrets(&self) -> Arc<dyn SecretStore> {
        self.peer.secrets()
    }
    fn journal(&self) -> BoxFuture<'_, Vec<String>> {
        self.peer.journal()
    }
    fn reset(&self) -> BoxFuture<'_, ()> {
        self.peer.reset()
    }
    fn cut(&self, nth: usize, cut: Cut) -> BoxFuture<'_, ()> {
        self.peer.cut(nth, cut)
    }
    fn things(&self) -> BoxFuture<'_, Things> {
        self.peer.things()
    }
    fn let_time_pass(&self) -> BoxFuture<'_, ()> {
        self.peer.let_time_pass()
    }
    fn clear(&self) -> BoxFuture<'_, ()> {
        self.peer.clear()
    }
}

/// A provider that wants what the record says, whatever the manifest does.
struct Past {
    provider: Arc<dyn Provider>,
    resources: Vec<Resource>,
}

impl Domain for Past {
    fn name(&self) -> &ProviderName {
        self.provider.name()
    }
    fn schema(&self) -> &Schema {
        self.provider.schema()
    }
    fn expand(&self, _: &Inputs) -> Result<Vec<Resource>, Vec<Violation>> {
        Ok(self.resources.clone())
    }
    fn steps(&self, differences: &[Difference], seen: &Observation, now: Timestamp) -> Proposal {
        self.provider.steps(differences, seen, now)
    }
}

impl Provider for Past {
    fn observe<'a>(
        &'a self,
        scope: &'a Scope,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Observation, ProviderError>> {
        self.provider.observe(scope, ctx)
    }
    fn changed<'a>(&'a self, ctx: &'a Ctx) -> BoxFuture<'a, Result<Changes, ProviderError>> {
        self.provider.changed(ctx)
    }
    fn apply<'a>(&'a self, steps: &'a [Step], ctx: &'a Ctx) -> BoxFuture<'a, Vec<Applied>> {
        self.provider.apply(steps, ctx)
    }
    fn preflight<'a>(&'a self, ctx: &'a Ctx) -> BoxFuture<'a, Vec<Checked>> {
        self.provider.preflight(ctx)
    }
    fn claim<'a>(&'a self, claim: &'a Claim, ctx: &'a Ctx) -> BoxFuture<'a, Result<(), ProviderError>> {
        self.provider.claim(claim, ctx)
    }
}

/// The rows of the export that carry a tenant's mark, as they stand; `others` gives all rows but those.
async fn of_tenant(peer: &FortiGate, tenant: &str, others: bool) -> Vec<(String, String)> {
    let export = peer.export().await;
    let mark = format!("\"nord/{tenant}/");
    let is = |(table, row): &(String, String)| {
        let schedule = table.contains("schedule") && row.contains(&format!("\"{tenant}."));
        row.contains(&mark) || schedule
    };
    let rows = edits(&export).into_iter().map(|edit| (edit.table, edit.text));
    rows.filter(|row| is(row) != others).collect()
}

/// Without what the device draws anew: the number and the identity of a row. Only policies have an order that means
/// anything.
async fn lasting(peer: &FortiGate, tenant: &str) -> Vec<String> {
    let mut rows = of_tenant(peer, tenant, false).await;
    rows.sort_by_key(|(table, row)| if table.ends_with("policy") { String::new() } else { row.clone() });
    rows.iter().map(|(table, row)| super::peer::lasting(table, row)).collect()
}

#[tokio::test]
async fn a_change_is_taken_back_and_nothing_of_others_moves() {
    for firmware in firmwares() {
        let peer = FortiGate::start(firmware).await;
        for name in ["gratangen", "ibestad", "dyroy"] {
            drive(&peer, example(name)).converge().await;
        }
        let (before, others) = (lasting(&peer, "ibestad").await, of_tenant(&peer, "ibestad", true).await);
        drive(&peer, changed(example("ibestad"))).converge().await;
        assert_ne!(lasting(&peer, "ibestad").await, before);
        let newest = records(&peer).await.remove(0);
        assert!(newest.comment.starts_with("vertskommune nord/ibestad "), "{newest:?}");
        assert_eq!(newest.by, "api");
        let recorded = read(&peer, &newest.id, "ibestad").await.unwrap();
        assert_eq!(recorded.networks.len(), example("ibestad").networks.len());
        assert_eq!(recorded.published.len(), 1);
        let back = Back { peer: &peer, resources: recorded.resources };
        conformance::converges(&Drive { peer: &back, tenant: example("ibestad"), leaving: false }).await;
        assert_eq!(lasting(&peer, "ibestad").await, before, "{firmware:?}");
        assert_eq!(of_tenant(&peer, "ibestad", true).await, others, "{firmware:?}: byte for byte");
        let plan = drive(&peer, example("ibestad")).look().await;
        assert!(plan.is_empty(), "it is as its manifest was: {plan:#?}");
    }
}

#[tokio::test]
async fn a_revision_reads_as_the_tables_do() {
    for firmware in firmwares() {
        let peer = FortiGate::start(firmware).await;
        for name in ["ibestad", "dyroy", "gratangen"] {
            drive(&peer, example(name)).converge().await;
        }
        raw_save(&peer, "by hand").await;
        let newest = records(&peer).await.remove(0);
        assert_eq!(newest.comment, "by hand");
        for name in ["ibestad", "dyroy", "gratangen"] {
            let resources = read(&peer, &newest.id, name).await.unwrap().resources;
            let wanted =
                peer.provider().expand(&Inputs { installation: peer.installation(), tenant: example(name) });
            let ids =
                |resources: &[Resource]| resources.iter().map(|it| it.id.clone()).collect::<BTreeSet<_>>();
            assert_eq!(ids(&resources), ids(&wanted.unwrap()));
            let back = Back { peer: &peer, resources };
            let plan = Drive { peer: &back, tenant: example(name), leaving: false }.look().await;
            assert!(plan.is_empty() && plan.shown.is_empty(), "{name}: {plan:#?}");
        }
    }
}

#[tokio::test]
async fn a_crash_at_every_write_of_a_rollback_is_survived() {
    for firmware in firmwares() {
        let peer = FortiGate::start(firmware).await;
        let prepared = peer.clone();
        let prepare = move || -> BoxFuture<'static, ()> {
            let peer = prepared.clone();
            Box::pin(async move {
                peer.clear().await;
                drive(&peer, example("ibestad")).converge().await;
                drive(&peer, changed(example("ibestad"))).converge().await;
                peer.reset().await;
            })
        };
        prepare().await;
        let resources = read(&peer, "2", "ibestad").await.unwrap().resources;
        let back = Back { peer: &peer, resources };
        let drive = Drive { peer: &back, tenant: example("ibestad"), leaving: false };
        let figures = conformance::survives_a_crash_at_every_write(&drive, &prepare).await;
        assert_eq!(figures.visited, figures.writes * 2);
        assert!(figures.writes > 5, "{figures:?}");
        println!("{firmware:?}: rollback {figures:?}");
    }
}

#[tokio::test]
async fn a_revision_from_before_a_tenant_says_that_it_had_nothing() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    drive(&peer, example("ibestad")).converge().await;
    let records = records(&peer).await;
    assert_eq!(records.len(), 1, "one for the whole onboarding: {records:?}");
    assert_eq!(read(&peer, &records[0].id, "ibestad").await, Ok(Recorded::default()));
    let back = Back { peer: &peer, resources: Vec::new() };
    let last = Drive { peer: &back, tenant: example("ibestad"), leaving: false }.converge().await;
    assert!(last.is_empty(), "{last:#?}");
    assert_eq!(of_tenant(&peer, "ibestad", false).await, []);
}

async fn raw_save(peer: &FortiGate, comment: &str) {
    peer.monitor("POST", "system/config-revision/save", json!({"comments": comment})).await;
}

async fn saves(peer: &FortiGate) -> usize {
    let journal = peer.journal().await;
    journal.iter().filter(|write| write.contains(&format!("{REVISIONS}/save"))).count()
}

#[tokio::test]
async fn one_revision_serves_many_changes_and_none_is_saved_where_nothing_is_written() {
    for firmware in firmwares() {
        let peer = FortiGate::start(firmware).await;
        let (ibestad, dyroy) = (example("ibestad"), example("dyroy"));
        let provider = peer.provider();
        let act = async |tenant: ValidatedTenant, permit: Arc<dyn Permit>| {
            let drive = drive(&peer, tenant);
            for _ in 0..20 {
                let plan = drive.plan(provider.as_ref(), drive.observe(provider.as_ref()).await);
                let turns = plan.turns(&|_| true);
                for turn in &turns {
                    let steps: Vec<Step> = turn.iter().map(|planned| planned.step.clone()).collect();
                    provider.apply(&steps, &ctx(&peer, permit.clone())).await;
                }
                if turns.is_empty() {
                    break;
                }
            }
        };
        act(ibestad.clone(), Arc::new(Never)).await;
        assert_eq!(saves(&peer).await, 0, "without a permit");
        assert_eq!(records(&peer).await, []);
        act(ibestad.clone(), Arc::new(Always)).await;
        act(dyroy, Arc::new(Always)).await;
        act(changed(ibestad.clone()), Arc::new(Always)).await;
        assert_eq!(saves(&peer).await, 1, "{:?}", records(&peer).await);
        let other = peer.host_with(|host| "FGVM04TM99999999".clone_into(&mut host.identity));
        let drive = drive(&peer, ibestad);
        let plan = drive.look().await;
        drive.carry_out(FortiGate::provider_of(&other).as_ref(), &plan).await;
        assert_eq!(saves(&peer).await, 1, "another device");
    }
}

#[tokio::test]
async fn a_step_that_finds_itself_done_saves_none() {
    let peer = FortiGate::start(Firmware::new(7, 2, 8)).await;
    let drive = drive(&peer, example("gratangen"));
    drive.converge().await;
    let change = json!({"subnet": "10.13.30.12/32"});
    peer.raw("PUT", "firewall/address/gratangen.gra-fs01?vdom=root", change).await;
    let plan = drive.look().await;
    assert_eq!(plan.steps.len(), 1);
    drive.converge().await;
    peer.reset().await;
    let outcomes = drive.carry_out(peer.provider().as_ref(), &plan).await;
    assert_eq!((outcomes, peer.journal().await), (vec![Applied::Done], Vec::new()));
}

#[tokio::test]
async fn a_device_that_keeps_none_is_changed_all_the_same() {
    for firmware in firmwares() {
        let options = Options::default();
        let identity = fortios_simulator::Identity { firmware, ..options.identity.clone() };
        let peer = FortiGate::with(Options { identity, revisions: 0, ..options }).await;
        conformance::converges(&drive(&peer, example("gratangen"))).await;
        assert_eq!(records(&peer).await, []);
        let error = read(&peer, "1", "gratangen").await.unwrap_err();
        assert!(matches!(error, ProviderError::Conflict(_)), "{error:?}");
        let said = preflight(&peer).await;
        assert_eq!(said, "none kept, and its disk is not_available: a rollback may not be possible");
    }
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    assert_eq!(preflight(&peer).await, "none kept yet: one is saved before the first change");
    peer.admin("POST", "/hide?table=system/config-revision", Json::Null).await;
    conformance::converges(&drive(&peer, example("gratangen"))).await;
    let said = preflight(&peer).await;
    assert!(said.contains("no rollback is possible: the account lacks a right"), "{said}");
    peer.admin("DELETE", "/hide", Json::Null).await;
    drive(&peer, changed_little()).converge().await;
    assert!(preflight(&peer).await.starts_with("1 kept, the newest of 2"));
}

fn changed_little() -> ValidatedTenant {
    let mut tenant = example("gratangen");
    tenant.firewall.as_mut().unwrap().rules[0].enabled = false;
    tenant
}

async fn preflight(peer: &FortiGate) -> String {
    let checked = peer.provider().preflight(&ctx(peer, Arc::new(Never))).await;
    let line = checked.into_iter().find(|it| it.what == "revisions").unwrap();
    line.result.unwrap()
}

#[tokio::test]
async fn a_device_that_does_not_answer_is_not_changed() {
    for firmware in firmwares() {
        let peer = FortiGate::start(firmware).await;
        let drive = drive(&peer, example("gratangen"));
        let plan = drive.look().await;
        let fault = json!({"path": format!("{REVISIONS}/save"), "status": 503, "html": true});
        peer.admin("POST", "/fault", fault).await;
        peer.reset().await;
        let outcomes = drive.carry_out(peer.provider().as_ref(), &plan).await;
        assert!(!outcomes.contains(&Applied::Done), "{outcomes:?}");
        assert_eq!(peer.journal().await.len(), 1, "that one request alone");
        peer.admin("DELETE", "/fault", Json::Null).await;
        conformance::converges(&drive).await;
    }
}

#[tokio::test]
async fn a_revision_that_is_cut_off_or_is_none_is_an_error() {
    let peer = FortiGate::start(Firmware::new(7, 4, 8)).await;
    drive(&peer, example("ibestad")).converge().await;
    raw_save(&peer, "whole").await;
    let whole = peer.export().await;
    let read = async |text: &str| {
        peer.damage("2", text).await;
        read(&peer, "2", "ibestad").await
    };
    assert!(read(&whole).await.unwrap().resources.len() > 20);
    let policies = whole.find("config firewall policy").unwrap();
    for (text, said) in [
        (&whole[..policies + 400], "a part of the text is missing"),
        (&whole[..policies], "a part of the text is missing"),
        (&whole[..whole.find("config global").unwrap()], "nothing of the virtual firewall root"),
        ("<html>", "is no configuration"),
        ("", "nothing of the virtual firewall root"),
        (
            &whole.replace("\"deny-and-log\"", "\"another\""),
            "the policy deny-and-log that tenants' rules stand above is not there",
        ),
        (
            // Both forms of a rule stand in it.
            &whole
                .replace("nord/ibestad/policy/clients-to-cases", "nord/ibestad/policy/clients-to-files")
                .replace("\"ibestad.clients-to-cases\"", "\"ibestad.clients-to-files~2\""),
            "it was saved while policy/clients-to-files was being replaced",
        ),
        (
            // Two addresses with one mark.
            &whole.replace("nord/ibestad/address/ibe-app01", "nord/ibestad/address/ibe-fs01"),
            "several things carry the same mark",
        ),
        (
            &whole.replacen("edit \"zone.ibestad\"", "edit \"zone\"\n    next\n    edit \"zone.ibestad", 1),
            "a part of the text is missing",
        ),
    ] {
        let error = read(text).await.unwrap_err();
        assert!(
            matches!(&error, ProviderError::Protocol(why) if why.starts_with("revision 2: ")),
            "{error:?}"
        );
        assert!(error.to_string().contains(said), "{error}");
    }
}
