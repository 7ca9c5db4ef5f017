//! Looking: one sweep of each provider for all tenants, or a second look at those that changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, timeout};
use vertskommune_core::names::{ProviderName, TenantName};
use vertskommune_core::observation::{Observations, Scope};
use vertskommune_provider::{Ctx, ProviderError};

use crate::endpoint::Endpoint;
use crate::{Engine, Scopes};

/// How long a look may take.
const LOOK: Duration = Duration::from_mins(2);

impl Engine {
    /// Looks at everything, all endpoints at once. One that does not answer holds up none of the others' plans.
    pub async fn observe(&self, world: &(impl Scopes + ?Sized)) {
        let endpoints = self.all();
        join_all(endpoints.iter().map(async |(name, endpoint)| {
            self.look(endpoint, &world.scope(name)).await;
        }))
        .await;
    }

    /// Looks at everything in one endpoint.
    pub async fn observe_one(&self, provider: &ProviderName, world: &(impl Scopes + ?Sized)) {
        if let Some(endpoint) = self.endpoint(provider) {
            self.look(&endpoint, &world.scope(provider)).await;
        }
    }

    /// Looks again at these tenants in one endpoint. What is asked for while another such look is under way is looked
    /// at together when that has ended, so that many tenants that change at once cost few looks.
    pub async fn observe_tenants(
        &self,
        provider: &ProviderName,
        world: &(impl Scopes + ?Sized),
        tenants: &BTreeSet<TenantName>,
    ) {
        let Some(endpoint) = self.endpoint(provider) else { return };
        let number = endpoint.looks.ask(tenants);
        let _turn = endpoint.looks.turn.lock().await;
        let Some((last, open)) = endpoint.looks.open(number) else { return };
        self.look(&endpoint, &world.scope_of(provider, &open)).await;
        endpoint.looks.done(last);
    }

    /// What was last seen.
    pub fn observations(&self) -> Observations {
        self.all().into_iter().map(|(name, endpoint)| (name, endpoint.observation())).collect()
    }

    /// Whether every endpoint was looked at.
    pub fn has_looked(&self) -> bool {
        use vertskommune_core::observation::Blindness::NotYetObserved;
        self.all().values().all(|endpoint| endpoint.observation().coverage.blind != Some(NotYetObserved))
    }

    #[tracing::instrument(level = "debug", skip_all, fields(provider = %endpoint.host().name))]
    async fn look(&self, endpoint: &Arc<Endpoint>, scope: &Scope) {
        let ctx = Ctx { deadline: Instant::now() + LOOK, ..self.ctx(endpoint) };
        let seen = timeout(LOOK, endpoint.provider.observe(scope, &ctx))
            .await
            .unwrap_or_else(|_| Err(ProviderError::Timeout("the sweep did not end".to_owned())));
        if let Err(error) = &seen {
            tracing::warn!(provider = %endpoint.host().name, %error, "nothing could be seen");
        }
        endpoint.absorb(seen, scope, self.now());
    }
}

/// The looks at single tenants that are asked for in one endpoint.
#[derive(Default)]
pub(crate) struct Looks {
    /// Who has it looks for all that have asked by then.
    turn: tokio::sync::Mutex<()>,
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    /// How often was asked.
    count: u64,
    /// All asked up to here have been looked for since.
    done: u64,
    /// Who is still to be looked at, with the number of the last time that it was asked for.
    tenants: BTreeMap<TenantName, u64>,
}

impl Looks {
    /// Asks for these tenants. Gives the number of the question.
    fn ask(&self, tenants: &BTreeSet<TenantName>) -> u64 {
        let mut asked = self.asked();
        asked.count += 1;
        let number = asked.count;
        asked.tenants.extend(tenants.iter().map(|tenant| (tenant.clone(), number)));
        number
    }

    /// All that is to be looked at, up to which question; nothing where a look that began after question `number` has
    /// ended.
    fn open(&self, number: u64) -> Option<(u64, BTreeSet<TenantName>)> {
        let asked = self.asked();
        (asked.done < number).then(|| (asked.count, asked.tenants.keys().cloned().collect()))
    }

    /// Notes that all asked up to `last` have been looked at. A look that was broken off is not noted, and the next in
    /// turn looks for its tenants too.
    fn done(&self, last: u64) {
        let mut asked = self.asked();
        asked.done = last;
        asked.tenants.retain(|_, number| *number > last);
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<TenantName> {
        names.iter().map(|name| TenantName::from(*name)).collect()
    }

    #[test]
    fn who_asks_during_a_look_is_looked_at_by_the_next() {
        let looks = Looks::default();
        let first = looks.ask(&names(&["a"]));
        let (last, open) = looks.open(first).expect("nobody has looked yet");
        assert_eq!(open, names(&["a"]));
        // What changed after the look began is not in it, not even of the same tenant.
        let (second, third) = (looks.ask(&names(&["a", "b"])), looks.ask(&names(&["c"])));
        looks.done(last);
        assert_eq!(looks.open(first), None);
        // One look that breaks off takes nobody along.
        assert_eq!(looks.open(second), Some((third, names(&["a", "b", "c"]))));
        assert_eq!(looks.open(second), Some((third, names(&["a", "b", "c"]))));
        looks.done(third);
        assert_eq!(looks.open(third), None);
    }
}
