//! A model of a table where the first that fits counts, and of a device that carries out writes on it.

use proptest::prelude::*;

use crate::order::*;

pub(super) const ANCHOR: u64 = 1_000_000;

/// One of the two ways.
pub(super) type Way = fn(&[Standing], &[Wanted], u64) -> Vec<Write>;

/// A rule: a box of sources, destinations and services, and what becomes of what fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    ranges: [(u8, u8); 3],
    action: u8,
}

impl Rule {
    fn fits(&self, packet: [u8; 3]) -> bool {
        self.ranges.iter().zip(packet).all(|((from, to), at)| (*from..=*to).contains(&at))
    }
}

/// A row of the model table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) id: u64,
    pub(super) key: Option<String>,
    rule: Rule,
    /// A disabled one fits no packet.
    enabled: bool,
}

fn rule() -> impl Strategy<Value = Rule> {
    let range = (0_u8..8, 0_u8..8).prop_map(|(a, b)| (a.min(b), a.max(b)));
    ([range.clone(), range.clone(), range], 0_u8..4).prop_map(|(ranges, action)| Rule { ranges, action })
}

/// A case: the table from top to bottom, with the anchor in it, and the wanted rules.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) table: Vec<Row>,
    pub(super) wanted: Vec<(String, Rule)>,
}

prop_compose! {
    pub(super) fn case(most_foreign: usize)
        (ours in prop::collection::vec((0_usize..10, rule()), 0..7),
         foreign in prop::collection::vec(rule(), 0..=most_foreign),
         spots in prop::collection::vec(any::<prop::sample::Index>(), 16),
         fresh in prop::collection::vec((0_usize..10, rule()), 0..4),
         stays in prop::collection::vec(any::<bool>(), 16),
         changed in prop::collection::vec((any::<bool>(), rule()), 16),
         order in prop::collection::vec(any::<u16>(), 32),
         anchor in any::<prop::sample::Index>(),
         scattered in any::<bool>())
        -> Case {
        let named = |list: &[(usize, Rule)]| {
            let mut seen = BTreeSet::new();
            list.iter().filter(|(key, _)| seen.insert(*key)).map(|(key, rule)| (format!("r{key}"), rule.clone())).collect::<Vec<_>>()
        };
        let ours = named(&ours);
        let mut table: Vec<Row> = ours.iter().enumerate()
            .map(|(i, (key, rule))| Row { id: i as u64 + 1, key: Some(key.clone()), rule: rule.clone(), enabled: true }).collect();
        for (i, rule) in foreign.into_iter().enumerate() {
            // Others stand around the block, or anywhere.
            let at = if scattered { spots[i].index(table.len() + 1) } else if i % 2 == 0 { 0 } else { table.len() };
            table.insert(at, Row { id: 100 + i as u64, key: None, rule, enabled: true });
        }
        let last = if scattered { anchor.index(table.len() + 1) } else { table.len() };
        let everything = Rule { ranges: [(0, 7); 3], action: 9 };
        table.insert(last, Row { id: ANCHOR, key: None, rule: everything, enabled: true });
        let mut wanted: Vec<(String, Rule)> = ours.iter().zip(&stays).zip(&changed)
            .filter(|((_, stays), _)| **stays)
            .map(|(((key, rule), _), (changes, other))| (key.clone(), if *changes { other.clone() } else { rule.clone() })).collect();
        for (key, rule) in named(&fresh) {
            if !ours.iter().any(|(known, _)| *known == key) {
                wanted.push((key, rule));
            }
        }
        let mut numbered: Vec<_> = wanted.into_iter().zip(order).collect();
        // Half of the cases keep their order.
        if stays.last() == Some(&true) {
            numbered.sort_by_key(|(_, number)| *number);
        }
        Case { table, wanted: numbered.into_iter().map(|(it, _)| it).collect() }
    }
}

impl Case {
    pub(super) fn standing(table: &[Row]) -> Vec<Standing> {
        table.iter().map(|row| Standing { id: row.id, key: row.key.clone() }).collect()
    }

    /// As the plugin's observation gives it: of two with one key the lower bears another name.
    fn renamed(table: &[Row]) -> Vec<Standing> {
        let mut seen = BTreeSet::new();
        let mut standing = Self::standing(table);
        for it in &mut standing {
            if it.key.as_ref().is_some_and(|key| !seen.insert(key.clone())) {
                it.key = Some(format!("{}~", it.id));
            }
        }
        standing
    }

    pub(super) fn wanted(&self, table: &[Row]) -> Vec<Wanted> {
        let upper = |key: &str| table.iter().find(|row| row.key.as_deref() == Some(key));
        let differs = |key: &str, rule: &Rule| upper(key).is_some_and(|it| it.rule != *rule || !it.enabled);
        let wanted = self.wanted.iter();
        wanted.map(|(key, rule)| Wanted { key: key.clone(), changed: differs(key, rule) }).collect()
    }

    pub(super) fn writes(&self, table: &[Row], how: Way) -> Vec<Write> {
        let writes = how(&Self::standing(table), &self.wanted(table), ANCHOR);
        assert_eq!(writes, how(&Self::renamed(table), &self.wanted(table), ANCHOR), "the lower one's name");
        writes
    }

    /// The same tenant after a change of mind: another order, other actions, one less.
    pub(super) fn another_wish(&self) -> Self {
        let mut wanted = self.wanted.clone();
        wanted.rotate_left(self.wanted.len() / 2);
        wanted.truncate(6);
        for (_, rule) in wanted.iter_mut().step_by(2) {
            rule.action = (rule.action + 1) % 4;
        }
        Self { wanted, ..self.clone() }
    }

    fn rule(&self, key: &str) -> Rule {
        self.wanted.iter().find(|(it, _)| it == key).map(|(_, rule)| rule.clone()).unwrap()
    }

    /// What the table should be in the end: wanted in their order in one piece above the anchor, the others as they were.
    pub(super) fn is_right(&self, table: &[Row]) -> Result<(), String> {
        let ours: Vec<&str> = table.iter().filter_map(|row| row.key.as_deref()).collect();
        let wanted: Vec<&str> = self.wanted.iter().map(|(key, _)| key.as_str()).collect();
        if ours != wanted {
            return Err(format!("{ours:?} and not {wanted:?}"));
        }
        let places: Vec<usize> =
            table.iter().enumerate().filter(|(_, row)| row.key.is_some()).map(|(i, _)| i).collect();
        let anchor = table.iter().position(|row| row.id == ANCHOR).unwrap();
        if places.windows(2).any(|pair| pair[0] + 1 != pair[1])
            || places.last().is_some_and(|last| *last > anchor)
        {
            return Err(format!("not in one piece above the anchor: {places:?}, {anchor}"));
        }
        for row in table.iter().filter(|row| row.key.is_some()) {
            if !row.enabled || row.rule != self.rule(row.key.as_deref().unwrap()) {
                return Err(format!("{:?} has other content", row.key));
            }
        }
        let foreign = |table: &[Row]| {
            table.iter().filter(|row| row.key.is_none()).map(|row| row.id).collect::<Vec<_>>()
        };
        if foreign(table) == foreign(&self.table) { Ok(()) } else { Err("others were moved".to_owned()) }
    }
}

/// A table under way from what a list of writes was planned from.
#[derive(Clone)]
pub(super) struct Device<'a> {
    case: &'a Case,
    pub(super) table: Vec<Row>,
    /// Which policy a key means: the upper one when the writes were planned, or the one inserted since.
    ids: BTreeMap<String, u64>,
}

impl<'a> Device<'a> {
    pub(super) fn new(case: &'a Case, table: &[Row]) -> Self {
        let named = table.iter().rev().filter_map(|row| Some((row.key.clone()?, row.id)));
        Self { case, table: table.to_vec(), ids: named.collect() }
    }

    pub(super) fn after(mut self, writes: &[Write]) -> Self {
        for write in writes {
            self.carry_out(write, 3);
        }
        self
    }

    /// Carries out one write, or only so many of its requests: an insertion is three.
    pub(super) fn carry_out(&mut self, write: &Write, requests: usize) {
        if requests == 0 {
            return;
        }
        match write {
            Write::Insert { key, place } => {
                let ids = self.table.iter().map(|row| row.id).filter(|id| *id != ANCHOR);
                let id = ids.max().unwrap_or(0) + 1;
                let rule = self.case.rule(key);
                self.table.push(Row { id, key: Some(key.clone()), rule, enabled: false });
                if requests > 1 {
                    self.place(id, place);
                }
                if requests > 2 {
                    self.row(id).enabled = true;
                    self.ids.insert(key.clone(), id);
                }
            }
            Write::Set { key } => {
                let rule = self.case.rule(key);
                let row = self.row(self.ids[key]);
                (row.rule, row.enabled) = (rule, true);
            }
            Write::Move { key, place } => self.place(self.ids[key], place),
            Write::Delete { id } => self.table.retain(|row| row.id != *id),
        }
    }

    pub(super) fn place_of(&self, key: &str) -> usize {
        self.table.iter().position(|row| row.id == self.ids[key]).unwrap()
    }

    fn row(&mut self, id: u64) -> &mut Row {
        self.table.iter_mut().find(|row| row.id == id).unwrap()
    }

    fn place(&mut self, id: u64, place: &Place) {
        let from = self.table.iter().position(|row| row.id == id).unwrap();
        let row = self.table.remove(from);
        let beside = |id: u64| self.table.iter().position(|row| row.id == id).unwrap();
        let at = match place {
            Place::Above(id) => beside(*id),
            Place::Below(key) => beside(self.ids[key]) + 1,
        };
        self.table.insert(at, row);
    }
}

/// Every corner of every rule and of the gaps between them.
pub(super) fn probes(tables: &[&[Row]]) -> Vec<[u8; 3]> {
    let corners = |axis: usize| -> BTreeSet<u8> {
        let rules = tables.iter().flat_map(|table| table.iter()).map(|row| row.rule.ranges[axis]);
        rules.flat_map(|(from, to)| [from, to, from.saturating_sub(1), (to + 1).min(7)]).collect()
    };
    let (a, b, c) = (corners(0), corners(1), corners(2));
    let mut probes = Vec::new();
    for a in &a {
        for b in &b {
            probes.extend(c.iter().map(|c| [*a, *b, *c]));
        }
    }
    probes
}

pub(super) fn answer(table: &[Row], packet: [u8; 3]) -> Option<u8> {
    table.iter().find(|row| row.enabled && row.rule.fits(packet)).map(|row| row.rule.action)
}

/// The length of the longest rising part, the slow way.
pub(super) fn rising(places: &[usize]) -> usize {
    let mut lengths: Vec<usize> = Vec::new();
    for (i, place) in places.iter().enumerate() {
        let before = (0..i).filter(|j| places[*j] < *place).map(|j| lengths[j]).max().unwrap_or(0);
        lengths.push(before + 1);
    }
    lengths.into_iter().max().unwrap_or(0)
}
