//! One HTTPS request and its envelope: TLS against the given CA only, and errors told apart by what was sent.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use reqwest::Method;
use reqwest::header::AUTHORIZATION;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use vertskommune_core::error::with_causes;

use super::Row;
use super::error::{Asked, Error, refusal};

/// How long one request may take.
const CALL: Duration = Duration::from_secs(30);

/// How long a file may take, such as the whole configuration.
const FILE: Duration = Duration::from_mins(2);

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

/// What every answer of FortiOS comes in.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Envelope {
    /// As it came: a page is large, and not everybody wants it in the same form.
    results: Option<Box<RawValue>>,
    pub(super) mkey: Json,
    #[serde(deserialize_with = "text")]
    pub(super) revision: String,
    #[serde(deserialize_with = "text")]
    pub(super) serial: String,
    #[serde(deserialize_with = "text")]
    pub(super) version: String,
    #[serde(deserialize_with = "text")]
    pub(super) vdom: String,
    /// Whether a list has more rows than this answer.
    #[serde(rename = "limit_reached", deserialize_with = "flag")]
    pub(super) is_limited: bool,
    #[serde(deserialize_with = "text")]
    status: String,
}

/// A text. What is none says nothing.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Json::deserialize(deserializer).map(|it| it.as_str().unwrap_or_default().to_owned())
}

fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Json::deserialize(deserializer).map(|it| it == true)
}

impl Envelope {
    /// What was asked for; `null` where the answer has none.
    pub(super) fn results(&self) -> Result<Json, Error> {
        self.results.as_deref().map_or(Ok(Json::Null), read)
    }

    /// The rows of a table as they came.
    pub(super) fn page(&mut self) -> Result<Page, Error> {
        let rows = self.results.take().ok_or_else(|| Error::Protocol("an answer without rows".to_owned()))?;
        let count = read::<Vec<IgnoredAny>>(&rows)?.len();
        Ok(Page { rows, count })
    }
}

/// The rows of one answer, not yet read.
pub(super) struct Page {
    rows: Box<RawValue>,
    /// How many.
    pub(super) count: usize,
}

impl Page {
    /// How much there is to read, in bytes.
    pub(super) fn len(&self) -> usize {
        self.rows.get().len()
    }

    pub(super) fn rows(&self) -> Result<Vec<Row>, Error> {
        read(&self.rows)
    }
}

fn read<T: DeserializeOwned>(raw: &RawValue) -> Result<T, Error> {
    serde_json::from_str(raw.get())
        .map_err(|error| Error::Protocol(format!("an answer of another form: {error}")))
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

    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Envelope, Error> {
        self.get_all(path, query).await.and_then(only)
    }

    /// The answers of several virtual firewalls.
    pub(super) async fn get_all(&self, path: &str, query: &[(&str, &str)]) -> Result<Vec<Envelope>, Error> {
        self.send(self.request(Method::GET, path, query), None).await
    }

    /// An answer that is a file and no envelope.
    pub(super) async fn text(&self, path: &str, query: &[(&str, &str)]) -> Result<String, Error> {
        match self.answer(self.request(Method::GET, path, query).timeout(FILE), false).await? {
            (200..300, text) => Ok(text),
            (status, text) => Err(refusal(Asked::Row, status, serde_json::from_str(&text).ok().as_ref())),
        }
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
        self.send(request, Some(asked)).await.and_then(only)
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let token = self.token.read().unwrap_or_else(PoisonError::into_inner).clone();
        let parts: Vec<String> =
            query.iter().map(|(name, value)| format!("{name}={}", super::encoded(value))).collect();
        let parts = if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) };
        let request = self.client.request(method, format!("{}{path}{parts}", self.url));
        request.header(AUTHORIZATION, format!("Bearer {}", token.0))
    }

    /// Sends a request; of a write, with what it asks for.
    async fn send(
        &self,
        request: reqwest::RequestBuilder,
        write: Option<Asked>,
    ) -> Result<Vec<Envelope>, Error> {
        let asked = write.unwrap_or(Asked::Row);
        let (status, text) = self.answer(request, write.is_some()).await?;
        match status {
            200..300 if text.trim_start().starts_with('[') => {
                let answers: Vec<&RawValue> = serde_json::from_str(&text).map_err(|_| broken())?;
                answers.into_iter().map(|answer| answered(asked, answer.get())).collect()
            }
            200..300 => answered(asked, &text).map(|answer| vec![answer]),
            status => Err(refusal(asked, status, serde_json::from_str(&text).ok().as_ref())),
        }
    }

    /// The status and the text of an answer, where it is one to this request and not to who asks or how often.
    async fn answer(&self, request: reqwest::RequestBuilder, is_write: bool) -> Result<(u16, String), Error> {
        let failed = |error| failure(is_write, error);
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status().as_u16();
        let after = answer.headers().get("retry-after").and_then(|after| after.to_str().ok()?.parse().ok());
        match status {
            429 => Err(Error::Throttled(after.map(Duration::from_secs))),
            401 => Err(Error::Token),
            // The length that the device announces is held: what breaks off is no answer.
            status => Ok((status, answer.text().await.map_err(failed)?)),
        }
    }
}

fn broken() -> Error {
    Error::Protocol("an answer that is no JSON".to_owned())
}

/// One virtual firewall's answer.
fn answered(asked: Asked, text: &str) -> Result<Envelope, Error> {
    let answer: Envelope = serde_json::from_str(text).map_err(|_| broken())?;
    if answer.status == "error" {
        let body: Json = serde_json::from_str(text).map_err(|_| broken())?;
        let status = body["http_status"].as_u64().and_then(|status| u16::try_from(status).ok());
        return Err(refusal(asked, status.unwrap_or(500), Some(&body)));
    }
    Ok(answer)
}

fn only(answers: Vec<Envelope>) -> Result<Envelope, Error> {
    let missing = || Error::Protocol("an answer without an envelope".to_owned());
    answers.into_iter().next().ok_or_else(missing)
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
