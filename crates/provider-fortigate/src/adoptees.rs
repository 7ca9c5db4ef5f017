//! What tenants name for adoption: rows without a mark of theirs that are read and looked at nevertheless.

use std::collections::{BTreeMap, BTreeSet};

use vertskommune_core::names::TenantName;
use vertskommune_core::observation::Scope;

use crate::client;
use crate::entry::{Attributes as _, Entry};
use crate::marks::{POLICY, ROUTE};
use crate::schema::Table;

/// The tenants that name something, by the name or id that they write.
pub(crate) struct Adoptees<'a>(BTreeMap<&'a str, Vec<&'a TenantName>>);

impl<'a> Adoptees<'a> {
    pub(crate) fn new(scope: &'a Scope) -> Self {
        let mut by_word: BTreeMap<&str, Vec<&TenantName>> = BTreeMap::new();
        for (tenant, words) in &scope.adopt {
            for word in words {
                by_word.entry(word).or_default().push(tenant);
            }
        }
        Self(by_word)
    }

    /// Whether nobody names anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tenants that name this row, by its key or, where that is a number, by its name.
    pub(crate) fn of(&self, table: &Table, row: &Entry) -> BTreeSet<&'a TenantName> {
        // What has no comment cannot be taken over.
        if self.0.is_empty() || table.comment.is_none() {
            return BTreeSet::new();
        }
        let words = [row.present.identity.as_str(), row.text("name")];
        words.iter().filter_map(|word| self.0.get(word)).flatten().copied().collect()
    }

    /// The filters with which these rows of a table are read.
    pub(crate) fn filters(&self, table: &Table) -> impl Iterator<Item = String> {
        let has_name = table.kind != ROUTE;
        let has_id = matches!(table.kind, POLICY | ROUTE);
        self.0.keys().flat_map(move |word| {
            let id = (has_id && word.parse::<u32>().is_ok()).then(|| client::equals(table.mkey, word));
            id.into_iter().chain(has_name.then(|| client::equals("name", word)))
        })
    }
}
