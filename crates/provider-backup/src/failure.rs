//! What an error of the agent or of restic means in the words of the contract.

use restic::Error as ResticError;
use second_room::protocol::{Reason, Refusal};
use vertskommune_core::names::Installation;
use vertskommune_provider::ProviderError;

/// Why the agent does not do it.
pub(crate) fn of_refusal(installation: &Installation, refusal: Refusal) -> ProviderError {
    let said = refusal.message;
    match (refusal.reason, refusal.claimed) {
        (Reason::Claimed, Some(claim)) => ProviderError::Claimed {
            installation: installation.to_string(),
            holder: claim.holder,
            expires: claim.expires,
        },
        (Reason::Protocol | Reason::Malformed, _) => ProviderError::Protocol(said),
        (Reason::Busy | Reason::Claimed, _) => ProviderError::Conflict(said),
        (Reason::Full, _) => ProviderError::Capacity(said),
        (Reason::Command | Reason::Installation | Reason::NotOurs | Reason::Quota | Reason::Host, _) => {
            ProviderError::Refused(said)
        }
    }
}

/// Why restic does not do it. `secret` is the Secret that opens the repository.
pub(crate) fn of_restic(endpoint: &str, secret: &str, error: &ResticError) -> ProviderError {
    let said = error.to_string();
    match error {
        ResticError::Unreachable { .. } => {
            ProviderError::Unreachable { endpoint: endpoint.to_owned(), why: said }
        }
        ResticError::WrongPassword => ProviderError::Permission(format!(
            "the password of Secret {secret} does not open the repository: put the right one back, or take the escrow key"
        )),
        ResticError::NoRepository => ProviderError::NoSight("there is no repository".to_owned()),
        // The keeper shuts an account out for a moment while it thins the repository.
        ResticError::Locked(_) | ResticError::Denied { .. } => ProviderError::Conflict(said),
        ResticError::NoRoom { .. } => ProviderError::Capacity(said),
        ResticError::TimedOut { .. } => ProviderError::Timeout(said),
        ResticError::Cancelled => ProviderError::NotPermitted("the process is stopping".to_owned()),
        ResticError::Answer(_) | ResticError::Talk(_) => ProviderError::Protocol(said),
        _ => ProviderError::Refused(said),
    }
}
