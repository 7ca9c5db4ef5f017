//! `/api/v2/cmdb/<path>/<name>[/<key>[/<child table>[/<child key>]]]`

use serde_json::Value as Json;

use super::reply::{Envelope, Failure, Reply, reply};
use super::request::Request;
use super::scope::VdomScope;
use crate::cmdb::child::{Child, Edit};
use crate::cmdb::order::Side;
use crate::cmdb::{CmdbError, Query, schema_action};
use crate::config::{Config, Target, Write, Written};
use crate::device::Device;
use crate::render;
use crate::schema::{Shape, Table, TableId};
use crate::store::{Place, Vdom, View};
use crate::sync::{lock, read, write};
use crate::value::{Fields, Key, Row};

/// A request's path, understood.
struct Address<'a> {
    table: TableId,
    key: Option<&'a str>,
    child: Option<(&'a str, Option<&'a str>)>,
}

impl<'a> Address<'a> {
    fn of(rest: &[&'a str]) -> Result<Self, CmdbError> {
        let [path, name, deeper @ ..] = rest else { return Err(CmdbError::NoSuchTable) };
        let table = Config::table(&format!("{path}/{name}"))?;
        let (key, child) = match *deeper {
            [] => (None, None),
            [key] => (Some(key), None),
            [key, child] => (Some(key), Some((child, None))),
            [key, child, row] => (Some(key), Some((child, Some(row)))),
            _ => return Err(CmdbError::NoSuchTable),
        };
        Ok(Self { table, key, child })
    }

    fn key(&self) -> Result<Option<Key>, CmdbError> {
        let table = self.table.table();
        match (table.shape, self.key) {
            (Shape::Single, None) => Ok(Some(Key::single())),
            (Shape::Single, Some(_)) => Err(CmdbError::NotFound),
            (Shape::List, None) => Ok(None),
            (Shape::List, Some(text)) => Key::parse(table, text).map(Some).ok_or(CmdbError::NotFound),
        }
    }
}

/// The answer, and the key of the row that was written.
pub(crate) fn serve(device: &Device, request: &Request, rest: &[&str]) -> (Reply, Option<String>) {
    if request.method == "GET" { (get(device, request, rest), None) } else { change(device, request, rest) }
}

fn get(device: &Device, request: &Request, rest: &[&str]) -> Reply {
    let config = read(&device.config);
    let scope = VdomScope::of(request, config.store());
    let address = Address::of(rest);
    let (scope, address) = match (scope, address) {
        (Ok(scope), Ok(address)) => (scope, address),
        (Err(error), _) | (_, Err(error)) => {
            return reply(&[refusal(request, rest, &error)], false, &device.identity);
        }
    };
    let denied = |vdom: &Vdom| lock(&device.orders).denies(vdom, address.table.table().full);
    // Of several VDOMs those without a right are left out without a word; one alone is refused.
    let seen: Vec<Vdom> = scope.vdoms.iter().filter(|vdom| !denied(vdom)).cloned().collect();
    if seen.is_empty() {
        return reply(&[refusal(request, rest, &CmdbError::Permission)], scope.as_list, &device.identity);
    }
    let envelopes: Vec<Envelope<'_>> =
        seen.iter().map(|vdom| envelope_of(&config, request, &address, &scope, vdom)).collect();
    reply(&envelopes, scope.as_list, &device.identity)
}

fn envelope_of<'a>(
    config: &Config,
    request: &'a Request,
    address: &Address<'_>,
    scope: &VdomScope,
    vdom: &'a Vdom,
) -> Envelope<'a> {
    let table = address.table.table();
    let place = Place::of(address.table, vdom);
    let mut envelope = Envelope {
        method: &request.method,
        revision: Some(config.revision(&place)),
        vdom,
        path: table.path,
        name: table.name,
        action: request.parameter("action").filter(|action| !action.is_empty()),
        ..Envelope::default()
    };
    let key = address.key();
    if let (Shape::List, Ok(Some(key))) = (table.shape, &key) {
        envelope.mkey = Some(key.json());
    }
    let found = key.and_then(|key| results(config, request, address, scope, &place, key.as_ref()));
    match found {
        Ok((results, page)) => {
            envelope.results = Some(results);
            envelope.page = page;
        }
        Err(error) => envelope.error = Some(Failure::from(&error)),
    }
    envelope
}

type Found = (Vec<u8>, Option<(usize, usize, usize, bool)>);

fn results(
    config: &Config,
    request: &Request,
    address: &Address<'_>,
    scope: &VdomScope,
    place: &Place,
    key: Option<&Key>,
) -> Result<Found, CmdbError> {
    match request.parameter("action").unwrap_or_default() {
        "" | "select" => {}
        "schema" => return Ok((schema_action::schema(address.table).to_string().into_bytes(), None)),
        "default" => return Ok((schema_action::default(address.table), None)),
        other => return Err(CmdbError::BadRequest(format!("there is no action {other}"))),
    }
    let table = address.table;
    let query = Query::parse(table, request.parameters())?;
    let view = config.committed();
    let vdom = place.vdom.clone().unwrap_or_else(|| scope_vdom(request));
    match (key, address.child) {
        (Some(key), Some((child, row))) => child_results(view, place, key, Child::of(table, child)?, row),
        (Some(_), None) if table.table().shape == Shape::Single => {
            let row = view
                .single(place)
                .cloned()
                .unwrap_or_else(|| Row::new(Key::single(), Fields::default()).into());
            let mut out = Vec::new();
            render::row(&mut out, table, &row, query.selection());
            Ok((out, None))
        }
        (Some(key), None) => {
            let row = view.get(place, key).filter(|row| in_sight(table, row, scope, &vdom));
            let row = row.ok_or(CmdbError::NotFound)?;
            let mut out = vec![b'['];
            render::row(&mut out, table, row, query.selection());
            out.push(b']');
            Ok((out, Some((view.len(place), 1, 0, false))))
        }
        (None, _) => {
            let rows = config.store().rows(place).ok_or(CmdbError::NotFound)?;
            let page = if table.table().full == INTERFACE && narrows(scope, &vdom) {
                let seen: Vec<_> = rows.iter().filter(|row| in_sight(table, row, scope, &vdom)).collect();
                let size = seen.len();
                query.page(table, seen.into_iter(), size)
            } else {
                query.page(table, rows.iter(), rows.len())
            };
            Ok((page.results, Some((page.size, page.matched, page.next, page.limited))))
        }
    }
}

const INTERFACE: &str = "system/interface";

fn scope_vdom(request: &Request) -> Vdom {
    Vdom::from(request.parameter("vdom").unwrap_or(super::MANAGEMENT))
}

/// From the management VDOM all interfaces are seen; from any other, and of several asked at once, only its own.
fn narrows(scope: &VdomScope, vdom: &Vdom) -> bool {
    !scope.global && (scope.as_list || &**vdom != super::MANAGEMENT)
}

fn in_sight(table: TableId, row: &Row, scope: &VdomScope, vdom: &Vdom) -> bool {
    table.table().full != INTERFACE || !narrows(scope, vdom) || row.text(table.table(), "vdom") == &**vdom
}

fn child_results(
    view: View<'_>,
    place: &Place,
    key: &Key,
    child: Child,
    row: Option<&str>,
) -> Result<Found, CmdbError> {
    let holder = view.get(place, key).ok_or(CmdbError::NotFound)?;
    let rows = child.rows(&holder.fields);
    let mut out = Vec::new();
    let shown = match row {
        None => rows,
        Some(name) => {
            let found = Child::find(rows, name).ok_or(CmdbError::NotFound)?;
            &rows[found..=found]
        }
    };
    render::children(&mut out, child.attributes, shown);
    Ok((out, Some((rows.len(), shown.len(), 0, false))))
}

fn change(device: &Device, request: &Request, rest: &[&str]) -> (Reply, Option<String>) {
    let understood = understand(device, request, rest);
    let outcome = understood.and_then(|(target, order, as_list)| {
        let mut config = write(&device.config);
        let written = config.perform(&target, &order, device.clock.now());
        written.map(|written| (target, written, as_list))
    });
    match outcome {
        Ok((target, written, as_list)) => {
            let key = written.key.as_ref().map(Key::to_string);
            let envelope = success(request, &target, written);
            (reply(&[envelope], as_list, &device.identity), key)
        }
        Err(error) => {
            let as_list = request.parameter("global").is_some_and(|value| value == "1");
            let mut refusal = refusal(request, rest, &error);
            refusal.revision = revision(device, request, rest);
            (reply(&[refusal], as_list, &device.identity), None)
        }
    }
}

/// The table's revision, as far as the request names a table.
fn revision(device: &Device, request: &Request, rest: &[&str]) -> Option<String> {
    let config = read(&device.config);
    let vdom = VdomScope::of(request, config.store()).and_then(|scope| scope.single()).ok()?;
    let address = Address::of(rest).ok()?;
    Some(config.revision(&Place::of(address.table, &vdom)))
}

fn understand(device: &Device, request: &Request, rest: &[&str]) -> Result<(Target, Write, bool), CmdbError> {
    let scope = VdomScope::of(request, read(&device.config).store())?;
    let address = Address::of(rest)?;
    let vdom = scope.single()?;
    if lock(&device.orders).denies(&vdom, address.table.table().full) {
        return Err(CmdbError::Permission);
    }
    let transaction = match request.header("x-transaction-id") {
        None => None,
        Some(id) => {
            Some(id.trim().parse().map_err(|_| CmdbError::BadRequest("no number of a transaction".into()))?)
        }
    };
    let order = order(request, &address)?;
    Ok((Target { table: address.table, vdom, transaction }, order, scope.as_list))
}

fn order(request: &Request, address: &Address<'_>) -> Result<Write, CmdbError> {
    let table = address.table.table();
    let key = address.key()?;
    let action = request.parameter("action").unwrap_or_default();
    if let (Some(key), Some((child, row))) = (&key, address.child) {
        let child = Child::of(address.table, child)?;
        return Ok(Write::Child(key.clone(), child, child_edit(request, row)?));
    }
    match (request.method.as_str(), key, action) {
        ("PUT", Some(key), "move") => {
            let (side, other) = beside(request, table)?;
            Ok(Write::Move(key, side, other))
        }
        ("POST", Some(key), "clone") => {
            let copy = request.parameter("nkey").filter(|copy| !copy.is_empty());
            Ok(Write::Clone(key, copy.and_then(|copy| Key::parse(table, copy))))
        }
        ("POST", None, _) => Ok(Write::Create(request.object()?)),
        // Number 0 asks for a new one; there is no row 0 to change.
        ("PUT", Some(Key::Number(0)), _) if table.full == "firewall/policy" => {
            Err(CmdbError::MethodNotAllowed)
        }
        ("PUT", Some(key), _) => Ok(Write::Update(key, request.object()?)),
        ("DELETE", Some(key), _) if table.shape == Shape::List => Ok(Write::Remove(key)),
        ("DELETE", None, _) => Ok(Write::Purge),
        _ => Err(CmdbError::MethodNotAllowed),
    }
}

fn beside(request: &Request, table: &Table) -> Result<(Side, Key), CmdbError> {
    let sides = [("before", Side::Before), ("after", Side::After)];
    let found = sides.iter().find_map(|(name, side)| Some((*side, request.parameter(name)?)));
    let (side, other) = found.ok_or_else(|| CmdbError::BadRequest("a move names before or after".into()))?;
    Key::parse(table, other).map(|other| (side, other)).ok_or(CmdbError::NotFound)
}

fn child_edit(request: &Request, row: Option<&str>) -> Result<Edit, CmdbError> {
    match (request.method.as_str(), row) {
        ("POST", None) => Ok(Edit::Add(Json::Object(request.object()?))),
        ("PUT", Some(row)) => Ok(Edit::Set(row.to_owned(), request.object()?)),
        ("DELETE", Some(row)) => Ok(Edit::Remove(row.to_owned())),
        ("DELETE", None) => Ok(Edit::Clear),
        _ => Err(CmdbError::MethodNotAllowed),
    }
}

fn success<'a>(request: &'a Request, target: &'a Target, written: Written) -> Envelope<'a> {
    let table = target.table.table();
    Envelope {
        method: &request.method,
        revision: Some(written.revision),
        change: Some((written.changed, written.old_revision)),
        vdom: &target.vdom,
        path: table.path,
        name: table.name,
        action: request.parameter("action").filter(|action| !action.is_empty()),
        mkey: written.key.map(|key| key.json()),
        ..Envelope::default()
    }
}

fn refusal<'a>(request: &'a Request, rest: &[&'a str], error: &CmdbError) -> Envelope<'a> {
    let mkey = match Address::of(rest).and_then(|address| address.key()) {
        Ok(Some(key)) if rest.len() > 2 => Some(key.json()),
        _ => None,
    };
    Envelope {
        method: &request.method,
        change: (request.method != "GET").then(|| (false, String::new())),
        vdom: request.parameter("vdom").unwrap_or(super::MANAGEMENT),
        path: rest.first().unwrap_or(&""),
        name: rest.get(1).unwrap_or(&""),
        mkey,
        error: Some(Failure::from(error)),
        ..Envelope::default()
    }
}
