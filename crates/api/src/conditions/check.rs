//! The rules of conditions as small functions; every test of a status runs them all.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use vertskommune_core::reason::Reason;

use super::{MAX_MESSAGE, READY, RECONCILING, STALLED, find, is_true};

/// A rule: `Err` says what is wrong.
type Rule = fn(&[Condition], Option<i64>) -> Result<(), String>;

/// Every rule.
const RULES: [Rule; 10] = [
    ready_is_there,
    types_are_unique,
    statuses_are_known,
    reconciling_and_stalled_only_while_true,
    reconciling_and_stalled_never_together,
    ready_is_the_end,
    reasons_are_words,
    reasons_are_known,
    messages_are_bounded_sentences,
    generations_are_current,
];

/// What is wrong with these conditions of an object of that generation.
pub fn broken(conditions: &[Condition], generation: Option<i64>) -> Vec<String> {
    RULES.iter().filter_map(|rule| rule(conditions, generation).err()).collect()
}

/// Holds the conditions against every rule, for tests.
///
/// # Panics
/// Where a rule is broken.
pub fn all(conditions: &[Condition], generation: Option<i64>) {
    let broken = broken(conditions, generation);
    assert!(broken.is_empty(), "{}\n{conditions:#?}", broken.join("\n"));
}

/// `Ready` is there from the first pass on.
fn ready_is_there(conditions: &[Condition], _: Option<i64>) -> Result<(), String> {
    find(conditions, READY).map(drop).ok_or_else(|| "Ready is missing".to_owned())
}

/// The API server merges the list by type.
fn types_are_unique(conditions: &[Condition], _: Option<i64>) -> Result<(), String> {
    let types: BTreeSet<&str> = conditions.iter().map(|condition| condition.type_.as_str()).collect();
    must(types.len() == conditions.len(), || "a type is there twice".to_owned())
}

fn statuses_are_known(conditions: &[Condition], _: Option<i64>) -> Result<(), String> {
    each(conditions, "has an unknown status", |condition| {
        ["True", "False", "Unknown"].contains(&condition.status.as_str())
    })
}

/// kstatus reads their presence as an abnormal state.
fn reconciling_and_stalled_only_while_true(conditions: &[Condition], _: Option<i64>) -> Result<(), String> {
    each(conditions, "is there though it is not true", |condition| {
        ![RECONCILING, STALLED].contains(&condition.type_.as_str()) || condition.status == "True"
    })
}

fn reconciling_and_stalled_never_together(conditions: &[Condition], _: Option<i64>) -> Result<(), String> {
    let both = find(conditions, RECONCILING).is_some() && find(conditions, STALLED).is_some();
    must(!both, || "Reconciling and Stalled are there together".to_owned())
}

/// kstatus would not call it current otherwise, and `kubectl wait` and Flux would disagree.
fn ready_is_the_end(conditions: &[Condition], _: Option<i64>) -> Result<(), String> {
    let unfinished = is_true(conditions, RECONCILING) || is_true(conditions, STALLED);
    must(!(is_true(conditions, READY) && unfinished), || {
        "Ready is true beside Reconciling or Stalled".to_owned()
    })
}

fn reasons_are_words(conditions: &[Condition], _: Option<i64>) -> Result<(), String> {
    each(conditions, "has a reason that is no CamelCase word", |condition| is_reason(&condition.reason))
}

/// `why` says of each what would help.
fn reasons_are_known(conditions: &[Condition], _: Option<i64>) -> Result<(), String> {
    each(conditions, "has a reason without an advice", |condition| Reason::of(&condition.reason).is_some())
}

fn messages_are_bounded_sentences(conditions: &[Condition], _: Option<i64>) -> Result<(), String> {
    each(conditions, "has a message that is empty, too long or several lines", |condition| {
        let message = &condition.message;
        !message.trim().is_empty()
            && message.chars().count() <= MAX_MESSAGE
            && !message.contains(['\n', '\r'])
    })
}

fn generations_are_current(conditions: &[Condition], generation: Option<i64>) -> Result<(), String> {
    each(conditions, "speaks of another generation", |condition| condition.observed_generation == generation)
}

/// Whether it is a CamelCase word, as `metav1.Condition` asks of a reason.
pub(crate) fn is_reason(reason: &str) -> bool {
    let mut letters = reason.bytes();
    letters.next().is_some_and(|first| first.is_ascii_uppercase())
        && letters.all(|letter| letter.is_ascii_alphanumeric())
        && reason.len() <= 128
}

fn each(conditions: &[Condition], wrong: &str, holds: impl Fn(&Condition) -> bool) -> Result<(), String> {
    match conditions.iter().find(|condition| !holds(condition)) {
        Some(condition) => Err(format!("{} {wrong}", condition.type_)),
        None => Ok(()),
    }
}

fn must(holds: bool, wrong: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::conditions::Conditions;

    fn sound() -> Vec<Condition> {
        let mut conditions = Conditions::new(&[], Some(3), Timestamp::UNIX_EPOCH);
        conditions.set(READY, false, "Progressing", "Cloning a");
        conditions.reconciling("Progressing", "Cloning a");
        conditions.finish()
    }

    #[test]
    fn every_rule_is_seen_broken() {
        type Spoil = fn(&mut Vec<Condition>);
        assert_eq!(broken(&sound(), Some(3)), Vec::<String>::new());
        let cases: [(&str, Spoil); 10] = [
            ("Ready is missing", |it| it.retain(|condition| condition.type_ != READY)),
            ("there twice", |it| it.push(it[0].clone())),
            ("unknown status", |it| it[0].status = "true".to_owned()),
            ("not true", |it| it[1].status = "False".to_owned()),
            ("together", |it| it.push(Condition { type_: STALLED.to_owned(), ..it[1].clone() })),
            ("beside", |it| it[0].status = "True".to_owned()),
            ("CamelCase", |it| it[0].reason = "in progress".to_owned()),
            ("without an advice", |it| it[0].reason = "Tomorrow".to_owned()),
            ("message", |it| it[0].message = "ø".repeat(MAX_MESSAGE + 1)),
            ("generation", |it| it[0].observed_generation = Some(2)),
        ];
        for (expected, spoil) in cases {
            let mut spoilt = sound();
            spoil(&mut spoilt);
            let found = broken(&spoilt, Some(3));
            assert!(found.iter().any(|wrong| wrong.contains(expected)), "{expected}: {found:?}");
        }
    }
}
