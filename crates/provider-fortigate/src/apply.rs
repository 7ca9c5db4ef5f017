//! Carrying out steps: each looks at what it is about, does exactly what it says, and says what became of it.
//!
//! Where the device has transactions, a batch is one: nothing of it is in force before the commit, and a crash leaves a
//! transaction that ends by itself. Otherwise its steps are in an order that is safe after each of them.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use tokio::time::timeout_at;
use vertskommune_core::facts::Facts;
use vertskommune_core::step::Step;
use vertskommune_provider::{Applied, Ctx};

use crate::Fortigate;
use crate::client::{self, Ask, At, Beside, Client, Error, Permit, Row, Writer, applied};
use crate::entry::{Attributes, facts, identity};
use crate::firmware::Firmware;
use crate::marks::{self, INTERFACE, LINK, LINK_END, VIRTUAL_FIREWALL};
use crate::names;
use crate::observe::{anchor_attribute, is_anchor, written};
use crate::schema::{Table, VDOM, table};
use crate::steps::{MKEY, PLACE, is_transaction, operation};

/// The virtual firewalls themselves; what we know of each stands in its properties.
const VDOMS: &str = "system/vdom";

/// Why a step was not carried out to its end.
enum Stop {
    /// What it expects is not there.
    NotSent(String),
    /// A request failed.
    Request(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Request(error)
    }
}

/// Steps while they are carried out.
struct Act<'a> {
    fortigate: &'a Fortigate,
    client: &'a Client,
    writer: Writer<'a>,
    /// The virtual firewall in which all of them are.
    vdom: &'a str,
    /// Policies that this batch has made, by what the tenant calls them.
    made: BTreeMap<String, u64>,
    in_transaction: bool,
}

impl Fortigate {
    /// Carries out these steps, together where they are a batch and the device can.
    pub(crate) async fn carry_out(&self, steps: &[Step], ctx: &Ctx) -> Vec<Applied> {
        let client = match self.client(ctx).await {
            Ok(client) => client,
            Err(error) => return vec![Applied::Failed(error)],
        };
        // Behind one address another device may answer by now.
        if let Err(error) = self.identify(&client).await {
            return vec![Applied::Failed(error)];
        }
        let permit = {
            let ctx = ctx.clone();
            move || ctx.permit().map_err(|error| error.to_string())
        };
        let permit: &Permit = &permit;
        let together = steps.iter().any(|step| step.batch.as_deref().is_some_and(is_transaction));
        if together && !Firmware::of(&self.version()).has_transactions() {
            let why = "it was planned for a transaction, which this device does not do: it is planned anew";
            return vec![Applied::NotSent(why.to_owned())];
        }
        let Some(vdom) = steps.first().and_then(vdom_of) else { return Vec::new() };
        let writer = client.writer(permit);
        let turn = self.turn(vdom);
        let _turn = if together {
            let late = |_| Applied::NotSent("transactions of other tenants went first".to_owned());
            match timeout_at(ctx.deadline, turn.lock()).await.map_err(late) {
                Ok(turn) => Some(turn),
                Err(late) => return vec![late],
            }
        } else {
            None
        };
        let begun = if together { self.begin(&writer, vdom, steps).await } else { Ok(writer) };
        let writer = match begun {
            Ok(writer) => writer,
            Err(error) => return vec![not_in_force(applied(&self.host.endpoint, &error))],
        };
        let made = BTreeMap::new();
        let act = Act { fortigate: self, client: &client, writer, vdom, made, in_transaction: together };
        if together { act.all_or_nothing(steps).await } else { act.one_after_the_other(steps).await }
    }

    /// Opens a transaction for these steps, once the device's configuration is kept as it is before them.
    async fn begin<'a>(&self, writer: &Writer<'a>, vdom: &str, steps: &[Step]) -> Result<Writer<'a>, Error> {
        if let Some(first) = steps.first() {
            self.keep_record(writer, first).await?;
        }
        writer.begin(vdom, steps.len()).await
    }
}

impl Act<'_> {
    async fn one_after_the_other(mut self, steps: &[Step]) -> Vec<Applied> {
        let mut outcomes = Vec::new();
        for step in steps {
            let outcome = self.outcome(step).await;
            let done = outcome == Applied::Done;
            outcomes.push(outcome);
            if !done {
                break;
            }
        }
        outcomes
    }

    async fn all_or_nothing(mut self, steps: &[Step]) -> Vec<Applied> {
        let vdom = self.vdom;
        let endpoint = self.fortigate.host.endpoint.clone();
        for (index, step) in steps.iter().enumerate() {
            let outcome = self.outcome(step).await;
            if outcome == Applied::Done {
                continue;
            }
            // One that cannot be given up ends by itself; nothing of it is in force either way.
            let _ = self.writer.abort(vdom).await;
            let given_up = Applied::NotSent(format!("given up together with {}", step.resource.key));
            let mut outcomes = vec![given_up; index];
            outcomes.push(not_in_force(outcome));
            return outcomes;
        }
        match self.writer.commit(vdom).await {
            Ok(()) => vec![Applied::Done; steps.len()],
            Err(error) => {
                let outcome = applied(&endpoint, &error);
                if !matches!(outcome, Applied::Unknown(_)) {
                    let _ = self.writer.abort(vdom).await;
                }
                vec![outcome; steps.len()]
            }
        }
    }

    async fn outcome(&mut self, step: &Step) -> Applied {
        let result = self.step(step).await;
        let outcome = match result {
            Ok(()) => Applied::Done,
            Err(Stop::NotSent(why)) => Applied::NotSent(why),
            Err(Stop::Request(error)) => applied(&self.fortigate.host.endpoint, &error),
        };
        tracing::debug!(step = %step.id(), operation = %step.operation, ?outcome, "carried out");
        outcome
    }

    async fn step(&mut self, step: &Step) -> Result<(), Stop> {
        let kind = step.resource.key.kind.as_str();
        let table = table(kind).ok_or_else(|| Stop::NotSent(format!("this plugin has no {kind}")))?;
        if vdom_of(step) != Some(self.vdom) {
            return Err(Stop::NotSent(format!("it does not stand in {} as those before it", self.vdom)));
        }
        match step.operation.as_str() {
            operation::CREATE => self.create(table, step).await,
            operation::ADOPT => self.adopt(table, step).await,
            operation::SET => self.set(table, step).await,
            operation::REMOVE => self.remove(table, step).await,
            operation::INSERT => self.insert(table, step).await,
            operation::MOVE => {
                let id = mkey(step)?.parse().map_err(|_| Stop::NotSent("it is no policy".to_owned()))?;
                self.standing(table, step).await?;
                self.place(id, step).await
            }
            other => Err(Stop::NotSent(format!("this plugin has no step {other}"))),
        }
    }

    /// Where a step's writes go, once the device's configuration is kept as it is before them.
    async fn writing(&self, step: &Step) -> Result<&Writer<'_>, Error> {
        if !self.in_transaction {
            self.fortigate.keep_record(&self.writer, step).await?;
        }
        Ok(&self.writer)
    }

    fn at(&self, table: &'static Table) -> At<'_> {
        let vdom = if table.is_global { self.fortigate.settings.device() } else { self.vdom };
        At { vdom, table: table.path }
    }

    /// A virtual firewall: it comes with properties, whose description takes the mark.
    async fn create_vdom(&self, table: &'static Table, step: &Step) -> Result<(), Stop> {
        let wanted = &facts_of(table, step);
        let writer = self.writing(step).await?;
        let name = wanted.get("name").and_then(Json::as_str).unwrap_or_default();
        let new = Row::from_iter([("name".to_owned(), json!(name))]);
        match writer.create(At { table: VDOMS, ..self.at(table) }, &new).await {
            Ok(_) => {}
            // One that a crash left without its mark: nobody else comes by such a name.
            Err(Error::Duplicate(why)) => {
                let row = self.client.row(self.at(table), name).await?.unwrap_or_default();
                let text = row.get("description").and_then(Json::as_str);
                if text.and_then(marks::any).is_some() {
                    return Err(Stop::NotSent(format!("something else stands in its place: {why}")));
                }
            }
            Err(error) => return Err(error.into()),
        }
        Ok(writer.update(self.at(table), name, &written(table, wanted)).await?)
    }

    /// A virtual firewall goes with all that stands in it, so that is looked at once more.
    async fn remove_vdom(&self, table: &'static Table, step: &Step, name: &str) -> Result<(), Stop> {
        for table in ["firewall/policy", "router/static", "system/zone"] {
            if !self.client.rows(At { vdom: name, table }, &Ask::all(&[])).await?.is_empty() {
                return Err(Stop::NotSent(format!("there is still something in its {table}")));
            }
        }
        match self.writing(step).await?.delete(At { table: VDOMS, ..self.at(table) }, name).await {
            Ok(()) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn create(&self, table: &'static Table, step: &Step) -> Result<(), Stop> {
        if table.kind == VIRTUAL_FIREWALL {
            return self.create_vdom(table, step).await;
        }
        let wanted = facts_of(table, step);
        if table.mkey != "name" && self.is_made(table, &wanted).await? {
            // Its key is the device's to choose, so its mark is what tells it.
            return Ok(());
        }
        match self.writing(step).await?.create(self.at(table), &written(table, &wanted)).await {
            Ok(_) => Ok(()),
            Err(Error::Duplicate(why)) => {
                let name = wanted.get("name").and_then(Json::as_str).unwrap_or_default();
                let there = self.client.row(self.at(table), name).await?;
                if there.is_some_and(|row| is_same(table, &row, &wanted)) {
                    Ok(())
                } else {
                    Err(Stop::NotSent(format!(
                        "something else is called {name}, rename it on the firewall or adopt it: {why}"
                    )))
                }
            }
            Err(Error::Refused { code, text }) => {
                let text = self.same_vlan(table, &wanted).await?.unwrap_or(text);
                Err(Error::Refused { code, text }.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What has the VLAN of an interface that cannot be made, and what to do about it. No name of ours tells of it, so that
    /// a plan does not see it.
    async fn same_vlan(&self, table: &'static Table, wanted: &Facts) -> Result<Option<String>, Error> {
        if table.kind != INTERFACE {
            return Ok(None);
        }
        let vlan = wanted.get("vlanid").unwrap_or(&Json::Null);
        let parent = wanted.get("interface").and_then(Json::as_str).unwrap_or_default();
        let rows = self.those(table, &client::equals("vlanid", &vlan.to_string())).await?;
        let same = rows.iter().find(|row| row.get("interface").and_then(Json::as_str) == Some(parent));
        Ok(same.map(|row| {
            let name = identity(row.get(table.mkey));
            format!(
                "VLAN {vlan} on {parent} is {name} already: name it in spec.firewall.adopt, or take it off the firewall"
            )
        }))
    }

    /// Whether a row carries the mark of what a step makes.
    async fn is_made(&self, table: &'static Table, wanted: &Facts) -> Result<bool, Error> {
        let Some((comment, _)) = table.comment else { return Ok(false) };
        let text = wanted.get(comment).and_then(Json::as_str).unwrap_or_default();
        let rows = self.those(table, &client::contains(comment, marks::text(text))).await?;
        Ok(rows.iter().any(|row| row.get(comment) == wanted.get(comment)))
    }

    /// Writes the mark on a row that is there, and nothing else.
    async fn adopt(&self, table: &'static Table, step: &Step) -> Result<(), Stop> {
        let mkey = mkey(step)?;
        let row = self.there(table, step).await?;
        if self.fortigate.is_ours(table, &row, &step.resource) {
            return Ok(());
        }
        let comment = table.comment.and_then(|(comment, _)| row.get(comment)?.as_str());
        if let Some(mark) = comment.and_then(marks::any) {
            return Err(Stop::NotSent(format!("it belongs to {mark} by now")));
        }
        as_expected(step, &facts(table, &row)?, |_| true)?;
        Ok(self
            .writing(step)
            .await?
            .update(self.at(table), mkey, &written(table, &facts_of(table, step)))
            .await?)
    }

    async fn set(&self, table: &'static Table, step: &Step) -> Result<(), Stop> {
        let mkey = mkey(step)?;
        let row = self.standing(table, step).await?;
        let (seen, wanted) = (facts(table, &row)?, facts_of(table, step));
        if wanted.iter().all(|(name, value)| seen.get(name).is_some_and(|it| same(it, value))) {
            return Ok(());
        }
        // A policy may stand under another of its names.
        as_expected(step, &seen, |field| field != "name")?;
        Ok(self.writing(step).await?.update(self.at(table), mkey, &written(table, &wanted)).await?)
    }

    /// The row that a step is about, as it is now.
    async fn there(&self, table: &'static Table, step: &Step) -> Result<Row, Stop> {
        let row = self.client.row(self.at(table), mkey(step)?).await?;
        row.ok_or_else(|| Stop::NotSent("it is not there any more".to_owned()))
    }

    /// The rows of a table that pass a filter.
    async fn those(&self, table: &'static Table, filter: &str) -> Result<Vec<Row>, Error> {
        self.client.rows(self.at(table), &Ask::those(&table.read(), filter)).await
    }

    /// The row that a step changes, as it is now, where it is still ours.
    async fn standing(&self, table: &'static Table, step: &Step) -> Result<Row, Stop> {
        let row = self.there(table, step).await?;
        if !self.fortigate.is_ours(table, &row, &step.resource) {
            return Err(Stop::NotSent("it does not carry our mark any more".to_owned()));
        }
        Ok(row)
    }

    async fn remove(&self, table: &'static Table, step: &Step) -> Result<(), Stop> {
        let mkey = mkey(step)?;
        let Some(row) = self.client.row(self.at(table), mkey).await? else { return Ok(()) };
        if !self.fortigate.is_ours(table, &row, &step.resource) {
            return Err(Stop::NotSent("it does not carry our mark any more".to_owned()));
        }
        if table.kind == VIRTUAL_FIREWALL {
            return self.remove_vdom(table, step, mkey).await;
        }
        match self.writing(step).await?.delete(self.at(table), mkey).await {
            Ok(()) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A policy in its place. FortiOS appends to the table, below the host's last word: within a transaction that does not
    /// matter, otherwise it is made without effect and gets one when it stands where it belongs.
    async fn insert(&mut self, table: &'static Table, step: &Step) -> Result<(), Stop> {
        let mut wanted = facts_of(table, step);
        wanted.remove(PLACE);
        let status = wanted.get("status").cloned().unwrap_or_else(|| json!("enable"));
        if !self.in_transaction {
            wanted.insert("status".to_owned(), json!("disable"));
        }
        let id = if let Some(id) = self.half_made(table, &wanted).await? {
            id
        } else {
            let key = self.writing(step).await?.create(self.at(table), &written(table, &wanted)).await?;
            key.as_u64().ok_or_else(|| Error::Protocol("a policy without an id".to_owned()))?
        };
        self.place(id, step).await?;
        if !self.in_transaction && status != json!("disable") {
            let on = Row::from_iter([("status".to_owned(), status)]);
            self.writing(step).await?.update(self.at(table), &id.to_string(), &on).await?;
        }
        self.made.insert(step.resource.key.name.clone(), id);
        Ok(())
    }

    /// What a crash between the writes of an insertion has left: the same policy, without effect.
    async fn half_made(&self, table: &'static Table, wanted: &Facts) -> Result<Option<u64>, Error> {
        if self.in_transaction {
            return Ok(None);
        }
        let name = wanted.get("name").and_then(Json::as_str).unwrap_or_default();
        let rows = self.those(table, &client::equals("name", name)).await?;
        Ok(rows.iter().find(|row| is_same(table, row, wanted)).map(Attributes::id))
    }

    async fn place(&self, id: u64, step: &Step) -> Result<(), Stop> {
        let place = step.fields.get(PLACE).and_then(|value| value.as_known()).cloned().unwrap_or_default();
        let gone = || Stop::NotSent("what it stands beside is not there".to_owned());
        // Where no anchor stands a new policy is the last one as it is.
        if place["last"] == true {
            return Ok(());
        }
        let beside = match (&place["above"], place["below"].as_str()) {
            (Json::String(_), _) => {
                Beside::Before(self.fortigate.anchor(self.client).await?.ok_or_else(gone)?)
            }
            (Json::Number(above), _) => Beside::Before(above.as_u64().ok_or_else(gone)?),
            (_, Some(key)) => {
                let below = self.made.get(key).copied().or_else(|| place["id"].as_u64());
                Beside::After(below.ok_or_else(gone)?)
            }
            _ => return Err(gone()),
        };
        let moved = self.writing(step).await?.move_policy(self.vdom, id, beside).await;
        // Whether a move may stand in a transaction is documented nowhere: a device that says that it may not is taken at its
        // word, and the next plan goes the other way. A move that is refused for a reason of its own says nothing of others.
        if self.in_transaction && matches!(moved, Err(Error::NotInTransaction(_))) {
            self.fortigate.note_no_moves();
        }
        Ok(moved?)
    }
}

/// Whether a row is as the step expects it, in the fields that count.
fn as_expected(step: &Step, seen: &Facts, counts: impl Fn(&str) -> bool) -> Result<(), Stop> {
    let counted = step.expects.iter().filter(|(field, _)| !matches!(*field, MKEY | VDOM));
    let counted = counted.filter(|(field, _)| counts(field));
    for (field, expected) in counted {
        let is = seen.get(field).unwrap_or(&Json::Null);
        if !same(is, expected) {
            return Err(Stop::NotSent(format!("{field} is {is} and not {expected} any more")));
        }
    }
    Ok(())
}

/// Nothing of a transaction that was not committed is done, also where an answer was lost.
fn not_in_force(outcome: Applied) -> Applied {
    match outcome {
        Applied::Unknown(why) => Applied::NotSent(why),
        other => other,
    }
}

/// Whether the row is what a step would make.
fn is_same(table: &'static Table, row: &Row, wanted: &Facts) -> bool {
    let is_in =
        |seen: Facts| wanted.iter().all(|(name, value)| seen.get(name).is_some_and(|it| same(it, value)));
    facts(table, row).is_ok_and(is_in)
}

/// Lists of names have no order.
fn same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Array(one), Json::Array(other)) => {
            let sorted = |list: &[Json]| {
                let mut list: Vec<String> = list.iter().map(Json::to_string).collect();
                list.sort();
                list
            };
            sorted(one) == sorted(other)
        }
        _ => one == other,
    }
}

/// The attributes that a step sets.
fn facts_of(table: &Table, step: &Step) -> Facts {
    // Where it stands is an attribute of interfaces alone.
    let fields = step.fields.iter().filter(|(name, _)| *name != VDOM || table.has(VDOM));
    fields.filter_map(|(name, value)| Some((name.clone(), value.as_known()?.clone()))).collect()
}

/// The virtual firewall in which it is done.
fn vdom_of(step: &Step) -> Option<&str> {
    step.expects.get(VDOM).and_then(Json::as_str)
}

fn mkey(step: &Step) -> Result<&str, Stop> {
    let mkey = step.expects.get(MKEY).and_then(Json::as_str).filter(|mkey| !mkey.is_empty());
    mkey.ok_or_else(|| Stop::NotSent("the step does not say which row".to_owned()))
}

impl Fortigate {
    /// Whether a row carries the mark of this resource, or proves by its name whose it is.
    fn is_ours(&self, table: &Table, row: &Row, id: &vertskommune_core::names::ResourceId) -> bool {
        let name = id.key.name.trim_end_matches(marks::OLD);
        if matches!(table.kind, LINK | LINK_END) {
            let link = names::link(self.installation.as_str(), id.tenant.as_str());
            let ours = match (table.kind, name) {
                (LINK, _) => link,
                (_, "host") => names::host_end(&link),
                _ => names::tenant_end(&link),
            };
            return identity(row.get(table.mkey)) == ours;
        }
        if let Some((comment, _)) = table.comment {
            let text = row.get(comment).and_then(Json::as_str).unwrap_or_default();
            return marks::read(text, &self.installation).is_some_and(|mark| {
                mark.tenant == id.tenant && mark.key.kind.as_str() == table.kind && mark.key.name == name
            });
        }
        let prefix = names::schedule_prefix(id.tenant.as_str());
        let row = identity(row.get(table.mkey));
        names::read_schedule(self.installation.as_str(), &row) == Some((prefix.as_str(), name))
    }

    /// The id of the policy above which tenants' rules stand.
    pub(crate) async fn anchor(&self, client: &Client) -> Result<Option<u64>, Error> {
        let at = At { vdom: &self.settings.vdom, table: "firewall/policy" };
        let anchor = &self.settings.anchor;
        let filter = client::equals(anchor_attribute(anchor), anchor);
        let rows = client.rows(at, &Ask::those(&["policyid", "name"], &filter)).await?;
        Ok(rows.iter().find(|row| is_anchor(row, anchor)).map(Attributes::id))
    }
}
