//! Who may ask: API tokens, sessions by cookie or by key, and the lock after wrong passwords. A request without
//! any credentials never counts as a failed login.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, COOKIE};
use sha2::{Digest as _, Sha256};

use crate::config::Config;
use crate::schema::TableId;
use crate::store::{Place, View};
use crate::value::{Fields, Key, Row, short};

/// The sessions, and the failed logins.
#[derive(Debug, Default)]
pub(crate) struct Access {
    sessions: HashMap<String, Session>,
    failures: HashMap<IpAddr, Failures>,
    issued: u64,
}

/// A session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// What the cookie, or the header `Authorization`, carries.
    pub key: String,
    /// What a write by cookie has to show in `X-CSRFTOKEN`.
    pub csrf: String,
    admin: String,
    expires: Duration,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    /// The administrator or the API user.
    pub name: String,
    /// What a write has to show besides, where the browser sends the rest by itself.
    pub csrf: Option<String>,
}

/// Why a login came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoginError {
    /// Wrong name or password.
    Refused,
    /// Too many wrong ones before.
    Locked,
}

#[derive(Clone, Copy, Debug, Default)]
struct Failures {
    count: i64,
    locked_until: Duration,
}

impl Access {
    /// Opens a session.
    pub(crate) fn login(
        &mut self,
        view: View<'_>,
        (user, password): (&str, &str),
        peer: IpAddr,
        now: Duration,
    ) -> Result<Session, LoginError> {
        let failures = self.failures.entry(peer).or_default();
        if failures.locked_until > now {
            return Err(LoginError::Locked);
        }
        if !is_password(view, user, password) {
            failures.count += 1;
            if failures.count >= global(view, "admin-lockout-threshold") {
                let seconds = u64::try_from(global(view, "admin-lockout-duration")).unwrap_or(60);
                *failures = Failures { count: 0, locked_until: now + Duration::from_secs(seconds) };
            }
            return Err(LoginError::Refused);
        }
        self.failures.remove(&peer);
        let expires = now + idle(view);
        let session =
            Session { key: self.issue(now), csrf: self.issue(now), admin: user.to_owned(), expires };
        self.sessions.insert(session.key.clone(), session.clone());
        Ok(session)
    }

    /// Closes the session that the request shows, if it shows one.
    pub(crate) fn logout(&mut self, headers: &HeaderMap) {
        if let Some(key) = bearer(headers).map(str::to_owned).or_else(|| session_cookie(headers)) {
            self.sessions.remove(&key);
        }
    }

    /// Closes all sessions.
    pub(crate) fn expire_all(&mut self) {
        self.sessions.clear();
    }

    /// Who the request is from, by what it shows. `url_token` is that of `?access_token=`, where it counts.
    pub(crate) fn principal(
        &mut self,
        view: View<'_>,
        headers: &HeaderMap,
        url_token: Option<&str>,
        now: Duration,
    ) -> Option<Principal> {
        if let Some(token) = bearer(headers).or(url_token) {
            let user = token_user(view, token);
            let name = user.or_else(|| self.touch(token, view, now).map(|session| session.admin.clone()));
            return name.map(|name| Principal { name, csrf: None });
        }
        let session = self.touch(&session_cookie(headers)?, view, now)?;
        Some(Principal { name: session.admin.clone(), csrf: Some(session.csrf.clone()) })
    }

    fn touch(&mut self, key: &str, view: View<'_>, now: Duration) -> Option<&Session> {
        self.sessions.retain(|_, session| session.expires > now);
        let session = self.sessions.get_mut(key)?;
        session.expires = now + idle(view);
        Some(session)
    }

    fn issue(&mut self, now: Duration) -> String {
        self.issued += 1;
        let mut hash = Sha256::new();
        hash.update(self.issued.to_be_bytes());
        hash.update(now.as_nanos().to_be_bytes());
        format!("{:032X}", short(hash))
    }
}

fn is_password(view: View<'_>, user: &str, password: &str) -> bool {
    let Some(admins) = table("system/admin") else { return false };
    let place = Place { table: admins, vdom: None };
    view.get(&place, &Key::from(user)).is_some_and(|row| row.text(admins.table(), "password") == password)
}

fn token_user(view: View<'_>, token: &str) -> Option<String> {
    let users = table("system/api-user")?;
    let rows = view.list(&Place { table: users, vdom: None });
    let found = rows.into_iter().find(|row| row.text(users.table(), "api-key") == token && !token.is_empty());
    found.map(|row| row.key.to_string())
}

fn global(view: View<'_>, name: &str) -> i64 {
    let Some(global) = table("system/global") else { return 0 };
    let place = Place { table: global, vdom: None };
    let unset = Row::new(Key::single(), Fields::default());
    view.single(&place).map_or(&unset, |row| row).number(global.table(), name)
}

fn table(full: &str) -> Option<TableId> {
    Config::table(full).ok()
}

fn idle(view: View<'_>) -> Duration {
    Duration::from_secs(60 * u64::try_from(global(view, "admintimeout")).unwrap_or(5))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ").map(str::trim)
}

/// The session's cookie, by either of the names that it has had, with its quotes or without.
fn session_cookie(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|cookies| cookies.split(';')).find_map(|cookie| {
        let (name, value) = cookie.trim().split_once('=')?;
        let known = name.starts_with("session_key") || name.starts_with("APSCOOKIE_");
        known.then(|| value.trim().trim_matches('"').to_owned())
    })
}
