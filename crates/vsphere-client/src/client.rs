//! The client: one budget, one session, and the way every call takes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::budget::Budget;
use crate::fault::FaultClass;
use crate::service::{Service, negotiate};
use crate::session::{Session, Sessions, Turn};
use crate::transport::{Post, Transport, cookie_value};
use crate::xml::{Body, Element, for_each_at};
use crate::{About, Config, Credentials, Error, Fault, Mor, Secret, Timeouts};

const NAMESPACES: &str = "xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
     xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"";

/// What a write asks immediately before its request goes out.
pub type Permit = dyn Fn() -> Result<(), String> + Send + Sync;

/// A connection to one vCenter, for reading. Writing takes a [`Writer`](crate::Writer).
///
/// There is one session, opened by the first call that needs it. When vCenter ends it, the next
/// call logs in again, once for all that wait, and is sent once more. What lived in the session
/// does not come back: see [`Error::SessionLost`] and [`Client::generation`].
///
/// Dropping the client leaves the session to its idle timeout: call [`Client::logout`].
pub struct Client {
    transport: Transport,
    budget: Budget,
    sessions: Sessions,
    timeouts: Timeouts,
}

/// One call, before it is put into an envelope.
pub(crate) struct Call<'a> {
    pub(crate) method: &'static str,
    pub(crate) this: &'a Mor,
    pub(crate) body: Body,
    pub(crate) mode: Mode<'a>,
    pub(crate) api: &'a Api,
}

/// How a call is treated.
#[derive(Clone, Copy)]
pub(crate) enum Mode<'a> {
    /// A read: it may be sent again.
    Read,
    /// A read of something that lives in the session of this generation.
    Bound(u64),
    /// As `Bound`, but the server may answer only after so long, and no slot is taken.
    LongPoll(u64, Duration),
    /// A write: asks its permit just before it goes out.
    Write(&'a Permit),
}

/// Which of vCenter's SOAP services a call is for.
pub(crate) struct Api {
    pub(crate) namespace: &'static str,
    /// None for vim25 itself, at the configured URL.
    pub(crate) path: Option<&'static str>,
}

pub(crate) static VIM: Api = Api { namespace: "urn:vim25", path: None };

impl<'a> Call<'a> {
    pub(crate) fn new(
        method: &'static str,
        this: &'a Mor,
        mode: Mode<'a>,
        write: impl FnOnce(&mut Body),
    ) -> Self {
        Call { method, this, body: Body::with(write), mode, api: &VIM }
    }
}

impl Client {
    /// A client that has not called yet.
    pub fn new(config: Config) -> Result<Client, Error> {
        let transport = Transport::new(&config)?;
        let timeouts = config.timeouts;
        Ok(Client {
            transport,
            budget: Budget::new(config.max_in_flight, config.requests_per_second),
            sessions: Sessions::new(config.credentials, timeouts.login_pause),
            timeouts,
        })
    }

    /// A client that has logged in.
    pub async fn connect(config: Config) -> Result<Client, Error> {
        let client = Client::new(config)?;
        client.session().await?;
        Ok(client)
    }

    /// What vCenter says of itself, as of the last login.
    pub async fn about(&self) -> Result<About, Error> {
        Ok(self.session().await?.service.about.clone())
    }

    /// The managed objects that vCenter has once, such as the root folder.
    pub async fn service(&self) -> Result<Service, Error> {
        Ok(self.session().await?.service.clone())
    }

    /// The number of the last login; 0 before the first. When it changes, everything that lived
    /// in the session before is gone.
    pub fn generation(&self) -> u64 {
        self.sessions.generation()
    }

    /// How many calls went out so far, by method.
    pub fn calls(&self) -> BTreeMap<&'static str, u64> {
        self.budget.calls()
    }

    /// Takes other credentials, as after a rotation: the session of the old ones is closed, a
    /// pause after a refused login ends, and the next call logs in. The same ones change nothing.
    pub async fn set_credentials(&self, credentials: Credentials) {
        if let Some(old) = self.sessions.replace_credentials(credentials) {
            // Best effort: without it the old session ends by its idle timeout.
            let _ = self.close(&old).await;
        }
    }

    /// Ends the session. A later call would open another.
    pub async fn logout(&self) -> Result<(), Error> {
        match self.sessions.take() {
            Some(session) => self.close(&session).await,
            None => Ok(()),
        }
    }

    async fn close(&self, session: &Session) -> Result<(), Error> {
        let manager = &session.service.session_manager;
        self.login_call("Logout", manager, Body::default(), Some(session)).await.map(drop)
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// The session, opened if there is none.
    pub(crate) async fn session(&self) -> Result<Arc<Session>, Error> {
        match self.sessions.current() {
            Some(session) => Ok(session),
            None => self.log_in(0).await,
        }
    }

    /// Opens a session unless one newer than `seen` is there: once for all calls that wait.
    async fn log_in(&self, seen: u64) -> Result<Arc<Session>, Error> {
        let asked = Instant::now();
        let _flight = self.sessions.flight.lock().await;
        match self.sessions.turn(seen, asked) {
            Turn::Settled(outcome) => outcome,
            Turn::LogIn(credentials) => {
                let outcome = self.open(&credentials).await;
                let session = self.sessions.settle(&credentials, outcome)?;
                tracing::info!(generation = session.generation, vcenter = %session.service.about.full_name, "logged in");
                Ok(session)
            }
        }
    }

    async fn open(&self, credentials: &Credentials) -> Result<Session, Error> {
        let deadline = Instant::now() + self.timeouts.call;
        let versions = self.transport.service_versions(deadline).await?;
        let mut session = Session {
            generation: self.sessions.next_generation(),
            cookie: Secret::default(),
            user: String::new(),
            version: negotiate(versions.as_deref())?,
            service: self.read_service().await?,
        };
        let body = Body::with(|b| {
            b.value("userName", &credentials.user).value("password", credentials.password.expose());
        });
        let (answer, cookie) =
            self.login_call("Login", &session.service.session_manager, body, Some(&session)).await?;
        session.cookie = cookie.ok_or_else(|| Error::Protocol("the login brings no session".into()))?;
        session.user =
            answer.first().and_then(|user| user.text_at("userName")).unwrap_or(&credentials.user).to_owned();
        Ok(session)
    }

    async fn read_service(&self) -> Result<Service, Error> {
        let this = Mor::new("ServiceInstance", "ServiceInstance");
        let (answer, _) = self.login_call("RetrieveServiceContent", &this, Body::default(), None).await?;
        Service::read(answer.first().ok_or_else(|| Error::Protocol("there is no service content".into()))?)
    }

    /// A call that belongs to the login itself: outside of the budget, never sent again.
    async fn login_call(
        &self,
        method: &'static str,
        this: &Mor,
        body: Body,
        session: Option<&Session>,
    ) -> Result<(Vec<Element>, Option<Secret>), Error> {
        let text = finish(method, body, &VIM)?;
        self.budget.count(method);
        let cookie = session.map(|s| &s.cookie).filter(|c| !c.expose().is_empty());
        let reply = self.transport.post(Post {
            path: None,
            method,
            action: action(&VIM, session),
            cookie,
            envelope: envelope(method, this, &text, &VIM, session),
            is_write: false,
            deadline: Instant::now() + self.timeouts.call,
        });
        let reply = reply.await?;
        let answer = returned(&answer_text(reply.status, reply.text)?)?;
        Ok((answer, reply.session))
    }

    /// Makes a call and hands back the answer's text, to be read by [`returned`] or piecewise.
    ///
    /// Without a session the server did nothing, so that even a write may be sent again after a
    /// login; what is bound to a session cannot.
    pub(crate) async fn call_text(&self, call: Call<'_>) -> Result<String, Error> {
        let deadline = Instant::now()
            + match call.mode {
                Mode::LongPoll(_, wait) => wait + self.timeouts.call,
                _ => self.timeouts.call,
            };
        let bound = match call.mode {
            Mode::Bound(generation) | Mode::LongPoll(generation, _) => Some(generation),
            Mode::Read | Mode::Write(_) => None,
        };
        let body = finish(call.method, call.body, call.api)?;
        let request =
            Request { method: call.method, this: call.this, body: &body, mode: call.mode, api: call.api };
        let session = self.session().await?;
        if bound.is_some_and(|generation| generation != session.generation) {
            return Err(Error::SessionLost);
        }
        match self.send(&request, &session, deadline).await {
            Err(error) if error.class() == Some(FaultClass::NotAuthenticated) => {
                let session = self.log_in(session.generation).await?;
                if bound.is_some() {
                    return Err(Error::SessionLost);
                }
                self.send(&request, &session, deadline).await
            }
            outcome => outcome,
        }
    }

    /// Makes a call and reads its `returnval` elements.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Vec<Element>, Error> {
        returned(&self.call_text(call).await?)
    }

    /// After an answer said that there is no session although the call itself passed.
    pub(crate) async fn session_ended(&self, generation: u64) -> Result<(), Error> {
        self.log_in(generation).await.map(drop)
    }

    async fn send(
        &self,
        request: &Request<'_>,
        session: &Session,
        deadline: Instant,
    ) -> Result<String, Error> {
        let _slot = match request.mode {
            Mode::LongPoll(..) => None,
            _ => Some(self.budget.enter(deadline).await?),
        };
        // After all waiting, so that nothing can come between the answer and the request.
        if let Mode::Write(permit) = request.mode {
            permit().map_err(Error::Refused)?;
        }
        self.budget.count(request.method);
        let began = Instant::now();
        let reply = self.transport.post(Post {
            path: request.api.path,
            method: request.method,
            action: action(request.api, Some(session)),
            cookie: Some(&session.cookie),
            envelope: envelope(request.method, request.this, request.body, request.api, Some(session)),
            is_write: matches!(request.mode, Mode::Write(_)),
            deadline,
        });
        let text = reply.await.and_then(|reply| answer_text(reply.status, reply.text));
        let took = began.elapsed();
        match &text {
            Ok(text) => {
                tracing::debug!(request.method, this = %request.this, ?took, bytes = text.len(), "call");
            }
            Err(error) => tracing::debug!(request.method, this = %request.this, ?took, %error, "call failed"),
        }
        text
    }
}

/// A call whose body is written and checked.
struct Request<'a> {
    method: &'static str,
    this: &'a Mor,
    body: &'a str,
    mode: Mode<'a>,
    api: &'a Api,
}

fn finish(method: &'static str, body: Body, api: &Api) -> Result<String, Error> {
    let text = body.finish().ok_or_else(|| {
        Error::Unsendable(format!("a text for {method} holds a control character, which XML cannot carry"))
    })?;
    #[cfg(debug_assertions)]
    if api.path.is_none() {
        crate::order::check(method, &text).map_err(Error::Unsendable)?;
    }
    #[cfg(not(debug_assertions))]
    let _ = api;
    Ok(text)
}

fn action(api: &Api, session: Option<&Session>) -> String {
    match session {
        Some(session) if api.path.is_none() => format!("{}/{}", api.namespace, session.version),
        _ => String::new(),
    }
}

fn envelope(method: &str, this: &Mor, body: &str, api: &Api, session: Option<&Session>) -> String {
    let mut text = String::with_capacity(body.len() + 512);
    let _ = write!(text, "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope {NAMESPACES}>");
    if let Some(session) = session
        && api.path.is_some()
    {
        let cookie = cookie_value(&session.cookie);
        let _ = write!(text, "<soapenv:Header><vcSessionCookie>{cookie}</vcSessionCookie></soapenv:Header>");
    }
    let this = Body::with(|b| {
        b.mor("_this", this);
    });
    let this = this.finish().unwrap_or_default();
    let namespace = api.namespace;
    let _ = write!(
        text,
        "<soapenv:Body><{method} xmlns=\"{namespace}\">{this}{body}</{method}></soapenv:Body></soapenv:Envelope>"
    );
    text
}

/// The text of a good answer; of a fault, the error.
fn answer_text(status: u16, text: String) -> Result<String, Error> {
    match status {
        200 => Ok(text),
        // Faults come with this status. Anything else that does is no SOAP answer.
        500 => Err(fault_in(&text).map_or(Error::Http { status }, Error::Fault)),
        status => Err(Error::Http { status }),
    }
}

fn fault_in(text: &str) -> Option<Fault> {
    let mut fault = None;
    let read = for_each_at(text, 3, |_, element| {
        if &*element.name == "Fault" {
            fault = Some(Fault::soap(element));
        }
        Ok(())
    });
    read.ok().and(fault)
}

/// The `returnval` elements of an answer.
pub(crate) fn returned(text: &str) -> Result<Vec<Element>, Error> {
    let mut values = vec![];
    for_each_at(text, 4, |_, element| {
        if &*element.name == "returnval" {
            values.push(element);
        }
        Ok(())
    })?;
    Ok(values)
}

/// The one reference that a call returns.
pub(crate) fn returned_mor(method: &str, values: &[Element]) -> Result<Mor, Error> {
    let mor = values.first().and_then(Element::mor);
    mor.ok_or_else(|| Error::Protocol(format!("{method} returns no reference")))
}
