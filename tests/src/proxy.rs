//! A proxy before the API server: it counts writes, and cuts the way at one of them as a crash would.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use futures::TryStreamExt as _;
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use vertskommune_provider::testing::Cut;

/// A proxy before an API server. It speaks HTTP without TLS on loopback.
pub struct Proxy {
    /// Its address.
    pub url: String,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

struct State {
    upstream: String,
    client: reqwest::Client,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    journal: Vec<String>,
    cut: Option<(usize, Cut)>,
    dead: bool,
}

type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

impl Proxy {
    /// Starts a proxy to `upstream`, spoken to by `client`.
    ///
    /// # Errors
    /// Where no port can be had.
    pub async fn start(upstream: &str, client: reqwest::Client) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port for the proxy")?;
        let url = format!("http://{}", listener.local_addr()?);
        let state = Arc::new(State { upstream: upstream.to_owned(), client, progress: Mutex::default() });
        let serving = tokio::spawn(serve(listener, state.clone()));
        Ok(Self { url, state, serving })
    }

    /// The writes since the last reset, leases and events aside.
    pub fn journal(&self) -> Vec<String> {
        self.state.progress().journal.clone()
    }

    /// Empties the journal and mends a cut.
    pub fn reset(&self) {
        *self.state.progress() = Progress::default();
    }

    /// Cuts the way at the `nth` write from now on, counted from 0. It stays cut until the reset.
    pub fn cut(&self, nth: usize, cut: Cut) {
        *self.state.progress() = Progress { cut: Some((nth, cut)), ..Progress::default() };
    }

    /// Whether the cut has happened.
    pub fn is_cut(&self) -> bool {
        self.state.progress().dead
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| forward(state.clone(), request));
            // A cut is an error of the service, upon which the connection is closed without an answer.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn forward(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, anyhow::Error> {
    let what = format!("{} {}", request.method(), request.uri().path());
    let write = is_write(&request);
    let mut cut = None;
    {
        let mut progress = state.progress();
        anyhow::ensure!(!progress.dead, "cut off by the test");
        if write {
            cut = progress.cut.filter(|(nth, _)| *nth == progress.journal.len()).map(|(_, cut)| cut);
            progress.dead = cut == Some(Cut::Before);
            anyhow::ensure!(!progress.dead, "cut off by the test");
            progress.journal.push(what);
        }
    }
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let body = body.collect().await?.to_bytes();
    let mut onward = state.client.request(parts.method, format!("{}{path}", state.upstream)).body(body);
    for (name, value) in parts.headers.iter().filter(|(name, _)| *name != "host" && *name != "authorization")
    {
        onward = onward.header(name, value);
    }
    let answer = onward.send().await?;
    if cut == Some(Cut::After) {
        state.progress().dead = true;
        anyhow::bail!("the answer is cut off by the test");
    }
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers().iter().filter(|(name, _)| *name != "transfer-encoding") {
        response = response.header(name, value);
    }
    // Watches are long: their answers are passed on as they come.
    let frames = answer.bytes_stream().map_ok(Frame::data).map_err(Into::into);
    Ok(response.body(StreamBody::new(frames).boxed_unsync())?)
}

/// Leases and events are no facts about a tenant.
fn is_write(request: &Request<Incoming>) -> bool {
    let path = request.uri().path();
    !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS)
        && !path.contains("/leases")
        && !path.contains("/events")
}

impl State {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
