//! The tables of the device as they were last read, and what of them has to be read anew.
//!
//! A table of the same revision is not read again. After a change, a look at a few tenants reads only what carries their
//! marks, and the ids of all policies, since a place is told by its neighbours: what others have is then as old as the last
//! whole reading. What such a look cannot account for, such as a row that lost its mark, has the table read whole.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures::future::join_all;
use tokio::sync::Mutex;
use tokio::try_join;
use vertskommune_core::names::{Installation, TenantName};
use vertskommune_core::observation::{Blindness, Scope};

use crate::adoptees::Adoptees;
use crate::client::{self, Ask, At, Client, Error, Rows};
use crate::entry::{Attributes as _, Entries, Entry};
use crate::marks::{self, INTERFACE, POLICY, VIRTUAL_FIREWALL};
use crate::names;
use crate::observe::{anchor_attribute, is_anchor, owner_of_vdom};
use crate::schema::{Table, VDOM, sources};
use crate::settings::Settings;

/// Of how many tenants at most the rows are read by themselves.
const FEW: usize = 16;
/// The most alternatives of a filter, which goes in a URL.
const MANY: usize = 48;

/// A table in each virtual firewall.
pub(crate) type Known = BTreeMap<String, Arc<Rows<Arc<Entry>>>>;

/// All tables by kind, each as it was read or with the reason why it cannot be.
pub(crate) type Read = BTreeMap<&'static str, Result<Known, Blindness>>;

/// All tables as they were last read. Can be lost: the next look brings it back.
pub(crate) struct Tables {
    installation: Installation,
    /// The policy above which tenants' rules stand.
    anchor: String,
    /// The virtual firewall that tenants share, or through which they reach all others.
    transit: String,
    /// Where tables of the device itself are read.
    device: String,
    /// Whether tenants may have virtual firewalls of their own.
    dedicated: bool,
    /// By kind. Held while a table is read, so that an older reading never takes the place of a newer one.
    last: BTreeMap<&'static str, Mutex<Option<Result<Known, Blindness>>>>,
}

impl Tables {
    pub(crate) fn new(installation: &Installation, settings: &Settings) -> Self {
        let dedicated = settings.dedicated.is_some();
        Self {
            installation: installation.clone(),
            anchor: settings.anchor.clone(),
            transit: settings.vdom.clone(),
            device: settings.device().to_owned(),
            dedicated,
            last: sources(dedicated).map(|table| (table.kind, Mutex::default())).collect(),
        }
    }

    /// All tables as they are now, at least as far as this scope goes. Policies are most by far: what is read of all others
    /// is given to `meanwhile` while policies are still on their way.
    pub(crate) async fn read<T>(
        &self,
        client: &Client,
        scope: &Scope,
        meanwhile: impl FnOnce(Read) -> T,
    ) -> Result<(Read, T), Error> {
        let (first, others): (Vec<_>, Vec<_>) = sources(self.dedicated)
            .filter_map(|table| Some((table, self.last.get(table.kind)?)))
            .partition(|(table, _)| table.kind == VIRTUAL_FIREWALL);
        let mut read = Read::new();
        // Which virtual firewalls are tenants' own has to be known before their tables are asked for.
        for (table, last) in first {
            read.insert(table.kind, self.table(client, table, last, &[&self.device], scope).await?);
        }
        let own = self.own(&read);
        let vdoms: Vec<&str> =
            [self.transit.as_str()].into_iter().chain(own.iter().map(String::as_str)).collect();
        let all = |tables: Vec<(&'static Table, _)>| {
            let reads = tables.into_iter().map(|(table, last)| {
                let (vdoms, device) = (&vdoms, self.device.as_str());
                async move {
                    let at: &[&str] = if table.is_global { &[device] } else { vdoms };
                    Ok((table.kind, self.table(client, table, last, at, scope).await?))
                }
            });
            async { join_all(reads).await.into_iter().collect::<Result<Vec<_>, Error>>() }
        };
        let (policies, others): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|(table, _)| table.kind == POLICY);
        let others = async {
            read.extend(all(others).await?);
            let made = meanwhile(read.clone());
            Ok((read, made))
        };
        // They are asked for first.
        let (policies, (mut read, made)) = try_join!(all(policies), others)?;
        read.extend(policies);
        Ok((read, made))
    }

    /// The virtual firewalls of tenants' own.
    fn own(&self, read: &Read) -> Vec<String> {
        let own = all_rows(read, VIRTUAL_FIREWALL).filter_map(|row| {
            owner_of_vdom(row, &self.installation)?;
            Some(row.text("name").to_owned())
        });
        own.filter(|name| self.dedicated && *name != self.transit).collect()
    }

    async fn table(
        &self,
        client: &Client,
        table: &'static Table,
        last: &Mutex<Option<Result<Known, Blindness>>>,
        vdoms: &[&str],
        scope: &Scope,
    ) -> Result<Result<Known, Blindness>, Error> {
        let few = scope.tenants.as_ref().filter(|tenants| tenants.len() <= FEW);
        let mut last = last.lock().await;
        let known = last.clone().and_then(Result::ok).unwrap_or_default();
        let (installation, anchor) = (&self.installation, self.anchor.as_str());
        let reading = Reading { client, table, installation, anchor, adoptees: &Adoptees::new(scope) };
        let read = match reading.anew(known, vdoms, few).await {
            Err(Error::Right(why)) => Err(Blindness::NoSight(format!("{}: {why}", table.path))),
            // Without the first, which is the host's own, nothing is known of this table.
            Ok(read) if vdoms.first().is_some_and(|first| !read.contains_key(*first)) => {
                let first = vdoms.first().copied().unwrap_or_default();
                Err(Blindness::NoSight(format!("{}: the virtual firewall {first} is not shown", table.path)))
            }
            read => Ok(read?),
        };
        *last = Some(read.clone());
        Ok(read)
    }

    /// All tables as they were last read, where each was.
    pub(crate) async fn last(&self) -> Option<Read> {
        let mut all = Read::new();
        for (kind, last) in &self.last {
            all.insert(kind, last.lock().await.clone()?);
        }
        Some(all)
    }

    /// Forgets what was read.
    pub(crate) async fn forget(&self) {
        for last in self.last.values() {
            *last.lock().await = None;
        }
    }
}

/// The rows of a table, wherever they stand; none where it cannot be read.
pub(crate) fn all_rows<'a>(read: &'a Read, kind: &str) -> impl Iterator<Item = &'a Arc<Entry>> {
    let known = read.get(kind).and_then(|known| known.as_ref().ok());
    known.into_iter().flat_map(entries)
}

/// The rows of one table that was read, wherever they stand.
pub(crate) fn entries(known: &Known) -> impl Iterator<Item = &Arc<Entry>> {
    known.values().flat_map(|read| &read.rows)
}

/// Whether nothing was read anew between the two.
pub(crate) fn is_same(before: &Read, now: &Read) -> bool {
    let rows = |one: &Known, other: &Known| {
        one.len() == other.len()
            && one.iter().all(|(vdom, read)| other.get(vdom).is_some_and(|it| Arc::ptr_eq(read, it)))
    };
    now.iter().all(|(kind, now)| match (before.get(kind), now) {
        (Some(Ok(before)), Ok(now)) => rows(before, now),
        (Some(Err(before)), Err(now)) => before == now,
        _ => false,
    })
}

/// Reading one table.
struct Reading<'a> {
    client: &'a Client,
    table: &'static Table,
    installation: &'a Installation,
    anchor: &'a str,
    adoptees: &'a Adoptees<'a>,
}

impl Reading<'_> {
    /// The table as it is now, from what is known of it.
    async fn anew(
        &self,
        mut known: Known,
        vdoms: &[&str],
        tenants: Option<&BTreeSet<TenantName>>,
    ) -> Result<Known, Error> {
        if known.is_empty() {
            return Ok(self
                .whole(vdoms)
                .await?
                .into_iter()
                .map(|(vdom, rows)| (vdom, Arc::new(rows)))
                .collect());
        }
        let revisions = self.client.revisions(self.table.path, self.table.mkey, vdoms).await?;
        known.retain(|vdom, _| revisions.contains_key(vdom));
        let is_same = |vdom: &str| known.get(vdom).map(|it| &it.revision) == revisions.get(vdom);
        let changed: Vec<&str> = vdoms.iter().copied().filter(|vdom| !is_same(vdom)).collect();
        if changed.is_empty() {
            return Ok(known);
        }
        // The first is the one that tenants share; in their own all is told of them, also what others put there.
        let (shared, own): (Vec<&str>, Vec<&str>) =
            changed.into_iter().partition(|vdom| vdoms.first() == Some(vdom));
        let narrow = match tenants {
            Some(tenants) if !shared.is_empty() => self.of(tenants, &shared, &known).await?,
            _ => None,
        };
        let wholly = if narrow.is_some() { own } else { [shared, own].concat() };
        let mut read = narrow.unwrap_or_default();
        if !wholly.is_empty() {
            read.extend(self.whole(&wholly).await?);
        }
        known.extend(read.into_iter().map(|(vdom, rows)| (vdom, Arc::new(rows))));
        Ok(known)
    }

    async fn whole(&self, vdoms: &[&str]) -> Result<BTreeMap<String, Rows<Arc<Entry>>>, Error> {
        self.list(vdoms, &Ask::all(&self.table.read())).await
    }

    async fn list(&self, vdoms: &[&str], ask: &Ask<'_>) -> Result<BTreeMap<String, Rows<Arc<Entry>>>, Error> {
        let keep = Entries { table: self.table, installation: self.installation.clone() };
        self.client.list(self.table.path, vdoms, ask, &keep).await
    }

    /// What was known, with the rows of these tenants as they are now; nothing where only the whole table can tell.
    async fn of(
        &self,
        tenants: &BTreeSet<TenantName>,
        vdoms: &[&str],
        known: &Known,
    ) -> Result<Option<BTreeMap<String, Rows<Arc<Entry>>>>, Error> {
        let Some((comment, _)) = self.table.comment else { return Ok(None) };
        let marked =
            |tenant: &TenantName| client::contains(comment, &marks::prefix(self.installation, tenant));
        let mut filters: Vec<String> =
            tenants.iter().map(marked).chain(self.adoptees.filters(self.table)).collect();
        if self.table.kind == INTERFACE {
            // The ends of a link have no mark before we give it to them, and others' may stand beside ours.
            for tenant in tenants {
                let (installation, tenant) = (self.installation.as_str(), tenant.as_str());
                filters.push(client::contains("name", &names::link(installation, tenant)));
                filters.push(client::equals(VDOM, &names::vdom(installation, tenant)));
            }
        }
        if filters.len() > MANY {
            return Ok(None);
        }
        if self.table.kind == POLICY {
            filters.push(client::equals(anchor_attribute(self.anchor), self.anchor));
        }
        let filter = filters.join(",");
        let attributes = self.table.read();
        let fresh = self.list(vdoms, &Ask::those(&attributes, &filter)).await?;
        // Only of policies the order matters.
        let order = if self.table.kind == POLICY {
            self.list(vdoms, &Ask::all(&[self.table.mkey])).await?
        } else {
            BTreeMap::new()
        };
        let mut read = BTreeMap::new();
        for (vdom, fresh) in fresh {
            let Some(known) = known.get(&vdom) else { return Ok(None) };
            let rows = match order.get(&vdom) {
                // Something came in between.
                Some(order) if order.revision != fresh.revision => return Ok(None),
                Some(order) => self.in_order(tenants, known, fresh.rows, &order.rows),
                None => self.in_place(&vdom, tenants, known, fresh.rows).await?,
            };
            let Some(rows) = rows else { return Ok(None) };
            // Others' rows are older than this revision: it is not noted, so that they are not taken for read.
            read.insert(vdom, Rows { revision: String::new(), rows, serial: fresh.serial });
        }
        Ok(Some(read))
    }

    /// Policies in their order: these tenants' as they are now, others' as they were, newcomers of others by id alone.
    fn in_order(
        &self,
        tenants: &BTreeSet<TenantName>,
        known: &Rows<Arc<Entry>>,
        fresh: Vec<Arc<Entry>>,
        order: &[Arc<Entry>],
    ) -> Option<Vec<Arc<Entry>>> {
        let mut fresh: HashMap<u64, Arc<Entry>> = fresh.into_iter().map(|row| (row.id(), row)).collect();
        let before: HashMap<u64, &Arc<Entry>> = known.rows.iter().map(|row| (row.id(), row)).collect();
        let mut rows = Vec::with_capacity(order.len());
        for id in order {
            let key = id.id();
            rows.push(match (fresh.remove(&key), before.get(&key)) {
                (Some(row), _) => row,
                (None, Some(before)) if self.is_of(tenants, before) || is_anchor(before, self.anchor) => {
                    return None;
                }
                (None, Some(before)) => Arc::clone(before),
                (None, None) => Arc::clone(id),
            });
        }
        Some(rows)
    }

    /// Rows of a table without an order: these tenants' as they are now, others' as they were.
    async fn in_place(
        &self,
        vdom: &str,
        tenants: &BTreeSet<TenantName>,
        known: &Rows<Arc<Entry>>,
        fresh: Vec<Arc<Entry>>,
    ) -> Result<Option<Vec<Arc<Entry>>>, Error> {
        let keys: BTreeSet<&str> = fresh.iter().map(|row| row.present.identity.as_str()).collect();
        let (theirs, mut rows): (Vec<&Arc<Entry>>, Vec<&Arc<Entry>>) =
            known.rows.iter().partition(|row| self.is_of(tenants, row));
        rows.retain(|row| !keys.contains(row.present.identity.as_str()));
        let theirs = theirs.into_iter().map(|row| row.present.identity.as_str());
        let missing = theirs.filter(|key| !keys.contains(key));
        for key in missing {
            // It is gone, or it is there and its mark is not: then it is somebody's, and how it is has to be read.
            if self.client.row(At { vdom, table: self.table.path }, key).await?.is_some() {
                return Ok(None);
            }
        }
        Ok(Some(rows.into_iter().cloned().chain(fresh).collect()))
    }

    /// Whether a row is these tenants', or named by them.
    fn is_of(&self, tenants: &BTreeSet<TenantName>, row: &Entry) -> bool {
        if !self.adoptees.of(self.table, row).is_empty() {
            return true;
        }
        row.mark.as_ref().is_some_and(|mark| tenants.contains(&mark.tenant))
    }
}
