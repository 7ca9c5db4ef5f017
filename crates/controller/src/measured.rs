//! Providers whose calls are counted and timed. What they do is untouched.

use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::Instant;
use vertskommune_core::difference::Difference;
use vertskommune_core::domain::{Domain, Inputs, Proposal};
use vertskommune_core::names::{ProviderName, TenantName};
use vertskommune_core::observation::{Observation, Scope};
use vertskommune_core::resource::Resource;
use vertskommune_core::schema::Schema;
use vertskommune_core::step::Step;
use vertskommune_core::tenant::ValidatedTenant;
use vertskommune_core::transfer::Due;
use vertskommune_core::violation::Violation;
use vertskommune_provider::{
    Applied, Changes, Checked, Claim, Ctx, Exports, Imports, Provider, ProviderError, Record, Recorded,
    Transfers,
};

use crate::metrics::Metrics;

/// A provider whose calls are counted.
pub(crate) struct Measured {
    inner: Arc<dyn Provider>,
    metrics: Metrics,
}

impl Measured {
    /// The same provider.
    pub(crate) fn around(inner: Arc<dyn Provider>, metrics: Metrics) -> Arc<dyn Provider> {
        Arc::new(Self { inner, metrics })
    }

    async fn timed<T>(
        &self,
        call: &'static str,
        answer: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        let begun = Instant::now();
        let answer = answer.await;
        let result = answer.as_ref().err().map_or("Ok", ProviderError::word);
        self.metrics.called(self.inner.name(), call, result, Some(begun.elapsed()));
        answer
    }
}

impl Domain for Measured {
    fn name(&self) -> &ProviderName {
        self.inner.name()
    }

    fn schema(&self) -> &Schema {
        self.inner.schema()
    }

    fn expand(&self, inputs: &Inputs) -> Result<Vec<Resource>, Vec<Violation>> {
        self.inner.expand(inputs)
    }

    fn steps(&self, differences: &[Difference], seen: &Observation, now: Timestamp) -> Proposal {
        self.inner.steps(differences, seen, now)
    }

    fn due(&self, tenant: &ValidatedTenant, seen: &Observation, now: Timestamp) -> Due {
        self.inner.due(tenant, seen, now)
    }
}

impl Provider for Measured {
    fn observe<'a>(
        &'a self,
        scope: &'a Scope,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Observation, ProviderError>> {
        // A sweep of all and a look at a few take as different times as they mean different things.
        let call = if scope.tenants.is_none() { "sweep" } else { "look" };
        Box::pin(self.timed(call, self.inner.observe(scope, ctx)))
    }

    fn changed<'a>(&'a self, ctx: &'a Ctx) -> BoxFuture<'a, Result<Changes, ProviderError>> {
        Box::pin(async {
            let answer = self.inner.changed(ctx).await;
            // It waits until something changes, which is no latency.
            let result = answer.as_ref().err().map_or("Ok", ProviderError::word);
            self.metrics.called(self.inner.name(), "changed", result, None);
            answer
        })
    }

    fn apply<'a>(&'a self, steps: &'a [Step], ctx: &'a Ctx) -> BoxFuture<'a, Vec<Applied>> {
        Box::pin(async {
            let begun = Instant::now();
            let outcomes = self.inner.apply(steps, ctx).await;
            let error = outcomes.iter().find_map(|outcome| match outcome {
                Applied::Failed(error) => Some(error.word()),
                Applied::Unknown(_) => Some("Unknown"),
                Applied::Done | Applied::Started { .. } | Applied::NotSent(_) => None,
            });
            self.metrics.called(self.inner.name(), "apply", error.unwrap_or("Ok"), Some(begun.elapsed()));
            outcomes
        })
    }

    fn preflight<'a>(&'a self, ctx: &'a Ctx) -> BoxFuture<'a, Vec<Checked>> {
        self.inner.preflight(ctx)
    }

    fn records<'a>(&'a self, ctx: &'a Ctx) -> BoxFuture<'a, Result<Vec<Record>, ProviderError>> {
        self.inner.records(ctx)
    }

    fn recorded<'a>(
        &'a self,
        record: &'a str,
        tenant: &'a TenantName,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Recorded, ProviderError>> {
        self.inner.recorded(record, tenant, ctx)
    }

    fn exports(&self) -> Option<&dyn Exports> {
        self.inner.exports()
    }

    fn imports(&self) -> Option<&dyn Imports> {
        self.inner.imports()
    }

    fn transfers(&self) -> Option<&dyn Transfers> {
        self.inner.transfers()
    }

    fn claim<'a>(&'a self, claim: &'a Claim, ctx: &'a Ctx) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(self.timed("claim", self.inner.claim(claim, ctx)))
    }
}
