//! What is seen of all tenants, from the rows of the tables. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value as Json, json};
use vertskommune_core::names::{Installation, Kind, Mark, ProviderName, ResourceKey, TenantName};
use vertskommune_core::observation::{
    Blindness, Coverage, Foreign, Observation, Present, Scope, Seen, Things,
};
use vertskommune_core::resource::Facts;

use crate::adoptees::Adoptees;
use crate::client::Row;
use crate::marks::{
    self, ADDRESS, ADDRESS_GROUP, INTERFACE, LINK, LINK_END, OLD, ORDER, POLICY, ROUTE, SCHEDULE, SERVICE,
    SERVICE_GROUP, TRANSIT, VIP, VIRTUAL_FIREWALL, ZONE,
};
use crate::names;
use crate::order::Standing;
use crate::schema::{Form, TABLES, Table, VDOM};
use crate::shadow::Objects;
use crate::strangers::Strangers;
use crate::tables::{Known, Read, all_rows};

/// What a policy says of its place, for those who plan its order.
pub(crate) const STANDING: &str = "standing";
/// What a policy is really called: it may have several names.
pub(crate) const NAME: &str = "name";
/// What a virtual firewall holds that is not ours.
pub(crate) const STRANGERS: &str = "strangers";
/// The id that stands for the anchor where it is not known.
pub(crate) const ANCHOR: u64 = u64::MAX;

/// What an observation is made of.
pub(crate) struct View<'a> {
    pub(crate) provider: &'a ProviderName,
    pub(crate) installation: &'a Installation,
    pub(crate) anchor: &'a str,
    /// The virtual firewall that holds the anchor.
    pub(crate) transit: &'a str,
    pub(crate) version: &'a str,
    /// What is looked at.
    pub(crate) scope: &'a Scope,
    pub(crate) read: &'a Read,
}

impl View<'_> {
    /// The observation of those who are looked at.
    pub(crate) fn observation(&self) -> Observation {
        let mut seen = Observation { version: self.version.to_owned(), ..Observation::empty(self.provider) };
        let mut coverage = Coverage::default();
        let owners = Owners { zones: self.zones(), links: self.links() };
        let adoptees = Adoptees::new(self.scope);
        for table in TABLES {
            let source = source(table);
            match self.read.get(source.kind) {
                Some(Ok(known)) if table.kind == POLICY => self.policies(known, &mut seen, &mut coverage),
                Some(Ok(known)) => self.rows(table, known, &owners, &mut seen),
                Some(Err(why)) => blind(table.kind, why, &mut coverage),
                // Where tenants have no virtual firewalls of their own, nobody looks for any.
                None if matches!(table.kind, VIRTUAL_FIREWALL | LINK) => {}
                None => blind(table.kind, &Blindness::NotYetObserved, &mut coverage),
            }
            if let Some(Ok(known)) = self.read.get(table.kind) {
                seen.foreign.extend(self.named(table, known, &adoptees));
                if table.kind == ROUTE {
                    seen.foreign.extend(self.routes_by_hand(table, known, &adoptees));
                }
            }
        }
        self.own_vdoms(&owners.links, &mut seen, &mut coverage);
        seen.coverage = coverage;
        seen
    }

    fn includes(&self, tenant: &TenantName) -> bool {
        self.scope.includes(tenant)
    }

    /// What tenants name for adoption and does not carry their mark.
    fn named(&self, table: &Table, known: &Known, adoptees: &Adoptees<'_>) -> Vec<Foreign> {
        let mut found = Vec::new();
        for (vdom, row) in places(known).filter(|(_, row)| is_whole(table, row)) {
            let mark = || self.mark(row, table.comment?.0);
            let others = adoptees.of(table, row).into_iter();
            let others = others.filter(|tenant| mark().is_none_or(|mark| mark.tenant != **tenant));
            found.extend(others.map(|tenant| stranger(table, vdom, row, tenant)));
        }
        found
    }

    /// Routes without a mark over tenants' interfaces: they have no name that would say in whose place they stand.
    fn routes_by_hand(&self, table: &Table, known: &Known, adoptees: &Adoptees<'_>) -> Vec<Foreign> {
        let mut owners: BTreeMap<String, TenantName> = BTreeMap::new();
        if let Some(interfaces) = crate::schema::table(INTERFACE) {
            for row in self.all_rows(INTERFACE) {
                let marked = self.mark(row, "description").map(|mark| mark.tenant);
                let owner = marked.or_else(|| adoptees.of(interfaces, row).into_iter().next().cloned());
                owners.extend(owner.map(|owner| (identity(interfaces, row), owner)));
            }
        }
        let by_hand = places(known).filter(|(_, row)| self.mark(row, "comment").is_none());
        let of = |(vdom, row): (&str, &Arc<Row>)| {
            let owner = owners.get(row.get("device")?.as_str()?).filter(|owner| self.includes(owner))?;
            Some(stranger(table, vdom, row, owner))
        };
        by_hand.filter_map(of).collect()
    }

    /// Which tenants have a zone of ours, by what their schedules' names begin with.
    fn zones(&self) -> BTreeMap<String, TenantName> {
        let marks = self.all_rows(ZONE).filter_map(|row| self.mark(row, "description"));
        marks.map(|mark| (names::schedule_prefix(mark.tenant.as_str()), mark.tenant)).collect()
    }

    /// The virtual firewalls of tenants' own.
    fn vdoms(&self) -> impl Iterator<Item = (&str, TenantName)> {
        let rows = self.all_rows(VIRTUAL_FIREWALL);
        rows.filter_map(|row| Some((row.get("name")?.as_str()?, owner_of_vdom(row, self.installation)?)))
    }

    /// Whose a link is by its name, of those that have a virtual firewall.
    fn links(&self) -> BTreeMap<String, TenantName> {
        let name = |tenant: &TenantName| names::link(self.installation.as_str(), tenant.as_str());
        self.vdoms().map(|(_, tenant)| (name(&tenant), tenant)).collect()
    }

    /// What concerns virtual firewalls as a whole: whether they are seen, and what in them is others'.
    fn own_vdoms(
        &self,
        links: &BTreeMap<String, TenantName>,
        seen: &mut Observation,
        coverage: &mut Coverage,
    ) {
        if let Some(Err(why)) = self.read.get(VIRTUAL_FIREWALL) {
            // Who has one is known by what stands in the host's; what stands in its own was not looked for.
            let linked = |things: &Things| things.keys().any(|key| key.name.starts_with(TRANSIT));
            let tenants = seen.seen.iter().filter(|(_, things)| linked(things));
            let tenants: Vec<TenantName> = tenants.map(|(tenant, _)| tenant.clone()).collect();
            for tenant in tenants {
                let vdom = names::vdom(self.installation.as_str(), tenant.as_str());
                hide(&tenant, &vdom, why, seen, coverage);
            }
        }
        let own: Vec<_> = self.vdoms().filter(|(_, tenant)| self.includes(tenant)).collect();
        if own.is_empty() {
            return;
        }
        let strangers = Strangers::new(self, links);
        for (vdom, tenant) in own {
            let hidden = TABLES.iter().filter(|table| !table.is_global).find(|table| {
                let known = self.read.get(table.kind).and_then(|known| known.as_ref().ok());
                known.is_some_and(|known| !known.contains_key(vdom))
            });
            if let Some(table) = hidden {
                let why = format!("{}: the virtual firewall {vdom} is not shown", table.path);
                hide(&tenant, vdom, &Blindness::NoSight(why), seen, coverage);
                continue;
            }
            let strangers = strangers.within(vdom);
            let key = ResourceKey::new(VIRTUAL_FIREWALL, "tenant");
            let things = seen.seen.entry(tenant).or_default();
            if let (false, Some(Seen::Present(it))) = (strangers.is_empty(), things.get(&key)) {
                let mut present = it.clone();
                present.outputs.insert(STRANGERS.to_owned(), json!(strangers));
                things.insert(key, Seen::Present(present));
            }
        }
    }

    fn mark(&self, row: &Row, attribute: &str) -> Option<Mark> {
        marks::read(row.get(attribute)?.as_str()?, self.installation)
    }

    /// Whose row it is, and which of that tenant's things.
    fn owner(&self, table: &Table, row: &Row, owners: &Owners) -> Option<(TenantName, ResourceKey)> {
        let name = || row.get("name")?.as_str();
        match table.kind {
            VIRTUAL_FIREWALL => {
                let tenant = owner_of_vdom(row, self.installation)?;
                Some((tenant, ResourceKey::new(VIRTUAL_FIREWALL, "tenant")))
            }
            LINK => Some((owners.links.get(name()?)?.clone(), ResourceKey::new(LINK, "tenant"))),
            LINK_END => {
                let ends = [("host", names::host_end as fn(&str) -> String), ("tenant", names::tenant_end)];
                let link = name()?.strip_suffix(['0', '1'])?;
                let (end, _) = ends.into_iter().find(|(_, end)| Some(end(link).as_str()) == name())?;
                Some((owners.links.get(link)?.clone(), ResourceKey::new(LINK_END, end)))
            }
            SCHEDULE => {
                let (prefix, key) = names::read_schedule(self.installation.as_str(), name()?)?;
                Some((owners.zones.get(prefix)?.clone(), ResourceKey::new(SCHEDULE, key)))
            }
            kind => {
                let mark = self.mark(row, table.comment?.0).filter(|mark| mark.key.kind.as_str() == kind)?;
                Some((mark.tenant, mark.key))
            }
        }
    }

    fn rows(&self, table: &Table, known: &Known, owners: &Owners, seen: &mut Observation) {
        for (vdom, row) in places(known) {
            let Some((tenant, key)) = self.owner(table, row, owners) else {
                // Every interface that is no end of a link of ours is told of as an interface.
                let foreign = (table.kind != LINK_END).then(|| foreign(table, vdom, row)).flatten();
                seen.foreign.extend(foreign.filter(|it| self.includes(&it.tenant)));
                continue;
            };
            if !self.includes(&tenant) {
                continue;
            }
            let present = present(table, vdom, row);
            let things = seen.seen.entry(tenant).or_default();
            let it = match things.get(&key) {
                None => Seen::Present(Box::new(present)),
                // Somebody copied it with its comment: which one is ours cannot be told.
                Some(Seen::Present(first)) => {
                    Seen::Unknown(Blindness::Ambiguous(vec![first.identity.clone(), present.identity]))
                }
                Some(other) => other.clone(),
            };
            things.insert(key, it);
        }
    }

    fn policies(&self, known: &Known, seen: &mut Observation, coverage: &mut Coverage) {
        for (vdom, read) in known {
            self.table(vdom, &read.rows, seen, coverage);
        }
    }

    /// The policies of one virtual firewall.
    fn table(&self, vdom: &str, rows: &[Arc<Row>], seen: &mut Observation, coverage: &mut Coverage) {
        let Some(table) = crate::schema::table(POLICY) else { return };
        // In a virtual firewall of its own nothing of the host's stands below a tenant's rules.
        let anchor = if vdom == self.transit {
            rows.iter().position(|row| is_anchor(row, self.anchor))
        } else {
            Some(rows.len())
        };
        let Some(anchor) = anchor else {
            let why = format!("the policy {} that tenants' rules stand above is not there", self.anchor);
            for kind in [POLICY, ORDER] {
                blind(kind, &Blindness::NoSight(why.clone()), coverage);
            }
            return;
        };
        let mut tables: BTreeMap<(TenantName, &str), Vec<(usize, Standing)>> = BTreeMap::new();
        let copies = self.copies(rows);
        for (at, row) in rows.iter().enumerate() {
            let mark = self.mark(row, "comments").filter(|mark| mark.key.kind.as_str() == POLICY);
            let Some(mark) = mark.filter(|_| !copies.contains(&at)) else {
                seen.foreign.extend(foreign(table, vdom, row).filter(|it| self.includes(&it.tenant)));
                continue;
            };
            if !self.includes(&mark.tenant) {
                continue;
            }
            let mut key = mark.key;
            let things = seen.seen.entry(mark.tenant.clone()).or_default();
            while things.contains_key(&key) {
                // The upper one is the newer; what stands below it was replaced and goes.
                key.name.push(OLD);
            }
            let mut present = present(table, vdom, row);
            present.outputs.insert(NAME.to_owned(), row.get("name").cloned().unwrap_or_default());
            canonical(&mut present.fields, mark.tenant.as_str(), key.name.trim_end_matches(OLD));
            let standing = Standing { id: id_of(row), key: Some(key.name.clone()) };
            tables.entry((mark.tenant, marks::order_of(&key.name))).or_default().push((at, standing));
            things.insert(key, Seen::Present(Box::new(present)));
        }
        let objects = self.objects(vdom);
        let is_others = |row: &Row| is_whole(table, row) && self.mark(row, "comments").is_none();
        let strangers: Vec<usize> =
            (0..rows.len()).filter(|at| copies.contains(at) || is_others(&rows[*at])).collect();
        for ((tenant, name), ours) in tables {
            let mut order = order(rows, &ours, anchor);
            order.notices = notices(rows, &ours, &strangers, &objects);
            order.outputs.insert(VDOM.to_owned(), json!(vdom));
            let key = ResourceKey::new(ORDER, name);
            seen.seen.entry(tenant).or_default().insert(key, Seen::Present(Box::new(order)));
        }
    }

    /// The rows of a table in one virtual firewall.
    pub(crate) fn rows_of(&self, kind: &str, vdom: &str) -> impl Iterator<Item = &Arc<Row>> {
        let known = self.read.get(kind).and_then(|known| known.as_ref().ok()?.get(vdom));
        known.into_iter().flat_map(|read| &read.rows)
    }

    /// The rows of a table, wherever they stand.
    pub(crate) fn all_rows(&self, kind: &str) -> impl Iterator<Item = &Arc<Row>> {
        all_rows(self.read, kind)
    }

    /// What the policies of a virtual firewall may name.
    fn objects(&self, vdom: &str) -> Objects<'_> {
        let rows = |kind: &'static str| self.rows_of(kind, vdom).map(Arc::as_ref);
        Objects::new(
            rows(ADDRESS).chain(rows(ADDRESS_GROUP)),
            rows(SERVICE).chain(rows(SERVICE_GROUP)),
            rows(VIP),
        )
    }

    /// Rows that somebody made by copying a policy of ours with its comment: of several with one mark, those without one of
    /// the names that we give. They are not ours.
    fn copies(&self, rows: &[Arc<Row>]) -> BTreeSet<usize> {
        let mut by_mark: BTreeMap<String, Vec<(usize, bool)>> = BTreeMap::new();
        for (at, row) in rows.iter().enumerate() {
            if let Some(mark) = self.mark(row, "comments") {
                let name = row.get("name").and_then(Json::as_str).unwrap_or_default();
                let (tenant, rule) = (mark.tenant.as_str(), mark.key.name.as_str());
                let known = names::policies(tenant, rule).any(|it| it == name);
                by_mark.entry(mark.to_string()).or_default().push((at, known));
            }
        }
        let several =
            by_mark.into_values().filter(|rows| rows.len() > 1 && rows.iter().any(|(_, known)| *known));
        several.flatten().filter(|(_, known)| !known).map(|(at, _)| at).collect()
    }
}

/// The rows of a table, each with the virtual firewall in which it stands.
fn places(known: &Known) -> impl Iterator<Item = (&str, &Arc<Row>)> {
    known.iter().flat_map(|(vdom, read)| read.rows.iter().map(|row| (vdom.as_str(), row)))
}

/// Whether more than the id of a row was read, so that its owner is known.
fn is_whole(table: &Table, row: &Row) -> bool {
    table.kind != POLICY || row.contains_key("status")
}

/// By what it is known whose a row without a mark is.
struct Owners {
    /// Tenants by what the names of their schedules begin with.
    zones: BTreeMap<String, TenantName>,
    /// Tenants by the names of their links.
    links: BTreeMap<String, TenantName>,
}

/// The tenant of a virtual firewall of ours: both its mark and its name say so, and a copy of the one is no proof.
pub(crate) fn owner_of_vdom(row: &Row, installation: &Installation) -> Option<TenantName> {
    let mark = marks::read(row.get("description")?.as_str()?, installation)?;
    let name = names::vdom(installation.as_str(), mark.tenant.as_str());
    let is_ours = mark.key.kind.as_str() == VIRTUAL_FIREWALL && row.get("name")?.as_str()? == name;
    is_ours.then_some(mark.tenant)
}

/// The table by which a table is read.
fn source(table: &'static Table) -> &'static Table {
    TABLES.iter().find(|it| it.path == table.path).unwrap_or(table)
}

/// What of a tenant stands in its virtual firewall or leads there cannot be told while that is not seen whole.
fn hide(tenant: &TenantName, vdom: &str, why: &Blindness, seen: &mut Observation, coverage: &mut Coverage) {
    coverage.tenants.insert(tenant.clone(), why.clone());
    let things = seen.seen.entry(tenant.clone()).or_default();
    let is_part = |(key, it): &(&ResourceKey, &Seen)| {
        let leads_there = matches!(key.kind.as_str(), VIRTUAL_FIREWALL | LINK | LINK_END);
        let place =
            if let Seen::Present(it) = it { it.fields.get(VDOM).and_then(Json::as_str) } else { None };
        leads_there || place == Some(vdom)
    };
    let parts: Vec<ResourceKey> = things.iter().filter(is_part).map(|(key, _)| key.clone()).collect();
    for key in parts {
        things.insert(key, Seen::Unknown(why.clone()));
    }
}

fn blind(kind: &str, why: &Blindness, coverage: &mut Coverage) {
    coverage.kinds.insert(Kind::from(kind), why.clone());
    let follows = match kind {
        POLICY => ORDER,
        // Whose a schedule is, the tenant's zone tells.
        ZONE => SCHEDULE,
        _ => return,
    };
    coverage.kinds.insert(Kind::from(follows), why.clone());
}

/// The table as one tenant's order is planned from: from the topmost of its own to the anchor or the lowest of its own;
/// what is others' between two of them is one row.
fn order(rows: &[Arc<Row>], ours: &[(usize, Standing)], anchor: usize) -> Present {
    let mut standing: Vec<Standing> = Vec::new();
    let mut sequence: Vec<Json> = Vec::new();
    let last = ours.last().map_or(anchor, |(at, _)| anchor.max(*at));
    let first = ours.first().map_or(anchor, |(at, _)| anchor.min(*at));
    let mut mine = ours.iter().peekable();
    for (at, row) in rows.iter().enumerate().take(last + 1).skip(first) {
        if let Some((_, it)) = mine.next_if(|(place, _)| *place == at) {
            sequence.extend(it.key.clone().map(Json::String));
            standing.push(it.clone());
        } else if at == anchor {
            standing.push(Standing { id: ANCHOR, key: None });
            sequence.extend(mine.peek().map(|_| json!("(the anchor)")));
        } else if standing.last().is_none_or(|it| it.key.is_some()) {
            standing.push(Standing { id: id_of(row), key: None });
            sequence.extend(mine.peek().map(|_| json!("(rules of others)")));
        }
    }
    let table: Vec<Json> = standing.iter().map(|it| json!([it.id, it.key])).collect();
    Present {
        fields: Facts::from([("sequence".to_owned(), Json::Array(sequence))]),
        outputs: Facts::from([(STANDING.to_owned(), Json::Array(table))]),
        ..Present::default()
    }
}

/// Others' policies that concern a tenant's: those amid them, and those above that take all packets of one.
fn notices(
    rows: &[Arc<Row>],
    ours: &[(usize, Standing)],
    strangers: &[usize],
    objects: &Objects<'_>,
) -> Vec<String> {
    let mut notices = Vec::new();
    let (Some((first, _)), Some((last, _))) = (ours.first(), ours.last()) else { return notices };
    for at in strangers.iter().filter(|at| *at < last) {
        let stranger = &rows[*at];
        let text = |attribute: &str| stranger.get(attribute).and_then(Json::as_str).unwrap_or_default();
        let who = format!("policy {} ({}, {})", id_of(stranger), text("name"), text("action"));
        if at > first {
            notices.push(format!("{who} is not ours and stands amid this tenant's rules"));
        }
        let below = ours.iter().filter(|(place, _)| place > at);
        let taken = below.filter(|(place, _)| objects.shadows(stranger, &rows[*place]));
        let taken: Vec<&str> = taken.filter_map(|(_, it)| it.key.as_deref()).collect();
        if !taken.is_empty() {
            notices.push(format!(
                "{who} is not ours, stands above and takes all packets of {}",
                taken.join(", ")
            ));
        }
    }
    notices
}

/// The table that [`order`] wrote down.
pub(crate) fn standing(present: &Present) -> Vec<Standing> {
    let rows = present.outputs.get(STANDING).and_then(Json::as_array);
    let row = |row: &Json| Some(Standing { id: row[0].as_u64()?, key: row[1].as_str().map(str::to_owned) });
    rows.into_iter().flatten().filter_map(row).collect()
}

fn present(table: &Table, vdom: &str, row: &Row) -> Present {
    let mut fields = facts(table, row);
    fields.entry(VDOM.to_owned()).or_insert_with(|| json!(vdom));
    Present { fields, identity: identity(table, row), ..Present::default() }
}

/// The key by which the row is addressed.
pub(crate) fn identity(table: &Table, row: &Row) -> String {
    match row.get(table.mkey) {
        Some(Json::String(name)) => name.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

/// The attributes that we set, each in the form in which it is compared.
pub(crate) fn facts(table: &Table, row: &Row) -> Facts {
    let forms = table.attributes.iter().map(|(name, form)| (*name, *form));
    let comment = table.comment.map(|(name, _)| (name, Form::Plain));
    let name = (table.mkey == "name").then_some(("name", Form::Plain));
    forms
        .chain(comment)
        .chain(name)
        .filter_map(|(name, form)| Some((name.to_owned(), read(form, row.get(name)?))))
        .collect()
}

fn read(form: Form, value: &Json) -> Json {
    let list = |key: &str| -> Json {
        let rows = value.as_array().map(Vec::as_slice).unwrap_or_default();
        rows.iter().map(|row| row[key].clone()).collect()
    };
    match form {
        Form::Plain | Form::Fixed => value.clone(),
        Form::Names => list("name"),
        Form::Interfaces => list("interface-name"),
        Form::Words => value.as_str().unwrap_or_default().split_whitespace().map(Json::from).collect(),
        Form::Range => list("range")[0].clone(),
    }
}

/// The attributes in the form in which FortiOS takes them.
pub(crate) fn written(table: &Table, facts: &Facts) -> Row {
    let form = |name: &str| {
        table.attributes.iter().find(|(it, _)| *it == name).map_or(Form::Plain, |(_, form)| *form)
    };
    facts.iter().map(|(name, value)| (name.clone(), write(form(name), value))).collect()
}

fn write(form: Form, value: &Json) -> Json {
    let rows = |key: &str| -> Json {
        let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().map(|it| json!({ key: it })).collect()
    };
    match form {
        Form::Plain | Form::Fixed => value.clone(),
        Form::Names => rows("name"),
        Form::Interfaces => rows("interface-name"),
        Form::Words => {
            let words = value.as_array().map(Vec::as_slice).unwrap_or_default();
            json!(words.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(" "))
        }
        Form::Range => json!([{"range": value}]),
    }
}

/// A policy with another of its names is as good as one with its first.
fn canonical(fields: &mut Facts, tenant: &str, rule: &str) {
    if let Some(name) = fields.get_mut("name")
        && names::policies(tenant, rule).any(|it| name.as_str() == Some(it.as_str()))
    {
        *name = json!(names::policy(tenant, rule));
    }
}

/// What stands where something of a tenant's would.
fn foreign(table: &Table, vdom: &str, row: &Row) -> Option<Foreign> {
    let name = row.get("name")?.as_str()?;
    let tenant = match name.strip_prefix("zone.") {
        Some(tenant) if table.kind == ZONE => tenant,
        _ => name.split_once('.')?.0,
    };
    Some(stranger(table, vdom, row, &TenantName::from(tenant)))
}

/// A row that does not carry this tenant's mark.
fn stranger(table: &Table, vdom: &str, row: &Row, tenant: &TenantName) -> Foreign {
    let present = present(table, vdom, row);
    let mark = table.comment.and_then(|(comment, _)| marks::any(row.get(comment)?.as_str()?));
    let name = row.get("name").and_then(Json::as_str).filter(|name| !name.is_empty());
    let name = name.map_or_else(|| present.identity.clone(), str::to_owned);
    Foreign {
        tenant: tenant.clone(),
        kind: Kind::from(table.kind),
        path: format!("{} {name}", table.path),
        name,
        identity: present.identity.clone(),
        mark: mark.map(|mark| mark.to_string()),
        present,
    }
}

/// By what a policy is named that is an anchor: its id or its name.
pub(crate) fn anchor_attribute(anchor: &str) -> &'static str {
    if anchor.parse::<u64>().is_ok() { "policyid" } else { "name" }
}

pub(crate) fn is_anchor(row: &Row, anchor: &str) -> bool {
    match anchor_attribute(anchor) {
        "policyid" => id_of(row).to_string() == anchor,
        _ => row.get("name").and_then(Json::as_str) == Some(anchor),
    }
}

pub(crate) fn id_of(row: &Row) -> u64 {
    row.get("policyid").and_then(Json::as_u64).unwrap_or_default()
}
