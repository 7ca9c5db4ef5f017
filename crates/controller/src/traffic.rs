//! Notices every request to the API server and every answer: for the metrics, and to know whether the watches live.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Method, Request, Response};
use kube::client::Body;
use tower::{Layer, Service};

use crate::health::Health;
use crate::metrics::Metrics;

/// Puts a [`Noticed`] around kube's client.
#[derive(Clone)]
pub(crate) struct Traffic {
    pub(crate) metrics: Metrics,
    pub(crate) health: Arc<Health>,
}

/// A client whose requests are noticed.
#[derive(Clone)]
pub(crate) struct Noticed<S> {
    inner: S,
    traffic: Traffic,
}

impl<S> Layer<S> for Traffic {
    type Service = Noticed<S>;

    fn layer(&self, inner: S) -> Noticed<S> {
        Noticed { inner, traffic: self.clone() }
    }
}

impl<S, B> Service<Request<Body>> for Noticed<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (verb, resource) = what(request.method(), request.uri());
        let traffic = self.traffic.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            let code =
                answer.as_ref().map_or("none".to_owned(), |answer| answer.status().as_str().to_owned());
            if verb == "watch" && answer.as_ref().is_ok_and(|answer| answer.status().is_success()) {
                traffic.health.saw_watch(&resource);
            }
            tracing::debug!(verb, resource, code, "asked the API server");
            traffic.metrics.requested(verb, resource, code);
            answer
        })
    }
}

/// The verb and the resource of a request, without any name.
fn what(method: &Method, uri: &http::Uri) -> (&'static str, String) {
    let watch = uri.query().unwrap_or_default().split('&').any(|pair| pair == "watch=true");
    let verb = match *method {
        Method::GET if watch => "watch",
        Method::GET => "read",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    };
    let mut parts = uri.path().split('/').filter(|part| !part.is_empty());
    let skipped = match parts.next() {
        Some("api") => 1,
        Some("apis") => 2,
        _ => return (verb, "other".to_owned()),
    };
    let mut parts: Vec<&str> = parts.skip(skipped).collect();
    if parts.len() > 2 && parts[0] == "namespaces" {
        parts.drain(..2);
    }
    let resource = match parts.as_slice() {
        [] => "other".to_owned(),
        [resource] | [resource, _] => (*resource).to_owned(),
        [resource, _, sub, ..] => format!("{resource}/{sub}"),
    };
    (verb, resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_told_by_verb_and_resource() {
        for (method, uri, expected) in [
            (
                Method::GET,
                "/apis/vertskommune.no/v1alpha1/tenants?&watch=true&timeoutSeconds=20",
                ("watch", "tenants"),
            ),
            (Method::GET, "/apis/vertskommune.no/v1alpha1/tenants?&limit=500", ("read", "tenants")),
            (
                Method::PATCH,
                "/apis/vertskommune.no/v1alpha1/tenants/ibestad/status?&force=true",
                ("patch", "tenants/status"),
            ),
            (
                Method::PUT,
                "/apis/coordination.k8s.io/v1/namespaces/host/leases/vertskommune",
                ("update", "leases"),
            ),
            (Method::GET, "/api/v1/namespaces/host/secrets/vcenter", ("read", "secrets")),
            (Method::GET, "/api/v1/namespaces/kube-system", ("read", "namespaces")),
            (Method::GET, "/version", ("read", "other")),
        ] {
            let (verb, resource) = what(&method, &uri.parse().unwrap());
            assert_eq!((verb, resource.as_str()), expected, "{method} {uri}");
        }
    }
}
