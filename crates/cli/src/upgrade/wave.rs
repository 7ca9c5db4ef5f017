//! Who is in which wave of an upgrade. The name alone decides, so that nobody changes place when another joins.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use vertskommune_core::names::TenantName;

/// The most waves. The first of so many holds one tenant in 255.
const MOST: u32 = 8;

/// A wave of several, written `1/3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wave {
    pub(crate) number: u32,
    pub(crate) of: u32,
}

impl FromStr for Wave {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed =
            text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match parsed {
            Some((number, of)) if (1..=of).contains(&number) && of <= MOST => Ok(Self { number, of }),
            _ => Err(format!("write a wave and how many there are, such as 1/3, at most {MOST}")),
        }
    }
}

impl fmt::Display for Wave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.number, self.of)
    }
}

/// The wave of a tenant, of so many. Each is twice as large as the one before: of three, a seventh of all tenants is in
/// the first, two sevenths in the second and four in the third. Where the tenant stands among all is decided by the first
/// 64 bits of the SHA-256 hash of its name.
pub(crate) fn wave_of(tenant: &TenantName, of: u32) -> u32 {
    let digest = Sha256::digest(tenant.as_str().as_bytes());
    let place = digest.iter().take(8).fold(0u128, |place, byte| place << 8 | u128::from(*byte));
    let shares = (1u128 << of) - 1;
    // The shares 0, then 1 and 2, then 3 to 6 …
    (((place * shares) >> 64) + 1).ilog2() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_is_read_or_refused() {
        assert_eq!("2/3".parse(), Ok(Wave { number: 2, of: 3 }));
        for wrong in ["", "1", "0/3", "4/3", "1/9", "a/b", "1/3/5", "-1/3", "1/0"] {
            assert!(wrong.parse::<Wave>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_wave_is_twice_the_one_before() {
        let mut counts = [0u32; 3];
        for number in 0..7000 {
            let wave = wave_of(&TenantName::new(format!("tenant-{number}")), 3);
            counts[wave as usize - 1] += 1;
        }
        for (count, expected) in counts.into_iter().zip([1000u32, 2000, 4000]) {
            assert!(count.abs_diff(expected) < expected / 10, "{counts:?}");
        }
        assert_eq!(wave_of(&"ibestad".into(), 1), 1, "one wave is for all");
    }

    #[test]
    fn a_tenant_stays_where_it_is() {
        // Written down, so that another version of this program does not shuffle them.
        let waves =
            ["ibestad", "dyroy", "gratangen", "salangen", "lavangen"].map(|name| wave_of(&name.into(), 3));
        assert_eq!(waves, [2, 3, 2, 3, 3]);
    }
}
