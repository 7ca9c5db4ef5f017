//! What an agent's refusal means in the words of the contract.

use vertskommune_core::names::Installation;
use vertskommune_core::reason::Reason as Known;
use vertskommune_provider::ProviderError;

use crate::protocol::{Reason, Refusal};

/// Why asking did not lead to what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AskError {
    /// No answer was had.
    #[error(transparent)]
    Failed(#[from] ProviderError),
    /// The agent answers that it does not do it.
    #[error("{0}")]
    Refused(Refusal),
}

/// The reason of a refusal as a word for people's machines, where it is the directory's and not the call's.
pub(crate) fn word(reason: Reason) -> Option<&'static str> {
    let known = match reason {
        Reason::NotAllowed | Reason::Installation => Known::PartnerNotAllowed,
        Reason::NotPdc => Known::NotPdc,
        Reason::NotOurs | Reason::ConflictingTrust => Known::ConflictingTrust,
        Reason::SidMismatch => Known::SidMismatch,
        Reason::NetbiosTaken => Known::NetbiosNameTaken,
        Reason::SidTaken => Known::SidTaken,
        Reason::OwnName => Known::OwnName,
        Reason::OwnSid => Known::OwnSid,
        Reason::OrphanAccount => Known::OrphanAccount,
        Reason::NameCollision => Known::NameCollision,
        Reason::NoRights => Known::NoRights,
        Reason::PartnerUnreachable => Known::PartnerUnreachable,
        Reason::Host | Reason::Directory => Known::DirectoryRefuses,
        _ => return None,
    };
    Some(known.word())
}

/// Why the agent does not do it.
pub(crate) fn of_refusal(installation: &Installation, refusal: Refusal) -> ProviderError {
    let said = match &refusal.code {
        Some(code) if !refusal.message.contains(code.as_str()) => format!("{} ({code})", refusal.message),
        _ => refusal.message,
    };
    match (refusal.reason, refusal.claimed) {
        (Reason::Claimed, Some(claim)) => ProviderError::Claimed {
            installation: installation.to_string(),
            holder: claim.holder,
            expires: claim.expires,
        },
        (Reason::Busy | Reason::Claimed, _) => ProviderError::Conflict(said),
        (Reason::TimedOut, _) => ProviderError::Timeout(said),
        (Reason::Protocol | Reason::Malformed, _) => ProviderError::Protocol(said),
        (Reason::NoRights, _) => ProviderError::Permission(said),
        // Whatever it is asked, so that nothing of it is seen either.
        (Reason::NotPdc, _) => ProviderError::NotServed { reason: Known::NotPdc, why: said },
        (Reason::Installation, _) => ProviderError::NotServed { reason: Known::PartnerNotAllowed, why: said },
        _ => ProviderError::Refused(said),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn each_refusal_has_its_word() {
        let installation = Installation::from("nord");
        let claimed = json!({
            "reason": "claimed", "message": "no", "claimed": {"holder": "a", "expires": "2026-11-29T04:35:46Z"},
        });
        for (refusal, expected) in [
            (
                claimed,
                ProviderError::Claimed {
                    installation: "nord".to_owned(),
                    holder: "a".to_owned(),
                    expires: "2026-11-29T04:35:46Z".parse().unwrap(),
                },
            ),
            (json!({"reason": "claimed", "message": "no"}), ProviderError::Conflict("no".to_owned())),
            (json!({"reason": "busy", "message": "no"}), ProviderError::Conflict("no".to_owned())),
            (json!({"reason": "timed-out", "message": "no"}), ProviderError::Timeout("no".to_owned())),
            (json!({"reason": "malformed", "message": "no"}), ProviderError::Protocol("no".to_owned())),
            (json!({"reason": "no-rights", "message": "no"}), ProviderError::Permission("no".to_owned())),
            (
                json!({"reason": "not-pdc", "message": "no"}),
                ProviderError::NotServed { reason: Known::NotPdc, why: "no".to_owned() },
            ),
            (
                json!({"reason": "installation", "message": "no"}),
                ProviderError::NotServed { reason: Known::PartnerNotAllowed, why: "no".to_owned() },
            ),
            (json!({"reason": "of tomorrow", "message": "no"}), ProviderError::Refused("no".to_owned())),
            (
                json!({"reason": "directory", "message": "no", "code": "0xC0000035"}),
                ProviderError::Refused("no (0xC0000035)".to_owned()),
            ),
        ] {
            let refusal: Refusal = from_value(refusal).unwrap();
            assert_eq!(of_refusal(&installation, refusal), expected);
        }
    }
}
