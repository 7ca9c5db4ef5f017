//! Trusts of two domains alone, and trusts one way: each is made, works as far as it goes, stays as it stands and goes.

use vertskommune_core::directory::health::{Channel, Ticket};
use vertskommune_core::directory::{TrustKind, Verdict};
use vertskommune_provider::testing::conformance::{Drive, Peer as _, converges};

use super::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn an_external_trust_works_both_ways_and_one_way_and_leaves_nothing() {
    let Some(stage) = Stage::set().await else { return };
    for (to_host, to_tenant) in [(true, true), (true, false), (false, true)] {
        let mut drive = stage.drive();
        let directory = drive.tenant.directory.as_mut().unwrap();
        directory.kind = TrustKind::External;
        directory.to_host = directory.to_host.take().filter(|_| to_host);
        directory.to_tenant = directory.to_tenant.take().filter(|_| to_tenant);
        // The second plan is empty and writes nothing.
        converges(&drive).await;

        let provider = stage.provider();
        let seen = drive.observe(provider.as_ref()).await;
        let signals = seen.trusts[&drive.tenant.name].clone();
        let (host, tenant) = (&signals.host, &signals.tenant);
        for object in [&host.object, &tenant.object] {
            assert_eq!(object.present().unwrap().kind, Some(TrustKind::External), "{signals:#?}");
        }
        // Who lets others in has a channel, and who is let in gets tickets.
        for (way, channel, ticket) in
            [(to_host, &host.channel, &tenant.ticket), (to_tenant, &tenant.channel, &host.ticket)]
        {
            let expected = (way.then_some(Channel::Well), way.then_some(Ticket::Had));
            assert_eq!((channel.clone(), ticket.clone()), expected, "{signals:#?}");
        }
        let plan = drive.plan(provider.as_ref(), seen);
        assert_eq!(plan.directory.as_ref().unwrap().verdict, Verdict::Valid, "{plan:#?}");
        assert!(plan.is_empty(), "{plan:#?}");

        let leaving = Drive { leaving: true, ..drive };
        leaving.converge().await;
        assert_eq!(stage.ours().await, Vec::<String>::new(), "something of the trust is left");
    }
}
