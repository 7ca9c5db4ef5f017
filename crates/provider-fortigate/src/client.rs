//! FortiOS over its REST API, as far as it is needed: rows of tables, moves, batch transactions, monitors.
//!
//! Nothing here knows of tenants. One token serves all callers; it goes in a header, never in a URL. There is no login by
//! password: an API user's token can be bound to addresses and rights, and needs no session that could be lost.

mod envelope;
mod error;
mod http;
mod pages;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize as _, Deserializer};
use serde_json::{Map, Value as Json, json};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

use envelope::Envelope;
use error::Asked;
pub(crate) use error::{Error, applied, provider_error};
pub(crate) use http::Token;
use http::{CALL, Coming, FILE, Http};

use crate::schema::GLOBAL;

/// Where transactions begin and end.
const TRANSACTIONS: &str = "/api/v2/cmdb";
/// Rows in one answer.
const PAGE: usize = 1000;
/// How many virtual firewalls a request names at most; of more it asks for all.
const NAMED: usize = 16;
/// How many seconds a transaction may stay open at least. One that a crash left behind holds its tables for so long.
const TRANSACTION: u64 = 30;
/// How much longer for each of its steps: a look, a write and a move at the rate that the device is given.
const TRANSACTION_STEP: u64 = 1;

/// A row of a table as FortiOS gives it.
pub(crate) type Row = Map<String, Json>;

/// The form in which rows are kept: each is read straight into it.
pub(crate) trait Keep: Clone + Send + Sync + 'static {
    type Kept: Send + 'static;

    /// Reads a row of this virtual firewall.
    fn keep<'de, D: Deserializer<'de>>(&self, vdom: &str, row: D) -> Result<Self::Kept, D::Error>;
}

/// As FortiOS gives it.
#[derive(Clone)]
struct AsItIs;

impl Keep for AsItIs {
    type Kept = Row;

    fn keep<'de, D: Deserializer<'de>>(&self, _: &str, row: D) -> Result<Row, D::Error> {
        Row::deserialize(row)
    }
}

/// Whether a write may be sent now. Asked immediately before each.
pub(crate) type Permit = dyn Fn() -> Result<(), String> + Send + Sync;

/// How to reach one FortiGate and how much of it may be used.
pub(crate) struct Config {
    /// `https://fortigate.example`, without a path.
    pub(crate) url: String,
    /// The CA that its certificate is checked against, PEM. No other root counts.
    pub(crate) ca: String,
    /// Calls at once, at most.
    pub(crate) concurrency: usize,
    /// Calls a second, at most; a burst may be as large as one second's share.
    pub(crate) requests_per_second: u32,
}

/// One FortiGate.
pub(crate) struct Client {
    http: Http,
    slots: Semaphore,
    /// When the next call is due if all had come evenly.
    due: Mutex<Instant>,
    interval: Duration,
}

/// A table as it was read, each row in the form in which it is kept.
#[derive(Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "rows are rows")]
pub(crate) struct Rows<T> {
    /// Its revision: another one means that something in it may have changed.
    pub(crate) revision: String,
    /// Its rows in their order.
    pub(crate) rows: Vec<T>,
    /// Who answered.
    pub(crate) serial: String,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { revision: String::new(), rows: Vec::new(), serial: String::new() }
    }
}

/// Where a write goes: a table of a virtual firewall, or of the device ([`GLOBAL`]).
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a> {
    pub(crate) vdom: &'a str,
    pub(crate) table: &'a str,
}

/// Which rows of a table are asked for, and what of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    attributes: &'a [&'a str],
    filter: Option<&'a str>,
    page: usize,
}

impl<'a> Ask<'a> {
    /// All rows.
    pub(crate) fn all(attributes: &'a [&'a str]) -> Self {
        Self { attributes, filter: None, page: PAGE }
    }

    /// Those that pass a filter, made of [`contains`] and [`equals`]. FortiOS compares without regard to case, so that
    /// more may come than is meant.
    pub(crate) fn those(attributes: &'a [&'a str], filter: &'a str) -> Self {
        Self { filter: Some(filter), ..Self::all(attributes) }
    }

    /// How a page is asked for that begins with this row.
    fn query(&self, vdoms: &str, start: usize) -> Vec<(&'static str, String)> {
        let (name, vdoms) = scope(vdoms);
        let filter = self.filter.map(|filter| ("filter", filter.to_owned()));
        let page = [("start", start.to_string()), ("count", self.page.to_string())];
        let page = [(name, vdoms.to_owned())].into_iter().chain(page);
        page.chain([("format", self.attributes.join("|"))]).chain(filter).collect()
    }
}

fn borrowed<'a>(query: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    query.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// A filter: this text stands in the attribute.
pub(crate) fn contains(attribute: &str, text: &str) -> String {
    format!("{attribute}=@{}", quoted(text))
}

/// A filter: the attribute is this.
pub(crate) fn equals(attribute: &str, text: &str) -> String {
    format!("{attribute}=={}", quoted(text))
}

/// A comma begins another alternative, and a backslash takes its meaning away.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace(',', "\\,")
}

/// A place in the policy table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Beside {
    /// Directly above.
    Before(u64),
    /// Directly below.
    After(u64),
}

/// An answer of which only the head has come. It takes a slot until all of it is here.
struct Promised<'a> {
    answer: Coming,
    _slot: Option<SemaphorePermit<'a>>,
}

impl Promised<'_> {
    async fn text(self) -> Result<String, Error> {
        self.answer.text().await
    }
}

/// Writes with the permit of one step, within a transaction or each by itself.
pub(crate) struct Writer<'a> {
    client: &'a Client,
    permit: &'a Permit,
    transaction: Option<u64>,
}

impl Client {
    pub(crate) fn new(config: &Config, token: Token) -> Result<Self, Error> {
        Ok(Self {
            http: Http::new(&config.url, &config.ca, token)?,
            slots: Semaphore::new(config.concurrency.max(1)),
            due: Mutex::new(Instant::now()),
            interval: Duration::from_secs(1) / config.requests_per_second.max(1),
        })
    }

    /// Another token from now on.
    pub(crate) fn set_token(&self, token: Token) {
        self.http.set_token(token);
    }

    /// The rows of a table of one virtual firewall.
    pub(crate) async fn rows(&self, at: At<'_>, ask: &Ask<'_>) -> Result<Vec<Row>, Error> {
        let read = self.list(at.table, &[at.vdom], ask, &AsItIs).await?;
        Ok(read.into_values().flat_map(|read| read.rows).collect())
    }

    /// The revision of a table in each of these virtual firewalls, by the smallest answer that tells it: one row with its key
    /// alone.
    pub(crate) async fn revisions(
        &self,
        table: &str,
        mkey: &str,
        vdoms: &[&str],
    ) -> Result<BTreeMap<String, String>, Error> {
        let ask = Ask { attributes: &[mkey], filter: None, page: 1 };
        let page = self.page(table, vdoms, &ask, 0).await?;
        let heads = envelope::heads(Asked::Row, &page.text().await?)?;
        let known = heads.into_iter().filter_map(|head| {
            let vdom = match vdoms {
                [vdom] => vdom,
                several => several.iter().find(|vdom| **vdom == head.vdom)?,
            };
            Some(((*vdom).to_owned(), head.revision))
        });
        Ok(known.collect())
    }

    /// A page of each of these virtual firewalls, in one request, of which only the head has come. Of several, those that
    /// the token has no right to are left out without a word, and others may be told besides.
    async fn page(
        &self,
        table: &str,
        vdoms: &[&str],
        ask: &Ask<'_>,
        start: usize,
    ) -> Result<Promised<'_>, Error> {
        let names = if vdoms.len() > NAMED { "*".to_owned() } else { vdoms.join(",") };
        self.promised(&cmdb(table, None), &borrowed(&ask.query(&names, start)), CALL).await
    }

    /// What is told within this time, of which only the head has come.
    async fn promised(
        &self,
        path: &str,
        query: &[(&str, &str)],
        within: Duration,
    ) -> Result<Promised<'_>, Error> {
        let slot = self.enter().await;
        Ok(Promised { answer: self.http.ask(path, query, within).await?, _slot: slot })
    }

    /// One row, where it is there.
    pub(crate) async fn row(&self, at: At<'_>, mkey: &str) -> Result<Option<Row>, Error> {
        match self.get(&addressed(at, mkey)?, &[scope(at.vdom)]).await {
            Ok(answer) => {
                let page = envelope::first(envelope::unread(&answer.text)?)?.page(at.vdom, &AsItIs)?;
                Ok(page.rows.into_iter().next())
            }
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The results of a monitor, and who answered in what version.
    pub(crate) async fn monitor(
        &self,
        path: &str,
        vdom: Option<&str>,
    ) -> Result<(Json, String, String), Error> {
        let query: Vec<_> = vdom.into_iter().map(|vdom| ("vdom", vdom)).collect();
        let answer = self.get(&format!("/api/v2/monitor/{path}"), &query).await?;
        Ok((answer.results()?, answer.head.serial, answer.head.version))
    }

    /// A file that a monitor gives.
    pub(crate) async fn text(&self, path: &str, query: &[(&str, &str)]) -> Result<String, Error> {
        self.promised(&format!("/api/v2/monitor/{path}"), query, FILE).await?.text().await
    }

    /// A row of a table of which nothing is set.
    pub(crate) async fn defaults(&self, at: At<'_>) -> Result<Row, Error> {
        let query = [("vdom", at.vdom), ("action", "default")];
        match self.get(&cmdb(at.table, None), &query).await?.results()? {
            Json::Object(row) => Ok(row),
            _ => Err(Error::Protocol(format!("the defaults of {} are no object", at.table))),
        }
    }

    /// The one object of a table without rows, such as `system/global`.
    pub(crate) async fn single(&self, table: &str) -> Result<Row, Error> {
        match self.get(&cmdb(table, None), &[]).await?.results()? {
            Json::Object(row) => Ok(row),
            _ => Err(Error::Protocol(format!("{table} is no object"))),
        }
    }

    pub(crate) fn writer<'a>(&'a self, permit: &'a Permit) -> Writer<'a> {
        Writer { client: self, permit, transaction: None }
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Envelope, Error> {
        Envelope::new(Asked::Row, self.promised(path, query, CALL).await?.text().await?)
    }

    /// Waits for a slot and for the rate.
    async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        let slot = self.slots.acquire().await.ok();
        let at = {
            let mut due = self.due.lock().await;
            let now = Instant::now();
            let full = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
            *due = (*due).max(full) + self.interval;
            (*due).max(now)
        };
        sleep_until(at).await;
        slot
    }
}

impl Writer<'_> {
    /// The same within a new transaction: nothing is in force before the commit.
    pub(crate) async fn begin(&self, vdom: &str, steps: usize) -> Result<Self, Error> {
        let body = json!({"timeout": TRANSACTION + TRANSACTION_STEP * steps as u64});
        let answer =
            self.post(TRANSACTIONS, &[("action", "transaction-start"), ("vdom", vdom)], &body).await?;
        let id = answer.results()?["transaction-id"].as_u64();
        let id = id.ok_or_else(|| Error::Protocol("a transaction without an id".to_owned()))?;
        Ok(Self { client: self.client, permit: self.permit, transaction: Some(id) })
    }

    /// Puts all writes of the transaction in force, or none.
    pub(crate) async fn commit(&self, vdom: &str) -> Result<(), Error> {
        self.end("transaction-commit", vdom).await
    }

    /// Gives the transaction up.
    pub(crate) async fn abort(&self, vdom: &str) -> Result<(), Error> {
        self.end("transaction-abort", vdom).await
    }

    async fn end(&self, action: &str, vdom: &str) -> Result<(), Error> {
        let body = json!({"transaction-id": self.transaction});
        self.post(TRANSACTIONS, &[("action", action), ("vdom", vdom)], &body).await.map(drop)
    }

    /// Has the device save its configuration as it is, under this comment.
    pub(crate) async fn save_revision(&self, monitor: &str, comment: &str) -> Result<(), Error> {
        let path = format!("/api/v2/monitor/{monitor}/save");
        self.post(&path, &[], &json!({"comments": comment})).await.map(drop)
    }

    /// A new row. Gives the key by which it is addressed.
    pub(crate) async fn create(&self, at: At<'_>, row: &Row) -> Result<Json, Error> {
        let body = Json::Object(row.clone());
        let answer = self.post(&cmdb(at.table, None), &[scope(at.vdom)], &body).await?;
        Ok(answer.head.mkey)
    }

    /// Other values in a row.
    pub(crate) async fn update(&self, at: At<'_>, mkey: &str, row: &Row) -> Result<(), Error> {
        let path = addressed(at, mkey)?;
        self.send(reqwest::Method::PUT, &path, &[scope(at.vdom)], Some(&Json::Object(row.clone())))
            .await
            .map(drop)
    }

    /// Takes a row away.
    pub(crate) async fn delete(&self, at: At<'_>, mkey: &str) -> Result<(), Error> {
        let path = addressed(at, mkey)?;
        self.send(reqwest::Method::DELETE, &path, &[scope(at.vdom)], None).await.map(drop)
    }

    /// Another place for a policy.
    pub(crate) async fn move_policy(&self, vdom: &str, id: u64, beside: Beside) -> Result<(), Error> {
        let at = At { vdom, table: "firewall/policy" };
        let (word, other) = match beside {
            Beside::Before(other) => ("before", other.to_string()),
            Beside::After(other) => ("after", other.to_string()),
        };
        let query = [("vdom", vdom), ("action", "move"), (word, other.as_str())];
        self.send(reqwest::Method::PUT, &addressed(at, &id.to_string())?, &query, None).await.map(drop)
    }

    async fn post(&self, path: &str, query: &[(&str, &str)], body: &Json) -> Result<Envelope, Error> {
        self.send(reqwest::Method::POST, path, query, Some(body)).await
    }

    async fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Json>,
    ) -> Result<Envelope, Error> {
        let _slot = self.client.enter().await;
        (self.permit)().map_err(Error::NotPermitted)?;
        self.client.http.write(method, path, query, body, self.transaction).await
    }
}

/// How a request says where its table stands.
fn scope(vdom: &str) -> (&'static str, &str) {
    if vdom == GLOBAL { ("scope", GLOBAL) } else { ("vdom", vdom) }
}

/// The path of a table or row.
fn cmdb(table: &str, mkey: Option<&str>) -> String {
    match mkey {
        None => format!("/api/v2/cmdb/{table}"),
        Some(mkey) => format!("/api/v2/cmdb/{table}/{}", encoded(mkey)),
    }
}

/// The path of one row. With a key that a URL resolves to nothing it would be the table's, and a delete would empty that.
fn addressed(at: At<'_>, mkey: &str) -> Result<String, Error> {
    let is_nothing = |it: char| it.is_whitespace() || matches!(it, '.' | '/' | '\\');
    if mkey.chars().all(is_nothing) {
        return Err(Error::Config(format!("{mkey:?} is no key of a row of {}: nothing was sent", at.table)));
    }
    Ok(cmdb(at.table, Some(mkey)))
}

/// A key as one part of a path: whatever has a meaning there is written by its code.
fn encoded(mkey: &str) -> String {
    let mut out = String::new();
    for byte in mkey.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            other => out.extend(['%', hex(other >> 4), hex(other & 15)]),
        }
    }
    out
}

fn hex(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0').to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_part_of_a_path_and_never_none() {
        assert_eq!(
            cmdb("firewall/address", Some("10.0.0.0/24 å")),
            "/api/v2/cmdb/firewall/address/10.0.0.0%2F24%20%C3%A5"
        );
        for nothing in ["", ".", "..", " ", "/", "./.", "\\"] {
            let path = addressed(At { vdom: "root", table: "firewall/address" }, nothing);
            assert!(matches!(path, Err(Error::Config(_))), "{nothing:?} {path:?}");
        }
    }
}
