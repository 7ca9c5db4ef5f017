//! The client of the API server. It notices when nobody is at the other end any more: a firewall has forgotten the
//! connections, say, and tells neither side. kube's own client waits for 290 s then, and takes a connection that died
//! while nobody used it for the next request.

use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::Config;
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ClientBuilder, ConfigExt as _, DynBody};
use tower::retry::RetryLayer;
use tower::util::BoxService;
use tower::{BoxError, ServiceBuilder, ServiceExt as _};

/// How long a connection is waited for.
const CONNECT: Duration = Duration::from_secs(10);
/// How long any answer is waited for: short enough that a connection that died is noticed within half a minute. Counted
/// from the request, and not from the last use of the connection.
pub(crate) const SILENCE: Duration = Duration::from_secs(22);
/// How long a connection that nobody uses is kept.
pub(crate) const IDLE: Duration = Duration::from_secs(5);

type Service = BoxService<Request<Body>, Response<Box<DynBody>>, BoxError>;

/// A client of a cluster, to be built.
///
/// # Errors
/// The configuration cannot be used.
pub fn connect(cluster: &Config) -> Result<ClientBuilder<Service>, kube::Error> {
    if let Some(proxy) = &cluster.proxy_url {
        let (proxy_url, protocol_feature) = (Box::new(proxy.clone()), "kube/http-proxy");
        return Err(kube::Error::ProxyProtocolDisabled { proxy_url, protocol_feature });
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let mut connector = TimeoutConnector::new(cluster.rustls_https_connector_with_connector(tcp)?);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_read_timeout(Some(SILENCE));
    connector.set_reset_reader_on_write(true);
    let http: Http<_, Body> = Http::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(connector);
    // The layers of kube's own client.
    let service = ServiceBuilder::new()
        .layer(cluster.base_uri_layer())
        .option_layer(cluster.default_retry.then(|| RetryLayer::new(RetryPolicy::server_retry())))
        .option_layer(cluster.auth_layer()?)
        .layer(cluster.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http)
        .map_response(|answer| answer.map(|body| Box::new(body.map_err(BoxError::from)) as Box<DynBody>))
        .boxed();
    Ok(ClientBuilder::new(service, cluster.default_namespace.clone()))
}
