//! What is told of endpoints: whether each is seen, why not, and what its calls come to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use vertskommune_core::names::ProviderName;
use vertskommune_engine::{EndpointHealth, Health};

use super::labels::{BlindLabels, ByCall, ByProvider, CallLabels, ErrorLabels};
use super::{Metrics, counted, durations, measured};

/// How a call is told that an endpoint put off.
const THROTTLED: &str = "Throttled";

/// What is counted of endpoints.
#[derive(Clone)]
pub(super) struct Endpoints {
    seen: Family<ByProvider, Gauge>,
    blind: Family<BlindLabels, Gauge>,
    blind_now: Arc<Mutex<BTreeMap<ProviderName, String>>>,
    observed: Family<ByProvider, Gauge>,
    errors: Family<ErrorLabels, Counter>,
    calls: Family<CallLabels, Counter>,
    call_durations: Family<ByCall, Histogram>,
    throttles: Family<ByProvider, Counter>,
}

impl Endpoints {
    pub(super) fn registered(it: &mut Registry) -> Self {
        Self {
            seen: counted(it, "endpoint_seen", "Whether an endpoint was seen at the last look"),
            blind: counted(it, "endpoint_blind", "1 for the reason why an endpoint is not seen now"),
            blind_now: Arc::default(),
            observed: measured(
                it,
                "endpoint_observed_timestamp",
                "When an endpoint was last seen completely",
                Unit::Seconds,
                Family::default(),
            ),
            errors: counted(it, "provider_errors", "Changes to a state in which an endpoint is not seen"),
            calls: counted(
                it,
                "provider_calls",
                "Calls of a provider by their result: Ok, or why they failed",
            ),
            call_durations: measured(
                it,
                "provider_call_duration",
                "How long a call of a provider took",
                Unit::Seconds,
                Family::new_with_constructor(durations),
            ),
            throttles: counted(
                it,
                "provider_throttles",
                "Calls that an endpoint put off since it had too many",
            ),
        }
    }
}

impl Metrics {
    /// A call of a provider has come to its end, with that result and, where that means anything, after so long.
    pub(crate) fn called(
        &self,
        provider: &ProviderName,
        call: &'static str,
        result: &'static str,
        took: Option<Duration>,
    ) {
        let provider = provider.to_string();
        if result == THROTTLED {
            self.endpoints.throttles.get_or_create_owned(&ByProvider { provider: provider.clone() }).inc();
        }
        self.endpoints.calls.get_or_create(&CallLabels { provider: provider.clone(), call, result }).inc();
        if let Some(took) = took {
            self.endpoints
                .call_durations
                .get_or_create(&ByCall { provider, call })
                .observe(took.as_secs_f64());
        }
    }

    pub(crate) fn endpoint(&self, provider: &ProviderName, before: Option<&Health>, now: &EndpointHealth) {
        let labels = ByProvider { provider: provider.to_string() };
        let seen = self.endpoints.seen.get_or_create_owned(&labels);
        seen.set(i64::from(now.health == Health::Seen));
        // It is there from the beginning, so that its first increase is one.
        drop(self.endpoints.throttles.get_or_create(&labels));
        if let Some(at) = now.observed_at {
            self.endpoints.observed.get_or_create_owned(&labels).set(at.as_second());
        }
        let why = match &now.health {
            Health::Seen => None,
            Health::Blind(why) => Some(why.word()),
        };
        self.blind(provider, why);
        if let Some(why) = why
            && before != Some(&now.health)
        {
            let labels = ErrorLabels { provider: labels.provider, reason: why.to_owned() };
            self.endpoints.errors.get_or_create(&labels).inc();
        }
    }

    /// Says why an endpoint is not seen, and takes back what was said before.
    fn blind(&self, provider: &ProviderName, why: Option<&str>) {
        let labels = |reason: &str| BlindLabels { provider: provider.to_string(), reason: reason.to_owned() };
        let mut now = self.endpoints.blind_now.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match why {
            Some(why) => now.insert(provider.clone(), why.to_owned()),
            None => now.remove(provider),
        };
        if let Some(before) = before.filter(|before| Some(before.as_str()) != why) {
            self.endpoints.blind.remove(&labels(&before));
        }
        if let Some(why) = why {
            self.endpoints.blind.get_or_create(&labels(why)).set(1);
        }
    }

    pub(crate) fn no_endpoint(&self, provider: &ProviderName) {
        let labels = ByProvider { provider: provider.to_string() };
        self.endpoints.seen.remove(&labels);
        self.endpoints.observed.remove(&labels);
        self.blind(provider, None);
    }
}
