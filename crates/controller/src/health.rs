//! Whether this process is well: what `/readyz` says, and the small server that says it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kube::client::Body;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::metrics::Metrics;

/// What was heard of longer ago than this is not known any more. A watch is begun anew every 15 s.
const STALE: Duration = Duration::from_mins(1);

/// What is known of this process's own sight of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Health {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Why nothing can begin yet.
    hindrance: Option<String>,
    lease: Option<Instant>,
    /// Kinds that are watched, and when their watch last answered.
    watches: BTreeMap<String, Instant>,
}

impl Health {
    /// Says why nothing can begin yet, or that it can.
    pub(crate) fn hindered(&self, why: Option<String>) {
        self.state().hindrance = why;
    }

    /// The lease was read or written.
    pub(crate) fn saw_lease(&self) {
        self.state().lease = Some(Instant::now());
    }

    /// A watch of this kind answered.
    pub(crate) fn saw_watch(&self, kind: &str) {
        self.state().watches.insert(kind.to_owned(), Instant::now());
    }

    /// All that keeps this process from being ready.
    pub(crate) fn unready(&self) -> Vec<String> {
        let state = self.state();
        let mut why: Vec<String> = state.hindrance.iter().cloned().collect();
        if state.lease.is_none_or(|at| at.elapsed() > STALE) {
            why.push("the leader lease has not been seen for a minute".to_owned());
        }
        let silent = state.watches.iter().filter(|(_, at)| at.elapsed() > STALE);
        why.extend(silent.map(|(kind, _)| format!("the watch of {kind} has not answered for a minute")));
        why
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers `/healthz`, `/readyz` and `/metrics` until it is dropped.
///
/// # Errors
/// Where the address cannot be listened at.
pub(crate) async fn serve(address: SocketAddr, health: Arc<Health>, metrics: Metrics) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "serving /healthz, /readyz and /metrics");
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Too many open files, say: that passes.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (health, metrics) = (health.clone(), metrics.clone());
            let service = service_fn(move |request| {
                let response = respond(&request, &health, &metrics);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to the health server broke");
                }
            });
        }
    });
    Ok(())
}

fn respond(request: &Request<Incoming>, health: &Health, metrics: &Metrics) -> Response<Body> {
    let (status, kind, text) = match request.uri().path() {
        "/healthz" => (StatusCode::OK, "text/plain", "ok\n".to_owned()),
        "/readyz" => match health.unready() {
            why if why.is_empty() => (StatusCode::OK, "text/plain", "ok\n".to_owned()),
            why => (StatusCode::SERVICE_UNAVAILABLE, "text/plain", format!("{}\n", why.join("\n"))),
        },
        "/metrics" => {
            metrics.ready(health.unready().is_empty());
            (StatusCode::OK, Metrics::CONTENT_TYPE, metrics.text())
        }
        _ => (StatusCode::NOT_FOUND, "text/plain", "there are /healthz, /readyz and /metrics\n".to_owned()),
    };
    let mut response = Response::new(Body::from(text.into_bytes()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_process_is_ready_while_it_hears_of_the_lease_and_of_every_watch() {
        let health = Health::default();
        assert_eq!(health.unready().len(), 1, "nothing is known of the lease");
        health.saw_lease();
        health.saw_watch("tenants");
        assert_eq!(health.unready(), Vec::<String>::new());
        health.hindered(Some("the kinds are missing".to_owned()));
        assert_eq!(health.unready(), ["the kinds are missing"]);
        health.hindered(None);
        tokio::time::advance(STALE + Duration::from_secs(1)).await;
        health.saw_lease();
        assert_eq!(health.unready(), ["the watch of tenants has not answered for a minute"]);
    }
}
