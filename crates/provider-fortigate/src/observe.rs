//! What is seen of all tenants, from the rows of the tables. Pure.

use std::borrow::Cow;
use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Value as Json, json};
use vertskommune_core::facts::Facts;
use vertskommune_core::names::{Installation, Kind, Mark, ProviderName, ResourceKey, TenantName};
use vertskommune_core::observation::{
    Blindness, Coverage, Foreign, Observation, Present, Scope, Seen, Things,
};

use crate::adoptees::Adoptees;
use crate::client::Row;
use crate::entry::{Attributes, Entry};
use crate::marks::{
    self, ADDRESS, ADDRESS_GROUP, INTERFACE, LINK, LINK_END, OLD, ORDER, POLICY, ROUTE, SCHEDULE, SERVICE,
    SERVICE_GROUP, TRANSIT, VIP, VIRTUAL_FIREWALL, ZONE,
};
use crate::names;
use crate::order::Standing;
use crate::schema::{Form, TABLES, Table, VDOM};
use crate::shadow::Objects;
use crate::strangers::Strangers;
use crate::tables::{Known, Read, all_rows, entries};

/// What a policy says of its place, for those who plan its order.
pub(crate) const STANDING: &str = "standing";
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
    /// The observation of those who are looked at, but for policies, which are read last.
    pub(crate) fn without_policies(&self) -> Observation {
        let mut seen = Observation { version: self.version.to_owned(), ..Observation::empty(self.provider) };
        let owners = Owners { zones: self.zones(), links: self.links() };
        let adoptees = Adoptees::new(self.scope);
        for table in TABLES.iter().filter(|table| table.kind != POLICY) {
            match self.read.get(source(table).kind) {
                Some(Ok(known)) => self.rows(table, known, &owners, &mut seen),
                Some(Err(why)) => blind(table.kind, why, &mut seen.coverage),
                // Where tenants have no virtual firewalls of their own, nobody looks for any.
                None if matches!(table.kind, VIRTUAL_FIREWALL | LINK) => {}
                None => blind(table.kind, &Blindness::NotYetObserved, &mut seen.coverage),
            }
            self.named(table, &adoptees, &mut seen);
            if let (ROUTE, Some(Ok(known))) = (table.kind, self.read.get(table.kind)) {
                seen.foreign.extend(self.routes_by_hand(table, known, &adoptees));
            }
        }
        seen
    }

    /// The observation of those who are looked at, from that [without policies](Self::without_policies).
    pub(crate) fn with_policies(&self, mut seen: Observation) -> Observation {
        match self.read.get(POLICY) {
            Some(Ok(known)) => self.policies(known, &mut seen),
            Some(Err(why)) => blind(POLICY, why, &mut seen.coverage),
            None => blind(POLICY, &Blindness::NotYetObserved, &mut seen.coverage),
        }
        if let Some(table) = crate::schema::table(POLICY) {
            self.named(table, &Adoptees::new(self.scope), &mut seen);
        }
        self.own_vdoms(&mut seen);
        seen
    }

    fn includes(&self, tenant: &TenantName) -> bool {
        self.scope.includes(tenant)
    }

    /// What tenants name for adoption and does not carry their mark.
    fn named(&self, table: &Table, adoptees: &Adoptees<'_>, seen: &mut Observation) {
        let Some(Ok(known)) = self.read.get(table.kind).filter(|_| !adoptees.is_empty()) else { return };
        for row in entries(known).filter(|row| is_whole(table, row)) {
            let mark = row.mark.as_ref();
            let others = adoptees.of(table, row).into_iter();
            let others = others.filter(|tenant| mark.is_none_or(|mark| mark.tenant != **tenant));
            seen.foreign.extend(others.map(|tenant| stranger(table, row, tenant)));
        }
    }

    /// Routes without a mark over tenants' interfaces: they have no name that would say in whose place they stand.
    fn routes_by_hand(&self, table: &Table, known: &Known, adoptees: &Adoptees<'_>) -> Vec<Foreign> {
        let mut owners: HashMap<&str, &TenantName> = HashMap::new();
        if let Some(interfaces) = crate::schema::table(INTERFACE) {
            for row in self.all_rows(INTERFACE) {
                let marked = row.mark.as_ref().map(|mark| &mark.tenant);
                let owner = marked.or_else(|| adoptees.of(interfaces, row).into_iter().next());
                owners.extend(owner.map(|owner| (row.text("name"), owner)));
            }
        }
        let by_hand = entries(known).filter(|row| row.mark.is_none());
        let of = |row: &Arc<Entry>| {
            let owner = owners.get(row.text("device")).filter(|owner| self.includes(owner))?;
            Some(stranger(table, row, owner))
        };
        by_hand.filter_map(of).collect()
    }

    /// Which tenants have a zone of ours, by what their schedules' names begin with.
    fn zones(&self) -> BTreeMap<String, TenantName> {
        let marks = self.all_rows(ZONE).filter_map(|row| row.mark.as_ref());
        marks.map(|mark| (names::schedule_prefix(mark.tenant.as_str()), mark.tenant.clone())).collect()
    }

    /// The virtual firewalls of tenants' own.
    fn vdoms(&self) -> impl Iterator<Item = (&str, TenantName)> {
        let rows = self.all_rows(VIRTUAL_FIREWALL);
        rows.filter_map(|row| Some((row.text("name"), owner_of_vdom(row, self.installation)?)))
    }

    /// Whose a link is by its name, of those that have a virtual firewall.
    fn links(&self) -> BTreeMap<String, TenantName> {
        let name = |tenant: &TenantName| names::link(self.installation.as_str(), tenant.as_str());
        self.vdoms().map(|(_, tenant)| (name(&tenant), tenant)).collect()
    }

    /// What concerns virtual firewalls as a whole: whether they are seen, and what in them is others'.
    fn own_vdoms(&self, seen: &mut Observation) {
        if let Some(Err(why)) = self.read.get(VIRTUAL_FIREWALL) {
            // Who has one is known by what stands in the host's; what stands in its own was not looked for.
            let linked = |things: &Things| things.keys().any(|key| key.name.starts_with(TRANSIT));
            let tenants = seen.seen.iter().filter(|(_, things)| linked(things));
            let tenants: Vec<TenantName> = tenants.map(|(tenant, _)| tenant.clone()).collect();
            for tenant in tenants {
                let vdom = names::vdom(self.installation.as_str(), tenant.as_str());
                hide(&tenant, &vdom, why, seen);
            }
        }
        let own: Vec<_> = self.vdoms().filter(|(_, tenant)| self.includes(tenant)).collect();
        if own.is_empty() {
            return;
        }
        let links = self.links();
        let strangers = Strangers::new(self, &links);
        for (vdom, tenant) in own {
            let hidden = TABLES.iter().filter(|table| !table.is_global).find(|table| {
                let known = self.read.get(table.kind).and_then(|known| known.as_ref().ok());
                known.is_some_and(|known| !known.contains_key(vdom))
            });
            if let Some(table) = hidden {
                let why = format!("{}: the virtual firewall {vdom} is not shown", table.path);
                hide(&tenant, vdom, &Blindness::NoSight(why), seen);
                continue;
            }
            let strangers = strangers.within(vdom);
            let key = ResourceKey::new(VIRTUAL_FIREWALL, "tenant");
            let things = seen.seen.entry(tenant).or_default();
            if let (false, Some(Seen::Present(it))) = (strangers.is_empty(), things.get(&key)) {
                let mut present = it.clone();
                Arc::make_mut(&mut present).outputs.insert(STRANGERS, json!(strangers));
                things.insert(key, Seen::Present(present));
            }
        }
    }

    /// Whose row it is, and which of that tenant's things.
    fn owner<'r>(
        &self,
        table: &Table,
        row: &'r Entry,
        owners: &Owners,
    ) -> Option<(TenantName, Cow<'r, ResourceKey>)> {
        let key = |kind: &str, name: &str| Cow::Owned(ResourceKey::new(kind, name));
        let name = || row.attribute("name")?.as_str();
        match table.kind {
            VIRTUAL_FIREWALL => {
                let tenant = owner_of_vdom(row, self.installation)?;
                Some((tenant, key(VIRTUAL_FIREWALL, "tenant")))
            }
            LINK => Some((owners.links.get(name()?)?.clone(), key(LINK, "tenant"))),
            LINK_END => {
                let ends = [("host", names::host_end as fn(&str) -> String), ("tenant", names::tenant_end)];
                let link = name()?.strip_suffix(['0', '1'])?;
                let (end, _) = ends.into_iter().find(|(_, end)| Some(end(link).as_str()) == name())?;
                Some((owners.links.get(link)?.clone(), key(LINK_END, end)))
            }
            SCHEDULE => {
                let (prefix, name) = names::read_schedule(self.installation.as_str(), name()?)?;
                Some((owners.zones.get(prefix)?.clone(), key(SCHEDULE, name)))
            }
            kind => {
                let mark = row.mark.as_ref().filter(|mark| mark.key.kind.as_str() == kind)?;
                Some((mark.tenant.clone(), Cow::Borrowed(&mark.key)))
            }
        }
    }

    fn rows(&self, table: &Table, known: &Known, owners: &Owners, seen: &mut Observation) {
        for row in entries(known) {
            let Some((tenant, key)) = self.owner(table, row, owners) else {
                // Every interface that is no end of a link of ours is told of as an interface.
                let foreign = (table.kind != LINK_END).then(|| foreign(table, row)).flatten();
                seen.foreign.extend(foreign.filter(|it| self.includes(&it.tenant)));
                continue;
            };
            if !self.includes(&tenant) {
                continue;
            }
            let present = present(table, row);
            let things = seen.seen.entry(tenant).or_default();
            let it = match things.get(&*key) {
                None => Seen::Present(present),
                // Somebody copied it with its comment: which one is ours cannot be told.
                Some(Seen::Present(first)) => Seen::Unknown(Blindness::Ambiguous(vec![
                    first.identity.clone(),
                    present.identity.clone(),
                ])),
                Some(other) => other.clone(),
            };
            things.insert(key.into_owned(), it);
        }
    }

    fn policies(&self, known: &Known, seen: &mut Observation) {
        for (vdom, read) in known {
            self.table(vdom, &read.rows, seen);
        }
    }

    /// The policies of one virtual firewall.
    fn table(&self, vdom: &str, rows: &[Arc<Entry>], seen: &mut Observation) {
        let Some(table) = crate::schema::table(POLICY) else { return };
        // In a virtual firewall of its own nothing of the host's stands below a tenant's rules.
        let anchor = if vdom == self.transit {
            // It is the host's, so that most rows need not be asked.
            let is_anchor = |row: &Arc<Entry>| is_anchor(row, self.anchor);
            let hosts = rows.iter().position(|row| row.mark.is_none() && is_anchor(row));
            hosts.or_else(|| rows.iter().position(is_anchor))
        } else {
            Some(rows.len())
        };
        let Some(anchor) = anchor else {
            let why = format!("the policy {} that tenants' rules stand above is not there", self.anchor);
            for kind in [POLICY, ORDER] {
                blind(kind, &Blindness::NoSight(why.clone()), &mut seen.coverage);
            }
            return;
        };
        let mut tables: BTreeMap<(TenantName, &str), Vec<(usize, Standing)>> = BTreeMap::new();
        let copies = Self::copies(rows);
        for (at, row) in rows.iter().enumerate() {
            let mark = row.mark.as_ref().filter(|mark| mark.key.kind.as_str() == POLICY);
            let Some(mark) = mark.filter(|_| !copies.contains(&at)) else {
                seen.foreign.extend(foreign(table, row).filter(|it| self.includes(&it.tenant)));
                continue;
            };
            if !self.includes(&mark.tenant) {
                continue;
            }
            let mut key = mark.key.clone();
            let things = seen.seen.entry(mark.tenant.clone()).or_default();
            while things.contains_key(&key) {
                // The upper one is the newer; what stands below it was replaced and goes.
                key.name.push(OLD);
            }
            let standing = Standing { id: row.id(), key: Some(key.name.clone()) };
            tables.entry((mark.tenant.clone(), marks::order_of(&key.name))).or_default().push((at, standing));
            things.insert(key, Seen::Present(row.present.clone()));
        }
        let objects = LazyCell::new(|| self.objects(vdom));
        let is_others = |row: &Entry| row.mark.is_none() && is_whole(table, row);
        let strangers: Vec<usize> =
            (0..rows.len()).filter(|at| copies.contains(at) || is_others(&rows[*at])).collect();
        for ((tenant, name), ours) in tables {
            let mut order = order(rows, &ours, anchor);
            order.notices = notices(rows, &ours, &strangers, |upper, lower| objects.shadows(upper, lower));
            order.outputs.insert(VDOM, vdom);
            let key = ResourceKey::new(ORDER, name);
            seen.seen.entry(tenant).or_default().insert(key, Seen::Present(Arc::new(order)));
        }
    }

    /// The rows of a table in one virtual firewall.
    pub(crate) fn rows_of(&self, kind: &str, vdom: &str) -> impl Iterator<Item = &Arc<Entry>> {
        let known = self.read.get(kind).and_then(|known| known.as_ref().ok()?.get(vdom));
        known.into_iter().flat_map(|read| &read.rows)
    }

    /// The rows of a table, wherever they stand.
    pub(crate) fn all_rows(&self, kind: &str) -> impl Iterator<Item = &Arc<Entry>> {
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
    fn copies(rows: &[Arc<Entry>]) -> BTreeSet<usize> {
        let mut first: HashMap<&Mark, usize> = HashMap::with_capacity(rows.len());
        let mut several: BTreeMap<&Mark, Vec<usize>> = BTreeMap::new();
        for (at, row) in rows.iter().enumerate() {
            let Some(mark) = &row.mark else { continue };
            if let Some(first) = first.insert(mark, at) {
                several.entry(mark).or_insert_with(|| vec![first]).push(at);
            }
        }
        let mut copies = BTreeSet::new();
        for (Mark { tenant, key, .. }, places) in several {
            let names: Vec<String> = names::policies(tenant.as_str(), &key.name).collect();
            let is_known =
                |at: &usize| rows.get(*at).is_some_and(|row| names.iter().any(|it| it == row.text("name")));
            let (known, others): (Vec<usize>, Vec<usize>) = places.into_iter().partition(is_known);
            if !known.is_empty() {
                copies.extend(others);
            }
        }
        copies
    }
}

/// Whether more than the id of a row was read, so that its owner is known.
fn is_whole(table: &Table, row: &Entry) -> bool {
    table.kind != POLICY || row.present.fields.contains_key("status")
}

/// By what it is known whose a row without a mark is.
struct Owners {
    /// Tenants by what the names of their schedules begin with.
    zones: BTreeMap<String, TenantName>,
    /// Tenants by the names of their links.
    links: BTreeMap<String, TenantName>,
}

/// The tenant of a virtual firewall of ours: both its mark and its name say so, and a copy of the one is no proof.
pub(crate) fn owner_of_vdom(row: &Entry, installation: &Installation) -> Option<TenantName> {
    let mark = row.mark.as_ref()?;
    let name = names::vdom(installation.as_str(), mark.tenant.as_str());
    let is_ours = mark.key.kind.as_str() == VIRTUAL_FIREWALL && row.text("name") == name;
    is_ours.then(|| mark.tenant.clone())
}

/// The table by which a table is read.
fn source(table: &'static Table) -> &'static Table {
    TABLES.iter().find(|it| it.path == table.path).unwrap_or(table)
}

/// What of a tenant stands in its virtual firewall or leads there cannot be told while that is not seen whole.
fn hide(tenant: &TenantName, vdom: &str, why: &Blindness, seen: &mut Observation) {
    seen.coverage.tenants.insert(tenant.clone(), why.clone());
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
fn order(rows: &[Arc<Entry>], ours: &[(usize, Standing)], anchor: usize) -> Present {
    let mut standing: Vec<Standing> = Vec::new();
    let mut sequence: Vec<Json> = Vec::new();
    let mut left = ours.len();
    let mut stops: Vec<(usize, Option<&Standing>)> = ours.iter().map(|(at, it)| (*at, Some(it))).collect();
    let place = stops.partition_point(|(at, _)| *at < anchor);
    if stops.get(place).is_none_or(|(at, _)| *at != anchor) {
        stops.insert(place, (anchor, None));
    }
    let mut next: Option<usize> = None;
    for (at, it) in stops {
        // Of a gap below the anchor nothing is told: the tenant has no place there.
        if next.is_some_and(|next| next < at) && standing.last().is_some_and(|it| it.key.is_some()) {
            let first = next.and_then(|next| rows.get(next));
            standing.extend(first.map(|row| Standing { id: row.id(), key: None }));
            sequence.extend((left > 0).then(|| json!("(rules of others)")));
        }
        match it {
            Some(it) => {
                left -= 1;
                sequence.extend(it.key.clone().map(Json::String));
                standing.push(it.clone());
            }
            // In a virtual firewall of its own it stands below the last row, where there is none.
            None if at < rows.len() => {
                standing.push(Standing { id: ANCHOR, key: None });
                sequence.extend((left > 0).then(|| json!("(the anchor)")));
            }
            None => {}
        }
        next = Some(at + 1);
    }
    let table: Vec<Json> = standing.iter().map(|it| json!([it.id, it.key])).collect();
    Present {
        fields: Facts::from([("sequence", Json::Array(sequence))]),
        outputs: Facts::from([(STANDING, Json::Array(table))]),
        ..Present::default()
    }
}

/// Others' policies that concern a tenant's: those amid them, and those above that take all packets of one.
fn notices(
    rows: &[Arc<Entry>],
    ours: &[(usize, Standing)],
    strangers: &[usize],
    shadows: impl Fn(&Entry, &Entry) -> bool,
) -> Vec<String> {
    let mut notices = Vec::new();
    let (Some((first, _)), Some((last, _))) = (ours.first(), ours.last()) else { return notices };
    for at in strangers.iter().filter(|at| *at < last) {
        let stranger = &rows[*at];
        let (name, action) = (stranger.text("name"), stranger.text("action"));
        let who = format!("policy {} ({name}, {action})", stranger.id());
        if at > first {
            notices.push(format!("{who} is not ours and stands amid this tenant's rules"));
        }
        let below = ours.iter().filter(|(place, _)| place > at);
        let taken = below.filter(|(place, _)| shadows(stranger, &rows[*place]));
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

fn present(table: &Table, entry: &Entry) -> Arc<Present> {
    if table.kind != LINK_END {
        return entry.present.clone();
    }
    // It is read with the interfaces, of which more is compared.
    let is_its = |name: &str| {
        table.has(name) || name == table.mkey || table.comment.is_some_and(|(comment, _)| name == comment)
    };
    let fields = entry.present.fields.iter().filter(|(name, _)| is_its(name));
    let fields = fields.map(|(name, value)| (name.to_owned(), value.clone())).collect();
    Arc::new(Present { fields, identity: entry.present.identity.clone(), ..Present::default() })
}

/// The attributes in the form in which FortiOS takes them.
pub(crate) fn written(table: &Table, facts: &Facts) -> Row {
    let form = |name: &str| {
        table.attributes.iter().find(|(it, _)| *it == name).map_or(Form::Plain, |(_, form)| *form)
    };
    facts.iter().map(|(name, value)| (name.to_owned(), write(form(name), value))).collect()
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

/// What stands where something of a tenant's would.
fn foreign(table: &Table, row: &Entry) -> Option<Foreign> {
    let name = row.attribute("name")?.as_str()?;
    let tenant = match name.strip_prefix("zone.") {
        Some(tenant) if table.kind == ZONE => tenant,
        _ => name.split_once('.')?.0,
    };
    Some(stranger(table, row, &TenantName::from(tenant)))
}

/// A row that does not carry this tenant's mark.
fn stranger(table: &Table, row: &Entry, tenant: &TenantName) -> Foreign {
    let present = Present::clone(&present(table, row));
    let mark = table.comment.and_then(|(comment, _)| marks::any(row.text(comment)));
    let name = match row.text("name") {
        "" => present.identity.clone(),
        name => name.to_owned(),
    };
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

pub(crate) fn is_anchor(row: &impl Attributes, anchor: &str) -> bool {
    match anchor_attribute(anchor) {
        "policyid" => row.id().to_string() == anchor,
        _ => row.attribute("name").and_then(Json::as_str) == Some(anchor),
    }
}
