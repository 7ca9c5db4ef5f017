//! Random rule sets and random edits, held against a model of a table where the first that fits counts.

mod model;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestCaseResult;

use super::*;
use model::{ANCHOR, Case, Device, Row, Way, answer, case, probes, rising};

/// Carries out the writes and looks after each of them: every packet gets its answer of one of these tables.
fn answers_stay(case: &Case, from: &[Row], writes: &[Write], tables: [&[Row]; 2]) -> TestCaseResult {
    let probes = probes(&tables);
    let [old, new] = tables.map(|table| probes.iter().map(|it| answer(table, *it)).collect::<Vec<_>>());
    let mut device = Device::new(case, from);
    for (step, write) in writes.iter().enumerate() {
        // Also between the requests that one write is made of.
        for requests in 1..=3 {
            let mut now = device.clone();
            now.carry_out(write, requests);
            for (index, packet) in probes.iter().enumerate() {
                let is = answer(&now.table, *packet);
                prop_assert!(
                    is == old[index] || is == new[index],
                    "{packet:?} after {step} {write:?} ({requests}): {is:?}, old {:?}, new {:?}\n{writes:?}",
                    old[index],
                    new[index]
                );
            }
        }
        device.carry_out(write, 3);
    }
    Ok(())
}

/// The table after the writes.
fn after(case: &Case, table: &[Row], writes: &[Write]) -> Vec<Row> {
    Device::new(case, table).after(writes).table
}

/// The table as a crash leaves it: after some of the writes, and some requests of the next.
fn crashed(case: &Case, table: &[Row], writes: &[Write], crash: Index, requests: usize) -> Vec<Row> {
    let Some(last) = (!writes.is_empty()).then(|| crash.index(writes.len())) else { return table.to_vec() };
    let mut device = Device::new(case, table).after(&writes[..last]);
    device.carry_out(&writes[last], requests);
    device.table
}

proptest! {
    #[test]
    fn at_no_moment_a_packet_gets_an_answer_of_neither_table(case in case(4)) {
        let writes = case.writes(&case.table, one_by_one);
        let end = after(&case, &case.table, &writes);
        answers_stay(&case, &case.table, &writes, [&case.table, &end])?;
        prop_assert_eq!(case.is_right(&end), Ok(()));
    }

    #[test]
    fn both_ways_end_right_and_then_rest(case in case(4)) {
        for how in [in_one, one_by_one] {
            let end = after(&case, &case.table, &case.writes(&case.table, how));
            prop_assert_eq!(case.is_right(&end), Ok(()));
            prop_assert_eq!(case.writes(&end, how), vec![]);
        }
    }

    #[test]
    fn a_crash_after_any_write_is_a_case_like_any_other(case in case(2)) {
        let writes = case.writes(&case.table, one_by_one);
        for crash in 0..writes.len() {
            for requests in 0..=2 {
                let mut device = Device::new(&case, &case.table).after(&writes[..crash]);
                device.carry_out(&writes[crash], requests);
                let table = device.table;
                for how in [in_one, one_by_one] {
                    let end = after(&case, &table, &case.writes(&table, how));
                    prop_assert_eq!(case.is_right(&end), Ok(()), "after {} writes", crash);
                }
            }
        }
    }

    #[test]
    fn what_follows_crashes_answers_as_the_old_or_the_new_table(
        case in case(3), crashes in any::<[Index; 2]>(), requests in any::<[Index; 2]>()
    ) {
        let writes = case.writes(&case.table, one_by_one);
        let end = after(&case, &case.table, &writes);
        let mut table = case.table.clone();
        for (crash, requests) in crashes.into_iter().zip(requests) {
            let writes = case.writes(&table, one_by_one);
            table = crashed(&case, &table, &writes, crash, requests.index(4));
        }
        let rest = case.writes(&table, one_by_one);
        answers_stay(&case, &table, &rest, [&case.table, &end])?;
        let keys = |table: &[Row]| table.iter().map(|row| row.key.clone()).collect::<Vec<_>>();
        prop_assert_eq!(keys(&after(&case, &table, &rest)), keys(&end));
    }

    #[test]
    fn another_wish_after_a_crash_is_a_case_like_any_other(
        case in case(3), crash in any::<Index>(), requests in 0_usize..4
    ) {
        let table = crashed(&case, &case.table, &case.writes(&case.table, one_by_one), crash, requests);
        let other = case.another_wish();
        let writes = other.writes(&table, one_by_one);
        let end = after(&other, &table, &writes);
        answers_stay(&other, &table, &writes, [&table, &end])?;
        prop_assert_eq!(other.is_right(&end), Ok(()));
    }

    #[test]
    fn what_moves_moves_up_and_a_new_form_stands_above_its_old_one(case in case(4)) {
        let writes = case.writes(&case.table, one_by_one);
        let mut device = Device::new(&case, &case.table);
        for write in &writes {
            let before = device.clone();
            device.carry_out(write, 3);
            if let Write::Move { key, .. } = write && writes.len() > 1 {
                prop_assert!(device.place_of(key) < before.place_of(key), "{:?} in {:?}", write, writes);
            }
            if let Write::Insert { key, .. } = write {
                let upper = device.table.iter().position(|row| row.key.as_ref() == Some(key));
                prop_assert_eq!(upper, Some(device.place_of(key)), "{:?} in {:?}", write, writes);
            }
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

#[test]
fn others_between_ours() {
    // A letter is a policy of ours, a digit somebody else's, # the anchor. An id is the place from the top.
    let standing = |table: &str| -> Vec<Standing> {
        let ours = |it: char| it.is_alphabetic().then(|| it.to_string());
        let id = |(at, it)| if it == '#' { ANCHOR } else { at as u64 };
        table.chars().enumerate().map(|it| Standing { id: id(it), key: ours(it.1) }).collect()
    };
    let wanted = |keys: &str| -> Vec<Wanted> {
        keys.chars().map(|key| Wanted { key: key.to_string(), changed: false }).collect()
    };
    let insert = |key: &str, place| Write::Insert { key: key.into(), place };
    let shift = |key: &str, place| Write::Move { key: key.into(), place };
    let below = |key: &str| Place::Below(key.to_owned());
    let delete = |id| Write::Delete { id };
    let (both, safe): (&[Way], &[Way]) = (&[in_one, one_by_one], &[one_by_one]);
    for (table, keys, ways, expected, why) in [
        ("ab1#", "ab", both, vec![], "a block may stand above another one"),
        ("a1bc#", "abc", &[in_one as Way], vec![shift("a", Place::Above(2))], "the side with fewer moves"),
        (
            "#ab",
            "ab",
            both,
            vec![shift("a", Place::Above(ANCHOR)), shift("b", below("a"))],
            "below the anchor",
        ),
        ("x1ab#", "abc", both, vec![insert("c", below("b")), delete(0)], "what goes draws nothing to it"),
        ("x1#", "a", both, vec![insert("a", Place::Above(0)), delete(0)], "the old block's side of others"),
        ("a1bc#", "acb", safe, vec![shift("c", below("a")), shift("b", below("c"))], "only up"),
        ("aba#", "ab", both, vec![delete(2)], "of two with one key the lower goes"),
    ] {
        for how in ways {
            assert_eq!(how(&standing(table), &wanted(keys), ANCHOR), expected, "{why}");
        }
    }
}
