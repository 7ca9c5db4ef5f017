//! What `/metrics` says of statuses: for tests of alerts where no controller runs, or whose cause is a wait.

use vertskommune_api::TenantStatus;
use vertskommune_core::names::TenantName;

use crate::metrics::Metrics;

/// What a controller that leads would answer at `/metrics` where these tenants have these statuses.
pub fn of_statuses<'a>(statuses: impl IntoIterator<Item = (&'a str, &'a TenantStatus)>) -> String {
    let metrics = Metrics::new();
    metrics.leading(true);
    metrics.ready(true);
    for (tenant, status) in statuses {
        metrics.reported(&TenantName::new(tenant), Some(status));
    }
    metrics.text()
}
