//! All tables, found by name, with what follows from their declarations: who may refer to whom, and the text
//! that an unset attribute reads as, made once and not for each row.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::attribute::{Attribute, Kind};
use super::table::{Scope, Table};
use super::tables;
use crate::render;

/// A table, by its place in the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TableId(u16);

impl TableId {
    /// The table's place, for lists that have one entry a table.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// What the table is.
    pub(crate) fn table(self) -> &'static Table {
        catalogue().tables[self.index()]
    }
}

/// One attribute, at any depth, that names rows of other tables.
#[derive(Debug)]
pub(crate) struct Reference {
    /// Places of the attributes on the way down: `[member, name]`.
    pub way: Vec<u16>,
    /// The name of the outermost attribute, as `object/usage` tells it.
    pub attribute: &'static str,
    /// The tables that it may name, as far as the simulator has them.
    pub tables: Vec<TableId>,
}

/// Everything that is known of the tables.
#[derive(Debug)]
pub(crate) struct Catalogue {
    tables: Vec<&'static Table>,
    by_name: HashMap<&'static str, TableId>,
    references: Vec<Vec<Reference>>,
    referrers: Vec<Vec<TableId>>,
    defaults: Vec<Vec<Vec<u8>>>,
}

/// The one catalogue.
pub(crate) fn catalogue() -> &'static Catalogue {
    static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
    CATALOGUE.get_or_init(Catalogue::new)
}

impl Catalogue {
    fn new() -> Self {
        let tables = tables::all();
        let ids = (0..).map(TableId);
        let by_name: HashMap<_, _> = tables.iter().zip(ids).map(|(table, id)| (table.full, id)).collect();
        let references: Vec<Vec<Reference>> =
            tables.iter().map(|table| references(table.attributes, &by_name)).collect();
        let mut referrers = vec![Vec::new(); tables.len()];
        for (table, id) in tables.iter().zip((0..).map(TableId)) {
            for target in references[by_name[table.full].index()].iter().flat_map(|held| &held.tables) {
                let known: &mut Vec<TableId> = &mut referrers[target.index()];
                if known.last() != Some(&id) {
                    known.push(id);
                }
            }
        }
        let defaults =
            tables.iter().map(|table| table.attributes.iter().map(render::unset).collect()).collect();
        Self { tables, by_name, references, referrers, defaults }
    }

    /// The table called `path/name`.
    pub(crate) fn find(&self, full: &str) -> Option<TableId> {
        self.by_name.get(full).copied()
    }

    /// Every table.
    pub(crate) fn ids(&self) -> impl Iterator<Item = TableId> + use<> {
        (0..).take(self.tables.len()).map(TableId)
    }

    /// The tables of one scope.
    pub(crate) fn of_scope(&self, scope: Scope) -> impl Iterator<Item = TableId> + use<> {
        self.ids().filter(move |id| id.table().scope == scope)
    }

    /// The attributes of `table` that name rows of others.
    pub(crate) fn references(&self, table: TableId) -> &[Reference] {
        &self.references[table.index()]
    }

    /// The tables whose rows may name one of `table`'s.
    pub(crate) fn referrers(&self, table: TableId) -> &[TableId] {
        &self.referrers[table.index()]
    }

    /// `"name":value` of each attribute of `table` that nobody has set.
    pub(crate) fn defaults(&self, table: TableId) -> &[Vec<u8>] {
        &self.defaults[table.index()]
    }
}

fn references(attributes: &'static [Attribute], by_name: &HashMap<&'static str, TableId>) -> Vec<Reference> {
    let mut found = Vec::new();
    for (place, attribute) in (0..).zip(attributes) {
        match attribute.kind {
            Kind::Reference { tables, .. } => found.push(Reference {
                way: vec![place],
                attribute: attribute.name,
                tables: tables.iter().filter_map(|table| by_name.get(table).copied()).collect(),
            }),
            Kind::Rows(inner) | Kind::Record(inner) => {
                found.extend(references(inner, by_name).into_iter().map(|mut deeper| {
                    deeper.way.insert(0, place);
                    deeper.attribute = attribute.name;
                    deeper
                }));
            }
            _ => {}
        }
    }
    found.retain(|reference| !reference.tables.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::catalogue;

    #[test]
    fn names_are_unique_and_tables_well_formed() {
        let mut seen = BTreeSet::new();
        for id in catalogue().ids() {
            let table = id.table();
            assert!(seen.insert(table.full), "{} twice", table.full);
            assert_eq!(format!("{}/{}", table.path, table.name), table.full);
            let names: BTreeSet<_> = table.attributes.iter().map(|attribute| attribute.name).collect();
            assert_eq!(names.len(), table.attributes.len(), "{} has an attribute twice", table.full);
            for condition in table.attributes.iter().filter_map(|attribute| attribute.only) {
                assert!(names.contains(condition.attribute), "{}: {}", table.full, condition.attribute);
            }
        }
    }
}
