//! Entries of the directory, decoded.

use std::fmt::Write as _;

use ldap3::SearchEntry;
use vertskommune_core::directory::Direction;

use crate::protocol::Kind;

/// What is read of a trustedDomain object.
pub(super) const ATTRIBUTES: &[&str] =
    &["trustPartner", "flatName", "trustDirection", "trustType", "trustAttributes", "securityIdentifier"];

/// `trustType` of a trust with another Active Directory ([MS-ADTS] 6.1.6.7.15).
const UPLEVEL: i64 = 2;

/// Flags of `trustAttributes` ([MS-ADTS] 6.1.6.7.9).
mod flag {
    pub(super) const FILTERED: u32 = 0x4;
    pub(super) const FOREST: u32 = 0x8;
    pub(super) const SELECTIVE: u32 = 0x10;
    pub(super) const WITHIN_FOREST: u32 = 0x20;
    pub(super) const AS_EXTERNAL: u32 = 0x40;
}

/// A trust as LDAP tells it. Whose it is only an agent knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TrustedDomain {
    /// The partner by its DNS name, in small letters.
    pub(crate) domain: String,
    /// The partner by its NetBIOS name; empty where it has none.
    pub(crate) netbios: String,
    /// The partner's SID, where the trust has one.
    pub(crate) sid: Option<String>,
    /// None where it is switched off.
    pub(crate) direction: Option<Direction>,
    /// The kind.
    pub(crate) kind: Kind,
    /// `trustAttributes`.
    pub(crate) attributes: u32,
    /// Whether the partner's users get in only where it is allowed.
    pub(crate) selective: bool,
    /// Whether foreign SIDs are taken out.
    pub(crate) filters_sids: bool,
}

impl TrustedDomain {
    /// Reads an entry.
    ///
    /// # Errors
    /// What every trust has cannot be read of this one: the account does not see all of it.
    pub(super) fn read(entry: &SearchEntry) -> Result<Self, String> {
        let missing = |name: &str| format!("{name} of {} cannot be read", entry.dn);
        let number = |name: &str| number(entry, name).ok_or_else(|| missing(name));
        let domain = text(entry, "trustPartner").ok_or_else(|| missing("trustPartner"))?;
        let direction = number("trustDirection")?;
        let sid = match bytes(entry, "securityIdentifier") {
            Some(_) => Some(sid(entry, "securityIdentifier").ok_or_else(|| missing("securityIdentifier"))?),
            None => None,
        };
        // A trust with a Kerberos realm may have none.
        let attributes =
            if bytes(entry, "trustAttributes").is_some() { number("trustAttributes")? } else { 0 };
        Ok(Self::of(
            domain.to_lowercase(),
            text(entry, "flatName").unwrap_or_default(),
            sid,
            (direction, number("trustType")?, attributes),
        ))
    }

    /// The same meaning of the numbers as the agents give them.
    fn of(
        domain: String,
        netbios: String,
        sid: Option<String>,
        (direction, kind, attributes): (i64, i64, i64),
    ) -> Self {
        // LDAP writes 32 bits as a signed number.
        let attributes = u32::try_from(attributes & 0xFFFF_FFFF).unwrap_or_default();
        let has = |flag: u32| attributes & flag != 0;
        let forest = has(flag::FOREST);
        let kind = match (kind == UPLEVEL, forest) {
            (true, true) => Kind::Forest,
            (true, false) if !has(flag::WITHIN_FOREST) => Kind::External,
            _ => Kind::Other,
        };
        Self {
            domain,
            netbios,
            sid,
            direction: u8::try_from(direction).ok().and_then(Direction::of),
            kind,
            attributes,
            selective: has(flag::SELECTIVE),
            // Filtering is the rule between forests and an exception between domains.
            filters_sids: if forest { !has(flag::AS_EXTERNAL) } else { has(flag::FILTERED) },
        }
    }
}

/// An attribute's first value as text.
pub(super) fn text(entry: &SearchEntry, name: &str) -> Option<String> {
    String::from_utf8(bytes(entry, name)?).ok()
}

/// An attribute's first value as a SID.
pub(super) fn sid(entry: &SearchEntry, name: &str) -> Option<String> {
    sid_of(&bytes(entry, name)?)
}

fn number(entry: &SearchEntry, name: &str) -> Option<i64> {
    text(entry, name)?.parse().ok()
}

/// An attribute's first value. What happens to be UTF-8 lies among the texts, whatever it is.
fn bytes(entry: &SearchEntry, name: &str) -> Option<Vec<u8>> {
    let is = |found: &str| found.eq_ignore_ascii_case(name);
    let text = entry.attrs.iter().find(|(found, values)| is(found) && !values.is_empty());
    let binary = entry.bin_attrs.iter().find(|(found, values)| is(found) && !values.is_empty());
    text.and_then(|(_, values)| values.first().map(|value| value.clone().into_bytes()))
        .or_else(|| binary.and_then(|(_, values)| values.first().cloned()))
}

/// A SID as it is written ([MS-DTYP] 2.4.2).
fn sid_of(bytes: &[u8]) -> Option<String> {
    let [1, count, authority @ ..] = bytes else { return None };
    let (authority, parts) = authority.split_at_checked(6)?;
    let (parts, rest) = parts.as_chunks::<4>();
    if !rest.is_empty() || parts.len() != usize::from(*count) || parts.len() > 15 {
        return None;
    }
    let authority = authority.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let mut written = format!("S-1-{authority}");
    for part in parts {
        // Writing into a text does not fail.
        let _ = write!(written, "-{}", u32::from_le_bytes(*part));
    }
    Some(written)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use serde_json::Value as Json;

    use super::*;

    fn binary(parts: &[u32]) -> Vec<u8> {
        let count = u8::try_from(parts.len()).unwrap();
        let head = [1, count, 0, 0, 0, 0, 0, 5];
        head.into_iter().chain(parts.iter().flat_map(|part| part.to_le_bytes())).collect()
    }

    /// As ldap3 sorts values: those that are UTF-8 are texts.
    fn entry(values: &[(&str, Vec<u8>)]) -> SearchEntry {
        let (mut attrs, mut bin_attrs) = (HashMap::new(), HashMap::new());
        for (name, value) in values {
            match String::from_utf8(value.clone()) {
                Ok(text) => drop(attrs.insert((*name).to_owned(), vec![text])),
                Err(_) => drop(bin_attrs.insert((*name).to_owned(), vec![value.clone()])),
            }
        }
        SearchEntry { dn: "CN=ibestad.test,CN=System,DC=host,DC=test".to_owned(), attrs, bin_attrs }
    }

    fn trust() -> Vec<(&'static str, Vec<u8>)> {
        vec![
            ("trustPartner", b"Ibestad.test".to_vec()),
            ("flatName", b"IBESTAD".to_vec()),
            ("trustDirection", b"3".to_vec()),
            ("trustType", b"2".to_vec()),
            ("trustAttributes", b"-2147483640".to_vec()),
            ("securityIdentifier", binary(&[21, 3_633_341_636, 3_194_244_548, 271_816_853])),
        ]
    }

    #[test]
    fn a_sid_is_read_or_none() {
        let rows = [
            (binary(&[21, 1, 2, 3]), Some("S-1-5-21-1-2-3")),
            (
                binary(&[21, 3_622_643_209, 1_689_644_744, 1_135_594_223]),
                Some("S-1-5-21-3622643209-1689644744-1135594223"),
            ),
            (binary(&[]), Some("S-1-5")),
            (vec![1, 1, 1, 0, 0, 0, 0, 0, 7, 0, 0, 0], Some("S-1-1099511627776-7")),
            (vec![2, 0, 0, 0, 0, 0, 0, 5], None),
            (vec![1, 1, 0, 0, 0, 0, 0, 5], None),
            (vec![1, 0, 0, 0, 0, 0, 0, 5, 0], None),
            (vec![1, 0, 0, 0], None),
            (Vec::new(), None),
        ];
        for (bytes, expected) in rows {
            assert_eq!(sid_of(&bytes).as_deref(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_sid_is_found_whether_it_is_utf_8_or_not() {
        for parts in [[21, 1, 2, 3], [21, 0xFFFF_FFFF, 2, 3]] {
            let entry = entry(&[("OBJECTSID", binary(&parts))]);
            let expected = format!("S-1-5-21-{}-2-3", parts[1]);
            assert_eq!(sid(&entry, "objectSid"), Some(expected));
        }
    }

    #[test]
    fn a_trust_is_read() {
        let read = TrustedDomain::read(&entry(&trust())).unwrap();
        assert_eq!((read.domain.as_str(), read.netbios.as_str()), ("ibestad.test", "IBESTAD"));
        assert_eq!(read.sid.as_deref(), Some("S-1-5-21-3633341636-3194244548-271816853"));
        assert_eq!((read.direction, read.kind), (Some(Direction::Both), Kind::Forest));
        assert_eq!(read.attributes, 0x8000_0008);
    }

    #[test]
    fn what_cannot_be_read_is_not_passed_over() {
        for name in ["trustPartner", "trustDirection", "trustType"] {
            let values: Vec<_> = trust().into_iter().filter(|(found, _)| *found != name).collect();
            assert!(TrustedDomain::read(&entry(&values)).unwrap_err().contains(name));
        }
        let mut values = trust();
        values[5].1.pop();
        assert!(TrustedDomain::read(&entry(&values)).unwrap_err().contains("securityIdentifier"));
        let values: Vec<_> =
            trust().into_iter().filter(|(found, _)| *found != "securityIdentifier").collect();
        assert_eq!(TrustedDomain::read(&entry(&values)).unwrap().sid, None);
    }

    #[test]
    fn numbers_mean_what_they_mean_to_the_agents() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("agents/golden/windows/trusts.json");
        let rows: Vec<Json> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for row in rows {
            let (raw, mut trust) = (&row["raw"], row["trust"].clone());
            trust["mark"] = Json::Null;
            let expected: crate::protocol::Trust = serde_json::from_value(trust).unwrap();
            let number = |name: &str| raw[name].as_i64().unwrap();
            let read = TrustedDomain::of(
                raw["partner"].as_str().unwrap().to_lowercase(),
                raw["flat"].as_str().unwrap().to_owned(),
                raw["sid"].as_str().map(str::to_owned),
                (number("direction"), number("type"), number("attributes")),
            );
            let expected = TrustedDomain {
                domain: expected.domain,
                netbios: expected.netbios,
                sid: expected.sid,
                direction: expected.direction,
                kind: expected.kind,
                attributes: expected.attributes,
                selective: expected.selective,
                filters_sids: expected.filters_sids,
            };
            assert_eq!(read, expected, "{}", row["name"]);
        }
    }
}
