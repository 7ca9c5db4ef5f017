//! One HTTPS POST: TLS against the given CA only, and errors told apart by what was sent.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::Instant;

use crate::error::Cause;
use crate::lease::Pin;
use crate::{Config, Error, Secret};

/// The name of the cookie that is the session.
const SESSION_COOKIE: &str = "vmware_soap_session";

/// The way to one vCenter.
pub(crate) struct Transport {
    http: reqwest::Client,
    /// Without a slash at the end.
    url: String,
    host: String,
    tls: ClientConfig,
    connect: Duration,
}

/// One SOAP request, ready to go.
pub(crate) struct Post<'a> {
    /// Below the end point's host: nothing for vim25, another path for its sister services.
    pub(crate) path: Option<&'a str>,
    pub(crate) method: &'static str,
    pub(crate) action: String,
    pub(crate) cookie: Option<&'a Secret>,
    pub(crate) envelope: String,
    /// Whether it matters if a request without an answer was done.
    pub(crate) is_write: bool,
    pub(crate) deadline: Instant,
}

/// What came back.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) session: Option<Secret>,
    pub(crate) text: String,
}

impl Transport {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let url = config.url.trim_end_matches('/');
        if !url.starts_with("https://") || url.contains('@') {
            return Err(Error::Config(
                "the URL has the form https://vcenter.example/sdk, without a user".into(),
            ));
        }
        let parsed = reqwest::Url::parse(url);
        let parsed = parsed.map_err(|e| Error::Config(format!("the URL cannot be read: {e}")))?;
        let host = parsed.host_str().unwrap_or_default().to_owned();
        let (tls, connect) = (tls(&config.ca_pem)?, config.timeouts.connect);
        let http = http(tls.clone(), connect)
            // A connection that the server closes just as a write goes out makes a lost answer.
            .pool_idle_timeout(Duration::from_secs(20))
            .build()
            .map_err(|e| Error::Config(Cause::new(e).to_string()))?;
        Ok(Transport { http, url: url.to_owned(), host, tls, connect })
    }

    /// The host that calls go to, as it was configured.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// A client for the files of a lease: at the host that shows this certificate, or without one at
    /// a host that the CA covers.
    pub(crate) fn to_host(&self, pin: Option<&Pin>) -> Result<reqwest::Client, Error> {
        let mut tls = self.tls.clone();
        if let Some(pin) = pin {
            let verifier = pin.verifier(tls.crypto_provider().clone());
            tls.dangerous().set_certificate_verifier(verifier);
        }
        // What is compressed already would only be slower to read.
        let built = http(tls, self.connect).no_gzip().build();
        built.map_err(|e| Error::Config(Cause::new(e).to_string()))
    }

    /// Sends a request once and reads the whole answer.
    pub(crate) async fn post(&self, post: Post<'_>) -> Result<Reply, Error> {
        let mut request = self
            .http
            .post(self.address(post.path))
            .header(CONTENT_TYPE, "text/xml; charset=utf-8")
            .header("SOAPAction", post.action)
            .timeout(post.deadline.saturating_duration_since(Instant::now()))
            .body(post.envelope);
        if let Some(cookie) = post.cookie {
            request = request.header(COOKIE, cookie.expose());
        }
        let failed = |error| failure(post.method, post.is_write, error);
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status().as_u16();
        let session = session_cookie(&answer);
        let text = answer.text().await.map_err(failed)?;
        Ok(Reply { status, session, text })
    }

    /// Reads the list of API versions that the server knows; none when it does not tell.
    pub(crate) async fn service_versions(&self, deadline: Instant) -> Result<Option<String>, Error> {
        let method = "vimServiceVersions.xml";
        let timeout = deadline.saturating_duration_since(Instant::now());
        let sent = self.http.get(format!("{}/{method}", self.url)).timeout(timeout).send().await;
        let answer = sent.map_err(|error| failure(method, false, error))?;
        match answer.status().as_u16() {
            200 => {
                let text = answer.text().await;
                text.map(Some).map_err(|error| failure(method, false, error))
            }
            404 => Ok(None),
            status => Err(Error::Http { status }),
        }
    }

    fn address(&self, path: Option<&str>) -> String {
        match path {
            None => self.url.clone(),
            Some(path) => {
                let after_scheme = "https://".len();
                let host_end =
                    self.url[after_scheme..].find('/').map_or(self.url.len(), |at| at + after_scheme);
                format!("{}{path}", &self.url[..host_end])
            }
        }
    }
}

/// What holds for every connection.
fn http(tls: ClientConfig, connect: Duration) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(connect)
        // One connection for each call at once, as vCenter's own clients do.
        .http1_only()
        // vCenter is reached directly: a proxy from the environment would be a surprise.
        .no_proxy()
        // A redirect would carry the password elsewhere.
        .redirect(reqwest::redirect::Policy::none())
        // Long polls are silent for a minute, longer than some firewalls bear.
        .tcp_keepalive(Duration::from_secs(20))
        .user_agent(concat!("vertskommune/", env!("CARGO_PKG_VERSION")))
}

/// Tells apart what was surely not sent from what may have been.
fn failure(method: &'static str, is_write: bool, error: reqwest::Error) -> Error {
    let unsent = error.is_connect();
    let cause = Cause::new(error.without_url());
    if unsent {
        Error::Connect(cause)
    } else if is_write {
        Error::LostAnswer { method, cause }
    } else {
        Error::Timeout { method, cause }
    }
}

/// TLS 1.2 and 1.3 with ring, and no root but the given ones.
fn tls(ca_pem: &[u8]) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem) {
        let added =
            certificate.map_err(|e| e.to_string()).and_then(|c| roots.add(c).map_err(|e| e.to_string()));
        added.map_err(|e| Error::Config(format!("a CA certificate cannot be read: {e}")))?;
    }
    if roots.is_empty() {
        return Err(Error::Config("there is no CA certificate: give vCenter's CA in PEM".into()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| Error::Config(e.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn session_cookie(answer: &reqwest::Response) -> Option<Secret> {
    answer.headers().get_all(SET_COOKIE).iter().find_map(|header| {
        let pair = header.to_str().ok()?.split(';').next()?.trim();
        pair.starts_with(SESSION_COOKIE).then(|| Secret::new(pair))
    })
}

/// The cookie's bare value, which vCenter's sister services want in the SOAP header.
pub(crate) fn cookie_value(cookie: &Secret) -> &str {
    cookie.expose().split_once('=').map_or("", |pair| pair.1).trim_matches('"')
}
