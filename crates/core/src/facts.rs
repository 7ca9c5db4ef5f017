//! What is seen of one thing: values by name, small enough to be kept for all things of all tenants.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;

/// A path. Those that a plugin's code names cost nothing.
pub type Name = Cow<'static, str>;

/// Observed fields by path, in the order of the paths. A copy is cheap: it shares all until one is changed.
/// None of them is no list at all, so that equality is that of the values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Facts(Option<Arc<Vec<(Name, Json)>>>);

impl Facts {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn all(&self) -> &[(Name, Json)] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.all().binary_search_by(|(it, _)| it.as_ref().cmp(name))
    }

    /// The value of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.place(name).ok().and_then(|at| self.all().get(at)).map(|(_, value)| value)
    }

    /// Whether there is a value of this name.
    #[must_use]
    pub fn contains_key(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    /// All, in the order of their names.
    pub fn iter(&self) -> Iter<'_> {
        self.into_iter()
    }

    /// Puts in a value, in place of the one before.
    pub fn insert(&mut self, name: impl Into<Name>, value: impl Into<Json>) {
        let (name, value) = (name.into(), value.into());
        let place = self.place(&name);
        let all = Arc::make_mut(self.0.get_or_insert_default());
        match place {
            Ok(at) => all[at].1 = value,
            Err(at) => all.insert(at, (name, value)),
        }
    }

    /// Takes out a value.
    pub fn remove(&mut self, name: &str) -> Option<Json> {
        let at = self.place(name).ok()?;
        let (_, value) = Arc::make_mut(self.0.as_mut()?).remove(at);
        self.0.take_if(|all| all.is_empty());
        Some(value)
    }
}

impl IntoIterator for Facts {
    type Item = (Name, Json);
    type IntoIter = std::vec::IntoIter<(Name, Json)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.map(Arc::unwrap_or_clone).unwrap_or_default().into_iter()
    }
}

/// Goes through facts in the order of their names.
pub type Iter<'a> = std::iter::Map<std::slice::Iter<'a, (Name, Json)>, fn(&(Name, Json)) -> (&str, &Json)>;

impl<'a> IntoIterator for &'a Facts {
    type Item = (&'a str, &'a Json);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.all().iter().map(|(name, value)| (name.as_ref(), value))
    }
}

impl<N: Into<Name>> FromIterator<(N, Json)> for Facts {
    fn from_iter<I: IntoIterator<Item = (N, Json)>>(facts: I) -> Self {
        let mut all: Vec<(Name, Json)> =
            facts.into_iter().map(|(name, value)| (name.into(), value)).collect();
        if all.is_empty() {
            return Self::default();
        }
        // Of several values of one name the last counts, as in every other collection of this kind.
        all.reverse();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all.dedup_by(|(later, _), (first, _)| later == first);
        all.shrink_to_fit();
        Self(Some(Arc::new(all)))
    }
}

impl<N: Into<Name>, const COUNT: usize> From<[(N, Json); COUNT]> for Facts {
    fn from(facts: [(N, Json); COUNT]) -> Self {
        facts.into_iter().collect()
    }
}

impl<N: Into<Name>> Extend<(N, Json)> for Facts {
    fn extend<I: IntoIterator<Item = (N, Json)>>(&mut self, facts: I) {
        for (name, value) in facts {
            self.insert(name, value);
        }
    }
}

impl<'a> Extend<(&'a str, &'a Json)> for Facts {
    fn extend<I: IntoIterator<Item = (&'a str, &'a Json)>>(&mut self, facts: I) {
        self.extend(facts.into_iter().map(|(name, value)| (name.to_owned(), value.clone())));
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl Serialize for Facts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self)
    }
}

impl<'de> Deserialize<'de> for Facts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::<String, Json>::deserialize(deserializer).map(|all| all.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_of_a_copy_leaves_the_original_as_it_was() {
        let one = Facts::from([("b", json!(1)), ("a", json!(2))]);
        let mut other = one.clone();
        assert_eq!(one, other);
        other.insert("a", 3);
        other.insert("c", 4);
        assert_eq!(json!(one), json!({"a": 2, "b": 1}));
        assert_eq!(json!(other), json!({"a": 3, "b": 1, "c": 4}));
    }

    #[test]
    fn none_is_none_however_it_was_made() {
        let empty: [(&str, Json); 0] = [];
        assert_eq!(Facts::new(), Facts::from(empty));
        assert_eq!(serde_json::from_str::<Facts>("{}").unwrap(), Facts::new());
        assert!(Facts::new().is_empty());
    }

    proptest! {
        #[test]
        fn they_hold_what_a_map_would(
            first in prop::collection::vec(("[a-d]{0,2}", 0..9), 0..8),
            then in prop::collection::vec(("[a-d]{0,2}", 0..9), 0..8),
        ) {
            let values = |of: &[(String, i32)]| of.iter().map(|(name, it)| (name.clone(), json!(it))).collect::<Vec<_>>();
            let mut map: BTreeMap<String, Json> = values(&first).into_iter().collect();
            let mut facts: Facts = values(&first).into_iter().collect();
            map.extend(values(&then));
            facts.extend(values(&then));
            prop_assert_eq!(json!(facts), json!(map));
            prop_assert_eq!(serde_json::from_value::<Facts>(json!(map)).unwrap(), facts.clone());
            for (name, _) in first.iter().chain(&then) {
                prop_assert_eq!(facts.get(name), map.get(name));
                prop_assert!(facts.contains_key(name));
            }
            prop_assert!(!facts.contains_key("e"));
            for (name, _) in &first {
                prop_assert_eq!(facts.remove(name), map.remove(name));
            }
            prop_assert_eq!(facts, map.into_iter().collect());
        }
    }
}
