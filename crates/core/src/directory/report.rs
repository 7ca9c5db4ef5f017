//! What is to be said of a tenant's trust.

use serde::{Deserialize, Serialize};

use super::health::{Verdict, Which, judge};
use super::{Direction, Directory, TrustKind};
use crate::names::TenantName;
use crate::observation::{Blindness, Observation};
use crate::reason::Reason;

/// What is to be said of a tenant's trust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The tenant's domain.
    pub domain: String,
    /// The direction that the manifest asks for, as the host's directory has it.
    pub direction: Direction,
    /// The kind that it asks for.
    pub kind: TrustKind,
    /// What it is worth.
    pub verdict: Verdict,
    /// What the tenant's administrators have to run, where they make its side themselves and it is not known to stand.
    pub todo: Vec<String>,
}

impl Report {
    /// The verdict as a CamelCase word.
    pub fn word(&self) -> &str {
        match &self.verdict {
            Verdict::Valid => Reason::Valid.word(),
            Verdict::Troubled(problems) => {
                problems.first().map_or(Reason::Troubled.word(), |problem| problem.word())
            }
            Verdict::OurSideOnly => Reason::WaitingForPartner.word(),
            Verdict::NotMade => Reason::NotMade.word(),
            Verdict::Unknown(_, why) => why.word(),
        }
    }

    /// All that is to be said of it, in one line.
    pub fn line(&self) -> String {
        match &self.verdict {
            Verdict::Valid => format!("The trust with {} is valid, {}", self.domain, self.direction),
            Verdict::Troubled(problems) => {
                let all: Vec<_> = problems.iter().map(ToString::to_string).collect();
                crate::render::capital(&all.join("; "))
            }
            Verdict::OurSideOnly => format!(
                "The host's side stands; {}'s administrators make the other, and nothing shows yet that they have",
                self.domain
            ),
            Verdict::NotMade => format!("There is no trust with {} yet", self.domain),
            Verdict::Unknown(which, Blindness::Incomplete(why)) => {
                format!("Whether the trust with {} works is not known: on {which}'s side {why}", self.domain)
            }
            Verdict::Unknown(which, why) => {
                crate::render::capital(&format!("{which}'s directory is not seen: {why}"))
            }
        }
    }

    /// Whether nothing was seen yet, as after a start: then what was said before still stands.
    pub fn is_not_yet_observed(&self) -> bool {
        matches!(self.verdict, Verdict::Unknown(_, Blindness::NotYetObserved))
    }
}

/// Judges the trust of a tenant. `seen` is what was seen of the provider that it names; nothing where there is no such
/// provider, or where it is none for directories.
pub fn report(wanted: &Directory, tenant: &TenantName, seen: Option<&Observation>) -> Report {
    let unknown = |why| Verdict::Unknown(Which::Host, why);
    let signals = seen.and_then(|seen| seen.trusts.get(tenant));
    let verdict = match (seen, signals) {
        (None, _) => unknown(Blindness::NoSight(format!(
            "{} is no provider of directories that could be asked: see its status",
            wanted.provider
        ))),
        (Some(seen), _) if seen.coverage.blind.is_some() => {
            unknown(seen.coverage.blind.clone().unwrap_or(Blindness::NotYetObserved))
        }
        (Some(_), None) => unknown(Blindness::NotYetObserved),
        (Some(_), Some(signals)) => judge(wanted, signals),
    };
    let todo = match verdict {
        Verdict::Valid => Vec::new(),
        _ => signals.map(|signals| signals.todo.clone()).unwrap_or_default(),
    };
    Report { domain: wanted.domain.clone(), direction: wanted.direction(), kind: wanted.kind, verdict, todo }
}
