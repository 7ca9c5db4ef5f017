//! The one session: who is logged in, since when, and when no login may be tried.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::service::Service;
use crate::{Credentials, Error, Secret};

/// One session of vCenter, as long as it lasts. Views, filters and collectors live in it.
pub(crate) struct Session {
    /// Counts up with every login.
    pub(crate) generation: u64,
    pub(crate) cookie: Secret,
    /// The user as vCenter names it, which may differ from what was typed.
    pub(crate) user: String,
    pub(crate) service: Service,
    /// For `SOAPAction`.
    pub(crate) version: String,
}

/// The session there is, or why there is none.
pub(crate) struct Sessions {
    state: Mutex<State>,
    /// Held during a login, so that all calls that need one wait for the same.
    pub(crate) flight: tokio::sync::Mutex<()>,
    pause: Duration,
}

struct State {
    generation: u64,
    current: Option<Arc<Session>>,
    credentials: Credentials,
    /// Until when the credentials are not tried again.
    refused_until: Option<Instant>,
    failed: Option<(Instant, Error)>,
}

/// What a call that needs a login finds.
pub(crate) enum Turn {
    /// Somebody else logged in, or tried and failed, meanwhile.
    Settled(Result<Arc<Session>, Error>),
    /// It is this call's turn, with these credentials.
    LogIn(Credentials),
}

impl Sessions {
    pub(crate) fn new(credentials: Credentials, pause: Duration) -> Self {
        let state = State { generation: 0, current: None, credentials, refused_until: None, failed: None };
        Sessions { state: Mutex::new(state), flight: tokio::sync::Mutex::default(), pause }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn current(&self) -> Option<Arc<Session>> {
        self.state().current.clone()
    }

    /// The number of the last login.
    pub(crate) fn generation(&self) -> u64 {
        self.state().generation
    }

    /// Decides, with the flight held, whether a call that asked at `asked` and found the session
    /// `seen` dead has to log in itself.
    pub(crate) fn turn(&self, seen: u64, asked: Instant) -> Turn {
        let state = self.state();
        if let Some(session) = &state.current
            && session.generation > seen
        {
            return Turn::Settled(Ok(session.clone()));
        }
        if let Some(until) = state.refused_until
            && let Some(retry_in) = until.checked_duration_since(Instant::now())
        {
            return Turn::Settled(Err(Error::InvalidLogin { retry_in }));
        }
        match &state.failed {
            Some((at, error)) if *at >= asked => Turn::Settled(Err(error.clone())),
            _ => Turn::LogIn(state.credentials.clone()),
        }
    }

    /// The number that the session of the next login gets.
    pub(crate) fn next_generation(&self) -> u64 {
        self.state().generation + 1
    }

    /// Notes how a login with these credentials ended.
    pub(crate) fn settle(
        &self,
        tried: &Credentials,
        outcome: Result<Session, Error>,
    ) -> Result<Arc<Session>, Error> {
        let mut state = self.state();
        match outcome {
            Ok(session) => {
                let session = Arc::new(session);
                state.generation = session.generation;
                // Credentials may have changed during the login: then the next call logs in anew.
                state.current = (state.credentials == *tried).then(|| session.clone());
                state.failed = None;
                Ok(session)
            }
            Err(error) => {
                let error =
                    if is_refusal(&error) { Error::InvalidLogin { retry_in: self.pause } } else { error };
                if matches!(error, Error::InvalidLogin { .. }) && state.credentials == *tried {
                    state.refused_until = Some(Instant::now() + self.pause);
                }
                state.current = None;
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Takes new credentials and gives the session of the old ones back, if they differ.
    pub(crate) fn replace_credentials(&self, credentials: Credentials) -> Option<Arc<Session>> {
        let mut state = self.state();
        if state.credentials == credentials {
            return None;
        }
        state.credentials = credentials;
        state.refused_until = None;
        state.failed = None;
        state.current.take()
    }

    /// Forgets the session.
    pub(crate) fn take(&self) -> Option<Arc<Session>> {
        self.state().current.take()
    }
}

fn is_refusal(error: &Error) -> bool {
    error.fault().is_some_and(|fault| matches!(&*fault.kind, "InvalidLogin" | "PasswordExpired"))
}
