//! One HTTPS request and its envelope: TLS against the given CA only, and errors told apart by what was sent.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use reqwest::Method;
use reqwest::header::AUTHORIZATION;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value as Json;

use vertskommune_core::error::with_causes;

use super::envelope::Envelope;
use super::error::{Asked, Error, refusal};

/// How long one request may take.
pub(super) const CALL: Duration = Duration::from_secs(30);

/// How long a file may take, such as the whole configuration.
pub(super) const FILE: Duration = Duration::from_mins(2);

/// Bytes for which room is made at most because an answer announces them.
const ROOM: usize = 16 * 1024 * 1024;

/// The token of an API user. Prints as nothing.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(Arc<str>);

impl Token {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The way to one FortiGate.
pub(super) struct Http {
    client: reqwest::Client,
    url: String,
    token: RwLock<Token>,
}

impl Http {
    pub(super) fn new(url: &str, ca: &str, token: Token) -> Result<Self, Error> {
        let url = url.trim_end_matches('/');
        if !url.starts_with("https://") || url.contains('@') {
            return Err(Error::Config(
                "the endpoint has the form https://fortigate.example, without a user".into(),
            ));
        }
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(ca.as_bytes())?)
            .connect_timeout(Duration::from_secs(10))
            .timeout(CALL)
            .http1_only()
            // It is reached directly: a proxy from the environment would be a surprise.
            .no_proxy()
            // A redirect would carry the token elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            // A connection that the device closes just as a write goes out makes a lost answer.
            .pool_idle_timeout(Duration::from_secs(5))
            .user_agent(concat!("vertskommune/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::Config(error.to_string()))?;
        Ok(Self { client, url: url.to_owned(), token: RwLock::new(token) })
    }

    pub(super) fn set_token(&self, token: Token) {
        *self.token.write().unwrap_or_else(PoisonError::into_inner) = token;
    }

    /// Asks for something that is told within this time, until the head of the answer has come.
    pub(super) async fn ask(
        &self,
        path: &str,
        query: &[(&str, &str)],
        within: Duration,
    ) -> Result<Coming, Error> {
        sent(self.request(Method::GET, path, query).timeout(within), None).await
    }

    pub(super) async fn write(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Json>,
        transaction: Option<u64>,
    ) -> Result<Envelope, Error> {
        let asked = match () {
            () if path == super::TRANSACTIONS => Asked::Transaction,
            () if body.is_some() => Asked::Values,
            () => Asked::Row,
        };
        let mut request = self.request(method, path, query);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(id) = transaction {
            request = request.header("X-TRANSACTION-ID", id.to_string());
        }
        Envelope::new(asked, sent(request, Some(asked)).await?.text().await?)
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let token = self.token.read().unwrap_or_else(PoisonError::into_inner).clone();
        let parts: Vec<String> =
            query.iter().map(|(name, value)| format!("{name}={}", super::encoded(value))).collect();
        let parts = if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) };
        let request = self.client.request(method, format!("{}{path}{parts}", self.url));
        request.header(AUTHORIZATION, format!("Bearer {}", token.0))
    }
}

/// An answer of which only the head has come.
pub(super) struct Coming {
    answer: reqwest::Response,
    /// What a write asked for.
    write: Option<Asked>,
}

impl Coming {
    /// The text, where it is no refusal.
    pub(super) async fn text(mut self) -> Result<String, Error> {
        let status = self.answer.status();
        let announced = self.answer.content_length().and_then(|length| usize::try_from(length).ok());
        // Taken as it comes, so that nothing is left to be put together at the end.
        let mut bytes = Vec::with_capacity(announced.unwrap_or_default().min(ROOM));
        let failed = |error| failure(self.write.is_some(), error);
        // The length that the device announces is held: what breaks off is no answer.
        while let Some(part) = self.answer.chunk().await.map_err(failed)? {
            bytes.extend_from_slice(&part);
        }
        // What somebody wrote in a comment in another encoding is no reason to see nothing.
        let lossy = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let text = String::from_utf8(bytes).unwrap_or_else(|it| lossy(it.into_bytes()));
        if status.is_success() {
            return Ok(text);
        }
        let body: Option<Json> = serde_json::from_str(&text).ok();
        Err(refusal(self.write.unwrap_or(Asked::Row), status.as_u16(), body.as_ref()))
    }
}

/// Sends a request, until the head of an answer has come that is one to it and not to who asks or how often.
async fn sent(request: reqwest::RequestBuilder, write: Option<Asked>) -> Result<Coming, Error> {
    let answer = request.send().await.map_err(|error| failure(write.is_some(), error))?;
    let after = answer.headers().get("retry-after").and_then(|after| after.to_str().ok()?.parse().ok());
    match answer.status().as_u16() {
        429 => Err(Error::Throttled(after.map(Duration::from_secs))),
        401 => Err(Error::Token),
        _ => Ok(Coming { answer, write }),
    }
}

/// Tells apart what was surely not sent from what may have been.
fn failure(is_write: bool, error: reqwest::Error) -> Error {
    let (unsent, late) = (error.is_connect(), error.is_timeout());
    let why: String = with_causes(&error.without_url()).chars().take(200).collect();
    match () {
        () if unsent => Error::Connect(why),
        () if is_write => Error::LostAnswer(why),
        () if late => Error::Timeout,
        () => Error::Connect(why),
    }
}

/// TLS 1.2 and 1.3 with ring, and no root but the given ones.
fn tls(ca: &[u8]) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca) {
        let added = certificate
            .map_err(|it| it.to_string())
            .and_then(|it| roots.add(it).map_err(|it| it.to_string()));
        added.map_err(|error| Error::Config(format!("a CA certificate cannot be read: {error}")))?;
    }
    if roots.is_empty() {
        return Err(Error::Config(
            "there is no CA certificate: give the FortiGate's in spec.caBundle".into(),
        ));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Error::Config(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
