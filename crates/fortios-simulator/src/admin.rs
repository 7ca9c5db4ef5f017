//! The admin port: what happened, and what shall go wrong. JSON over HTTP on loopback, without TLS. An order is in
//! force when it is answered; a wrong one is answered with 400 and the reason.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use crate::api::{Reply, Request};
use crate::config::Config;
use crate::device::Device;
use crate::export::{self, Extent};
use crate::listener::Gate;
use crate::orders::{Cut, Denial, Fault};
use crate::recording::Recording;
use crate::store::Place;
use crate::sync::{lock, read, write};

/// What the admin port works on.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    /// The device.
    pub device: Arc<Device>,
    /// The port of the REST API.
    pub gate: Gate,
}

/// Why an order was not taken.
#[derive(Debug, thiserror::Error)]
enum OrderError {
    #[error("there is no such request")]
    Unknown,
    #[error("{0}")]
    Wrong(String),
}

impl Admin {
    /// Answers a request to the admin port.
    pub(crate) async fn answer(self, request: Request) -> Reply {
        let outcome = match (request.method.as_str(), request.path.as_str()) {
            ("POST", "pause") => self.set_open(false).await,
            ("POST", "resume") => self.set_open(true).await,
            ("GET", "export") => return self.export(),
            _ => self.order(&request),
        };
        match outcome {
            Ok(answer) => Reply::json(200, &answer),
            Err(OrderError::Unknown) => Reply::json(404, &json!({"error": OrderError::Unknown.to_string()})),
            Err(error) => Reply::json(400, &json!({"error": error.to_string()})),
        }
    }

    async fn set_open(&self, open: bool) -> Result<Json, OrderError> {
        self.gate.set_open(open).await.map_err(|error| OrderError::Wrong(error.to_string()))?;
        Ok(json!({}))
    }

    fn export(&self) -> Reply {
        let config = read(&self.device.config);
        let text = export::configuration(&config, &self.device.identity, "admin", &Extent::Device);
        Reply::raw(200, "text/plain", text.into_bytes())
    }

    fn order(&self, request: &Request) -> Result<Json, OrderError> {
        let device = &self.device;
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "stats") => Ok(json!(&*lock(&device.stats))),
            ("POST", "stats/reset") => {
                lock(&device.stats).reset();
                Ok(json!({}))
            }
            ("GET", "journal") => Ok(json!(lock(&device.journal).entries())),
            ("POST", "journal/reset") => {
                lock(&device.journal).reset();
                Ok(json!({}))
            }
            ("GET", "record") => Ok(json!(lock(&device.recording).as_ref().map(Recording::tables))),
            ("POST", "record") => {
                let table = Config::table(text(request, "table")?);
                let table = table.map_err(|_| OrderError::Wrong("there is no such table".into()))?;
                let vdom = text(request, "vdom")?.into();
                let config = read(&device.config);
                *lock(&device.recording) = Some(Recording::new(Place::of(table, &vdom), &config));
                Ok(json!({}))
            }
            ("POST", "sessions/expire") => {
                lock(&device.access).expire_all();
                Ok(json!({}))
            }
            ("POST", "clock") => {
                device.clock.advance(Duration::from_secs(number(request, "advance")?));
                Ok(json!({"time": device.clock.now().as_secs()}))
            }
            ("POST", "limit") => {
                let (table, rows) = (text(request, "table")?, number(request, "rows")?);
                let rows =
                    usize::try_from(rows).map_err(|_| OrderError::Wrong("rows is too large".into()))?;
                write(&device.config).limits.insert(table.to_owned(), rows);
                Ok(json!({}))
            }
            ("POST", "revision") => {
                let text = String::from_utf8(request.body.clone());
                let text = text.map_err(|error| OrderError::Wrong(error.to_string()))?;
                let damaged = lock(&device.revisions).damage(number(request, "id")?, text);
                damaged.map_err(|error| OrderError::Wrong(error.to_string()))?;
                Ok(json!({}))
            }
            ("POST", "seed") => {
                let seed: Json = body(request)?;
                write(&device.config)
                    .load(&seed)
                    .map_err(|error| OrderError::Wrong(format!("{:#}", anyhow::Error::from(error))))?;
                Ok(json!({}))
            }
            _ => self.order_wrong(request),
        }
    }

    /// What shall go wrong.
    fn order_wrong(&self, request: &Request) -> Result<Json, OrderError> {
        let mut orders = lock(&self.device.orders);
        let denial = || Denial {
            vdom: request.parameter("vdom").map(str::to_owned),
            table: request.parameter("table").map(str::to_owned),
        };
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "cut") => return Ok(json!(orders.cut)),
            ("POST", "cut") => orders.cut = Some(body::<Cut>(request)?),
            ("DELETE", "cut") => orders.cut = None,
            ("GET", "fault") => return Ok(json!(orders.faults)),
            ("POST", "fault") => orders.faults.push(body::<Fault>(request)?),
            ("DELETE", "fault") => orders.faults.clear(),
            ("POST", "http") => {
                let status = u16::try_from(number(request, "code")?);
                let status = status.map_err(|_| OrderError::Wrong("code is no status".into()))?;
                let count = number(request, "count").unwrap_or(1);
                let fault = json!({"status": status, "count": count, "html": true});
                orders.faults.push(serde_json::from_value(fault).map_err(|error| wrong(&error))?);
            }
            ("POST", "delay") => orders.delay = Duration::from_millis(number(request, "ms")?),
            ("GET", "hide") => return Ok(json!(orders.denied)),
            ("POST", "hide") => drop(orders.denied.insert(denial())),
            ("DELETE", "hide") => {
                let one = denial();
                let all = one.vdom.is_none() && one.table.is_none();
                orders.denied.retain(|other| !all && *other != one);
            }
            _ => return Err(OrderError::Unknown),
        }
        Ok(json!({}))
    }
}

fn body<T: DeserializeOwned>(request: &Request) -> Result<T, OrderError> {
    serde_json::from_slice(&request.body).map_err(|error| wrong(&error))
}

fn wrong(error: &serde_json::Error) -> OrderError {
    OrderError::Wrong(error.to_string())
}

fn text<'a>(request: &'a Request, name: &str) -> Result<&'a str, OrderError> {
    request.parameter(name).ok_or_else(|| OrderError::Wrong(format!("name the {name}")))
}

fn number(request: &Request, name: &str) -> Result<u64, OrderError> {
    text(request, name)?.parse().map_err(|_| OrderError::Wrong(format!("{name} is no whole number")))
}
