//! The trust between a tenant's Active Directory and the host's, as its manifest asks for it.
//!
//! What makes a trust lives in a plugin. Directions stand here as people think of them, whose users reach whose services; how the
//! field says that is [`Directory::direction`].

pub mod health;
pub mod report;

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use health::{Signals, Verdict};
pub use report::{Report, report};

use crate::names::ProviderName;

/// The trust of one tenant with the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// The `HostProvider` of the host's directory.
    pub provider: ProviderName,
    /// The tenant's domain by its DNS name, in lower case. With a forest trust it is the root of the forest.
    pub domain: String,
    /// The same by its NetBIOS name, in upper case.
    pub netbios: String,
    /// Its SID, where the manifest pins it. It has to where nobody of ours is there to tell it.
    #[serde(default)]
    pub sid: Option<String>,
    /// The kind of trust.
    pub kind: TrustKind,
    /// How the tenant's users reach the host's services; none where they do not.
    pub to_host: Option<Access>,
    /// How the host's users reach the tenant's services; none where they do not.
    pub to_tenant: Option<Access>,
    /// The tenant's domain controllers by their DNS names, in order of preference.
    pub controllers: Vec<String>,
    /// The DNS servers that know the tenant's domain, in order of preference.
    pub dns: Vec<IpAddr>,
    /// Who makes the tenant's side.
    pub partner: Partner,
    /// A trust whose secret was made before this is made anew with another.
    #[serde(default)]
    pub new_secret_after: Option<Timestamp>,
    /// It may be made anew outside of the windows until then.
    #[serde(default)]
    pub restart_before: Option<Timestamp>,
}

impl Directory {
    /// Whether an agent of ours makes the tenant's side.
    pub fn has_agent(&self) -> bool {
        matches!(self.partner, Partner::Agent { .. })
    }

    /// The direction as it stands in the host's directory.
    pub fn direction(&self) -> Direction {
        match (&self.to_host, &self.to_tenant) {
            (Some(_), Some(_)) => Direction::Both,
            (Some(_), None) => Direction::Outbound,
            // Validation asks for one of the two.
            (None, _) => Direction::Inbound,
        }
    }
}

/// The kinds of trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TrustKind {
    /// Between two forests: all of their domains, by Kerberos.
    Forest,
    /// Between two single domains.
    External,
}

/// The direction of a trust as a directory's own side of it says: who is trusted, not who gets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Direction {
    /// The other trusts this one: this one's users reach the other's services.
    Inbound,
    /// This one trusts the other: the other's users reach this one's services.
    Outbound,
    /// Each trusts the other.
    Both,
}

impl Direction {
    /// `trustDirection` of a trustedDomain object ([MS-ADTS] 6.1.6.7.12).
    pub fn number(self) -> u8 {
        match self {
            Self::Inbound => 1,
            Self::Outbound => 2,
            Self::Both => 3,
        }
    }

    /// The direction that this number stands for; none for a trust that is switched off.
    pub fn of(number: u8) -> Option<Self> {
        [Self::Inbound, Self::Outbound, Self::Both].into_iter().find(|direction| direction.number() == number)
    }

    /// The same trust, seen from the other side.
    #[must_use]
    pub fn mirrored(self) -> Self {
        match self {
            Self::Inbound => Self::Outbound,
            Self::Outbound => Self::Inbound,
            Self::Both => Self::Both,
        }
    }

    /// Whether this side lets the other's users in.
    pub fn lets_in(self) -> bool {
        self != Self::Inbound
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Both => "both ways",
        })
    }
}

/// How the users of one side reach the services of the other. It is the side with the services that holds all of this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Users get in nowhere but where `allowed` says.
    pub selective: bool,
    /// Identities that are none of the trusted domain's own are taken out of what its users bring.
    pub filters_sids: bool,
    /// The computers that let the others' users in where authentication is selective, in upper case.
    pub allowed: Vec<String>,
}

/// Who makes the tenant's side of the trust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Partner {
    /// Our agent on the tenant's domain controller does.
    Agent {
        /// Where it is reached, such as `ssh://10.13.10.5:22`.
        endpoint: String,
        /// That host's key, as in a `known_hosts` file.
        identity: String,
        /// The Secret with the key that it lets in.
        secret: String,
    },
    /// The tenant's own administrators do.
    Manual {
        /// The Secret with what both administrations have agreed on as the trust's secret. Used at a creation alone.
        secret: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direction_is_seen_the_other_way_round_from_the_other_side() {
        for direction in [Direction::Inbound, Direction::Outbound, Direction::Both] {
            assert_eq!(Direction::of(direction.number()), Some(direction));
            assert_eq!(direction.mirrored().mirrored(), direction);
            // Who lets the other's users in is trusted by nobody for that.
            assert_eq!(direction.lets_in(), direction.number() & 2 != 0);
            assert_eq!(direction.mirrored().lets_in(), direction.number() & 1 != 0);
        }
        assert_eq!((Direction::of(0), Direction::of(4)), (None, None));
    }
}
