//! Which datastore a new disk goes to. Pure.
//!
//! The choice stands in the step and so in its id. Were it "the one with most free space now", the id would change with
//! every other tenant's disk, and a step that somebody approved would never be found again. So each server has its own
//! order of the datastores, which follows from its name and the datastores' sizes alone and spreads servers over them in
//! proportion; it goes to the first that has room for all of it. The choice changes only when that one is too full, which
//! is news indeed. What others of the same plan take of it is the gate's to count: the second waits until the first is
//! there, and is then placed by what is left.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use vertskommune_core::names::ResourceId;
use vertskommune_core::observation::Capacity;

use crate::observe::datastore;

/// The datastore of `candidates` for `bytes` of this server's disks. Where none has room, the server's first choice: the
/// step then waits for it with a reason.
pub(crate) fn place<'a>(
    server: &ResourceId,
    candidates: &'a [String],
    bytes: u64,
    capacity: &BTreeMap<String, Capacity>,
) -> Option<&'a str> {
    let known = |name: &&String| capacity.contains_key(&datastore(name));
    let mut order: Vec<(&String, Capacity)> =
        candidates.iter().filter(known).map(|name| (name, capacity[&datastore(name)])).collect();
    // Weighted rendezvous: the lowest score wins, and a datastore twice as large wins twice as often.
    order.sort_by(|(a, left), (b, right)| {
        score(server, a, left.total).total_cmp(&score(server, b, right.total)).then_with(|| a.cmp(b))
    });
    let room = order.iter().find(|(_, left)| left.free >= bytes);
    room.or(order.first()).map(|(name, _)| name.as_str())
}

#[expect(clippy::cast_precision_loss, reason = "a weight need not be exact")]
fn score(server: &ResourceId, datastore: &str, total: u64) -> f64 {
    let digest = Sha256::digest(format!("{}/{}/{datastore}", server.tenant, server.key));
    let first: [u8; 8] = std::array::from_fn(|index| digest[index]);
    // Evenly between 0 and 1, neither included.
    let even = ((u64::from_be_bytes(first) >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
    -even.ln() / (total.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vertskommune_core::names::ResourceKey;

    fn id(name: &str) -> ResourceId {
        ResourceId::new(&"ibestad".into(), &"vc".into(), ResourceKey::new("server", name))
    }

    fn capacity(rows: &[(&str, u64, u64)]) -> BTreeMap<String, Capacity> {
        rows.iter()
            .map(|(name, free, total)| (datastore(name), Capacity { free: *free, total: *total }))
            .collect()
    }

    #[test]
    fn the_choice_stays_while_there_is_room() {
        let names = ["a".to_owned(), "b".to_owned()];
        for server in ["s1", "s2", "s3", "s4"] {
            let chosen = place(&id(server), &names, 10, &capacity(&[("a", 100, 100), ("b", 100, 100)]));
            for (a, b) in [(10, 100), (100, 10), (50, 51)] {
                assert_eq!(
                    place(&id(server), &names, 10, &capacity(&[("a", a, 100), ("b", b, 100)])),
                    chosen
                );
            }
        }
    }

    #[test]
    fn a_full_datastore_is_passed_over_and_an_unknown_one_never_taken() {
        let names = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        for (a, b, chosen) in [(5, 50, "b"), (50, 5, "a")] {
            assert_eq!(place(&id("s"), &names, 10, &capacity(&[("a", a, 100), ("b", b, 100)])), Some(chosen));
        }
        assert_eq!(place(&id("s"), &names, 10, &BTreeMap::new()), None);
    }

    #[test]
    fn servers_spread_by_size() {
        let names = ["small".to_owned(), "large".to_owned()];
        let capacity = capacity(&[("small", 1 << 40, 1 << 40), ("large", 3 << 40, 3 << 40)]);
        let large =
            (0..400).filter(|n| place(&id(&format!("s{n}")), &names, 1, &capacity) == Some("large")).count();
        assert!((250..350).contains(&large), "{large} of 400");
    }
}
