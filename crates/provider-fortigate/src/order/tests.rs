//! Random rule sets and random edits, held against a model of a table where the first that fits counts.

use proptest::prelude::*;

use super::*;

const ANCHOR: u64 = 1_000_000;

/// A rule: a box of sources, destinations and services, and what becomes of what fits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
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
struct Row {
    id: u64,
    key: Option<String>,
    rule: Rule,
}

fn rule() -> impl Strategy<Value = Rule> {
    let range = (0_u8..8, 0_u8..8).prop_map(|(a, b)| (a.min(b), a.max(b)));
    ([range.clone(), range.clone(), range], 0_u8..4).prop_map(|(ranges, action)| Rule { ranges, action })
}

/// A case: the table from top to bottom, with the anchor in it, and the wanted rules.
#[derive(Clone, Debug)]
struct Case {
    table: Vec<Row>,
    wanted: Vec<(String, Rule)>,
}

prop_compose! {
    fn case(most_foreign: usize)
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
            .map(|(i, (key, rule))| Row { id: i as u64 + 1, key: Some(key.clone()), rule: rule.clone() }).collect();
        for (i, rule) in foreign.into_iter().enumerate() {
            // Others stand around the block, or anywhere.
            let at = if scattered { spots[i].index(table.len() + 1) } else if i % 2 == 0 { 0 } else { table.len() };
            table.insert(at, Row { id: 100 + i as u64, key: None, rule });
        }
        let last = if scattered { anchor.index(table.len() + 1) } else { table.len() };
        let everything = Rule { ranges: [(0, 7); 3], action: 9 };
        table.insert(last, Row { id: ANCHOR, key: None, rule: everything });
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
    fn standing(table: &[Row]) -> Vec<Standing> {
        // Of two with one key the lower is what was replaced.
        let mut seen = BTreeSet::new();
        table
            .iter()
            .map(|row| {
                let key = row
                    .key
                    .clone()
                    .map(|key| if seen.insert(key.clone()) { key } else { format!("{key}~old{}", row.id) });
                Standing { id: row.id, key }
            })
            .collect()
    }

    fn wanted(&self, table: &[Row]) -> Vec<Wanted> {
        let there = |key: &str| table.iter().find(|row| row.key.as_deref() == Some(key)).map(|row| &row.rule);
        self.wanted
            .iter()
            .map(|(key, rule)| Wanted { key: key.clone(), changed: there(key).is_some_and(|it| it != rule) })
            .collect()
    }

    fn writes(&self, table: &[Row], how: fn(&[Standing], &[Wanted], u64) -> Vec<Write>) -> Vec<Write> {
        how(&Self::standing(table), &self.wanted(table), ANCHOR)
    }

    fn rule(&self, key: &str) -> Rule {
        self.wanted.iter().find(|(it, _)| it == key).map(|(_, rule)| rule.clone()).unwrap()
    }

    /// Carries out one write as the device would.
    fn carry_out(&self, table: &mut Vec<Row>, write: &Write) {
        let spot = |table: &[Row], place: &Place| match place {
            Place::Above(id) => table.iter().position(|row| row.id == *id).unwrap(),
            Place::Below(key) => table.iter().position(|row| row.key.as_ref() == Some(key)).unwrap() + 1,
        };
        match write {
            Write::Insert { key, place } => {
                let id =
                    10_000 + table.iter().map(|row| row.id).filter(|id| *id != ANCHOR).max().unwrap_or(0);
                let at = spot(table, place);
                table.insert(at, Row { id, key: Some(key.clone()), rule: self.rule(key) });
            }
            Write::Set { key } => {
                let rule = self.rule(key);
                table.iter_mut().find(|row| row.key.as_ref() == Some(key)).unwrap().rule = rule;
            }
            Write::Move { key, place } => {
                let from = table.iter().position(|row| row.key.as_ref() == Some(key)).unwrap();
                let row = table.remove(from);
                let at = spot(table, place);
                table.insert(at, row);
            }
            Write::Delete { id } => table.retain(|row| row.id != *id),
        }
    }

    /// What the table should be in the end: wanted in their order in one piece above the anchor, the others as they were.
    fn is_right(&self, table: &[Row]) -> Result<(), String> {
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
            if row.rule != self.rule(row.key.as_deref().unwrap()) {
                return Err(format!("{:?} has other content", row.key));
            }
        }
        let foreign = |table: &[Row]| {
            table.iter().filter(|row| row.key.is_none()).map(|row| row.id).collect::<Vec<_>>()
        };
        if foreign(table) == foreign(&self.table) { Ok(()) } else { Err("others were moved".to_owned()) }
    }
}

/// Every corner of every rule and of the gaps between them.
fn probes(tables: &[&[Row]]) -> Vec<[u8; 3]> {
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

fn answer(table: &[Row], packet: [u8; 3]) -> Option<u8> {
    table.iter().find(|row| row.rule.fits(packet)).map(|row| row.rule.action)
}

/// The length of the longest rising part, the slow way.
fn rising(places: &[usize]) -> usize {
    let mut lengths: Vec<usize> = Vec::new();
    for (i, place) in places.iter().enumerate() {
        let before = (0..i).filter(|j| places[*j] < *place).map(|j| lengths[j]).max().unwrap_or(0);
        lengths.push(before + 1);
    }
    lengths.into_iter().max().unwrap_or(0)
}

proptest! {
    #[test]
    fn at_no_moment_a_packet_gets_an_answer_of_neither_table(case in case(4)) {
        let mut table = case.table.clone();
        let writes = case.writes(&table, one_by_one);
        let mut end = table.clone();
        for write in &writes {
            case.carry_out(&mut end, write);
        }
        let probes = probes(&[&table, &end]);
        let old: Vec<_> = probes.iter().map(|packet| answer(&table, *packet)).collect();
        let new: Vec<_> = probes.iter().map(|packet| answer(&end, *packet)).collect();
        for (step, write) in writes.iter().enumerate() {
            case.carry_out(&mut table, write);
            for (index, packet) in probes.iter().enumerate() {
                let now = answer(&table, *packet);
                prop_assert!(now == old[index] || now == new[index],
                    "{packet:?} after {step} {write:?}: {now:?}, before {:?}, in the end {:?}\n{writes:?}", old[index], new[index]);
            }
        }
        prop_assert_eq!(case.is_right(&table), Ok(()));
    }

    #[test]
    fn both_ways_end_right_and_then_rest(case in case(4)) {
        for how in [in_one, one_by_one] {
            let mut table = case.table.clone();
            for write in case.writes(&table, how) {
                case.carry_out(&mut table, &write);
            }
            prop_assert_eq!(case.is_right(&table), Ok(()));
            prop_assert_eq!(case.writes(&table, how), vec![]);
        }
    }

    #[test]
    fn a_crash_after_any_write_is_a_case_like_any_other(case in case(2)) {
        let writes = case.writes(&case.table, one_by_one);
        for crash in 0..writes.len() {
            let mut table = case.table.clone();
            for write in &writes[..crash] {
                case.carry_out(&mut table, write);
            }
            for write in case.writes(&table, one_by_one) {
                case.carry_out(&mut table, &write);
            }
            prop_assert_eq!(case.is_right(&table), Ok(()), "after {} writes", crash);
        }
    }

    #[test]
    fn moves_are_the_fewest(case in case(0)) {
        let writes = case.writes(&case.table, in_one);
        let moves = writes.iter().filter(|write| matches!(write, Write::Move { .. })).count();
        let anchor = case.table.iter().position(|row| row.id == ANCHOR).unwrap();
        let place = |key: &str| case.table.iter().position(|row| row.key.as_deref() == Some(key));
        let places: Vec<usize> = case.wanted.iter().filter_map(|(key, _)| place(key)).collect();
        let above: Vec<usize> = places.iter().copied().filter(|place| *place < anchor).collect();
        prop_assert_eq!(moves, places.len() - rising(&above));
    }
}

#[test]
fn one_edit_is_one_write() {
    let standing = |keys: &[&str]| -> Vec<Standing> {
        let ours = keys
            .iter()
            .enumerate()
            .map(|(i, key)| Standing { id: i as u64 + 1, key: Some((*key).to_owned()) });
        ours.chain([Standing { id: ANCHOR, key: None }]).collect()
    };
    let wanted = |keys: &[&str]| -> Vec<Wanted> {
        let split = |key: &&str| (key.trim_end_matches('!').to_owned(), key.ends_with('!'));
        keys.iter().map(split).map(|(key, changed)| Wanted { key, changed }).collect()
    };
    let below = |key: &str| Place::Below(key.to_owned());
    for (before, after, expected, why) in [
        (&["a", "b", "c"][..], &["a", "b", "c"][..], vec![], "nothing to do"),
        (&["a", "b", "c"], &["a", "b!", "c"], vec![Write::Set { key: "b".into() }], "one is changed"),
        (&["a", "b", "c"], &["a", "c"], vec![Write::Delete { id: 2 }], "one goes"),
        (
            &["a", "c"],
            &["a", "b", "c"],
            vec![Write::Insert { key: "b".into(), place: below("a") }],
            "one comes",
        ),
        (
            &["m", "a", "b"],
            &["a", "b", "m"],
            vec![Write::Move { key: "m".into(), place: below("b") }],
            "one moves down",
        ),
        (
            &[],
            &["a"],
            vec![Write::Insert { key: "a".into(), place: Place::Above(ANCHOR) }],
            "the first of all",
        ),
    ] {
        for how in [in_one, one_by_one] {
            assert_eq!(how(&standing(before), &wanted(after), ANCHOR), expected, "{why}");
        }
    }
}
