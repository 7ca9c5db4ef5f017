//! What the domain's administrators allow: which partners, and which directions with each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use vertskommune_core::names::{Installation, is_domain_name, is_label};

/// The direction of a trust as the agents' protocol writes it, seen from the directory of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// The partner trusts this directory.
    Inbound,
    /// This directory trusts the partner.
    Outbound,
    /// Each trusts the other.
    Both,
}

impl Way {
    const ALL: [Self; 3] = [Self::Inbound, Self::Outbound, Self::Both];

    fn word(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Both => "both",
        }
    }
}

/// A partner with the directions that a trust with it may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partner {
    domain: String,
    ways: BTreeSet<Way>,
}

/// It is no partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPartner {
    /// Not DOMAIN=DIRECTION.
    Form,
    /// Not a DNS name as the agents take it.
    Domain,
    /// None of the directions.
    Direction,
}

impl fmt::Display for BadPartner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "write the partner's domain and a direction, such as ibestad.test=both",
            Self::Domain => {
                "the domain is a DNS name of two labels or more, of lower-case letters, digits and hyphens, such as ibestad.test"
            }
            Self::Direction => "the direction is inbound, outbound or both, or several of them with commas",
        })
    }
}

impl std::error::Error for BadPartner {}

impl FromStr for Partner {
    type Err = BadPartner;

    fn from_str(text: &str) -> Result<Self, BadPartner> {
        let (domain, ways) = text.split_once('=').ok_or(BadPartner::Form)?;
        if !is_domain_name(domain) {
            return Err(BadPartner::Domain);
        }
        let way = |word: &str| Way::ALL.into_iter().find(|way| way.word() == word);
        let ways =
            ways.split(',').map(|word| way(word).ok_or(BadPartner::Direction)).collect::<Result<_, _>>()?;
        Ok(Self { domain: domain.to_owned(), ways })
    }
}

/// What the domain's administrators allow: the file that the agent reads at every call. Its text is the file's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowList {
    installations: BTreeMap<String, Allowed>,
}

/// What one installation may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowed {
    partners: BTreeMap<String, BTreeSet<Way>>,
}

/// It is no such file. The agent would refuse every call by it.
#[derive(Debug)]
pub struct BadAllowList(Option<serde_json::Error>);

impl fmt::Display for BadAllowList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is not of the form that the agent takes, or names an installation or a domain that cannot be one")
    }
}

impl std::error::Error for BadAllowList {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.as_ref().map(|error| error as _)
    }
}

impl AllowList {
    /// These partners for one installation. A partner that is named twice has the directions of both.
    pub fn new(installation: &Installation, partners: impl IntoIterator<Item = Partner>) -> Self {
        let mut allowed = Allowed::default();
        for Partner { domain, ways } in partners {
            allowed.partners.entry(domain).or_default().extend(ways);
        }
        Self { installations: BTreeMap::from([(installation.as_str().to_owned(), allowed)]) }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// Where the agent would not take it.
    pub fn parse(text: &str) -> Result<Self, BadAllowList> {
        let list: Self = serde_json::from_str(text).map_err(|error| BadAllowList(Some(error)))?;
        let formed = list.installations.iter().all(|(name, allowed)| {
            name.len() <= 63 && is_label(name) && allowed.partners.keys().all(|domain| is_domain_name(domain))
        });
        if formed { Ok(list) } else { Err(BadAllowList(None)) }
    }

    /// What of the other list this one does not allow. Empty where it allows all.
    #[must_use]
    pub fn lacks(&self, other: &Self) -> Self {
        let mut lacking = Self::default();
        for (installation, wanted) in &other.installations {
            let there = self.installations.get(installation);
            let mut partners = BTreeMap::new();
            for (domain, ways) in &wanted.partners {
                let has = there.and_then(|there| there.partners.get(domain)).cloned().unwrap_or_default();
                let ways: BTreeSet<Way> = ways.difference(&has).copied().collect();
                if !ways.is_empty() {
                    partners.insert(domain.clone(), ways);
                }
            }
            if !partners.is_empty() || there.is_none() {
                lacking.installations.insert(installation.clone(), Allowed { partners });
            }
        }
        lacking
    }

    /// Whether it allows nothing.
    pub fn is_empty(&self) -> bool {
        self.installations.is_empty()
    }
}

impl fmt::Display for AllowList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string_pretty(self).map_err(|_| fmt::Error)?;
        writeln!(f, "{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(partners: &[&str]) -> AllowList {
        AllowList::new(&"nord".into(), partners.iter().map(|text| text.parse().unwrap()))
    }

    #[test]
    fn a_partner_is_a_domain_and_its_directions() {
        let both = Partner { domain: "ibestad.test".to_owned(), ways: [Way::Both].into() };
        assert_eq!("ibestad.test=both".parse(), Ok(both));
        let two = "a-1.b.test=outbound,both".parse::<Partner>().map(|partner| partner.ways);
        assert_eq!(two, Ok([Way::Outbound, Way::Both].into()));
        let long = format!("{}.test=both", "a".repeat(64));
        for (wrong, why) in [
            ("", BadPartner::Form),
            ("ibestad.test", BadPartner::Form),
            ("=both", BadPartner::Domain),
            ("ibestad=both", BadPartner::Domain),
            ("Ibestad.test=both", BadPartner::Domain),
            ("ibestad.test.=both", BadPartner::Domain),
            ("*.test=both", BadPartner::Domain),
            ("10.0.0.1=both", BadPartner::Domain),
            ("ibe\"stad.test=both", BadPartner::Domain),
            (&long, BadPartner::Domain),
            ("ibestad.test=", BadPartner::Direction),
            ("ibestad.test=Both", BadPartner::Direction),
            ("ibestad.test=both,", BadPartner::Direction),
            ("ibestad.test=both=both", BadPartner::Direction),
        ] {
            assert_eq!(wrong.parse::<Partner>(), Err(why), "{wrong:?}");
        }
    }

    #[test]
    fn the_list_is_what_the_agents_read() {
        let text = list(&["ibestad.test=both", "a.test=inbound", "ibestad.test=outbound"]).to_string();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let wanted = serde_json::json!({"installations": {"nord": {"partners": {
            "a.test": ["inbound"], "ibestad.test": ["outbound", "both"]
        }}}});
        assert_eq!(value, wanted);
        assert!(text.ends_with("}\n"));
        assert_eq!(AllowList::parse(&text).unwrap().to_string(), text);
    }

    #[test]
    fn what_no_agent_takes_is_no_list() {
        for wrong in [
            "",
            "[]",
            "{}",
            r#"{"installations":[]}"#,
            r#"{"installations":{"nord":{}}}"#,
            r#"{"installations":{"Nord":{"partners":{}}}}"#,
            r#"{"installations":{"nord":{"partners":{"ibestad":["both"]}}}}"#,
            r#"{"installations":{"nord":{"partners":{"a.test":["all"]}}}}"#,
            r#"{"installations":{},"more":1}"#,
        ] {
            assert!(AllowList::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_what_a_list_lacks_is_lacking() {
        let wanted = list(&["ibestad.test=outbound,both", "a.test=both"]);
        for (there, lacking) in [
            (wanted.clone(), AllowList::default()),
            (
                list(&["ibestad.test=inbound,outbound,both", "a.test=both", "b.test=both"]),
                AllowList::default(),
            ),
            (list(&["ibestad.test=both"]), list(&["ibestad.test=outbound", "a.test=both"])),
            (AllowList::default(), wanted.clone()),
        ] {
            assert_eq!(there.lacks(&wanted), lacking, "{there}");
        }
        assert!(
            !AllowList::default().lacks(&list(&[])).is_empty(),
            "an installation that is not named is refused"
        );
    }
}
