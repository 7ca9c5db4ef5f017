//! What an error of SSH, or of the store of secrets, means in the words of the contract.

use ssh_session::Error as SshError;
use vertskommune_provider::ProviderError;

/// What a connection failed of. `endpoint` is for people.
pub fn of_ssh(endpoint: &str, error: &SshError) -> ProviderError {
    let said = error.to_string();
    match error {
        SshError::HostKey { pinned, seen, .. } => {
            ProviderError::Misidentified { expected: pinned.clone(), found: seen.clone() }
        }
        SshError::Refused { .. } => ProviderError::CredentialsRefused,
        SshError::Denied { .. } => ProviderError::Permission(said),
        SshError::TimedOut { .. } => ProviderError::Timeout(said),
        SshError::Unreachable { .. } | SshError::Closed { .. } => {
            ProviderError::Unreachable { endpoint: endpoint.to_owned(), why: said }
        }
        SshError::Key { .. } => ProviderError::Refused(said),
        SshError::File { .. } => ProviderError::Capacity(said),
        SshError::Cancelled { .. } => ProviderError::NotPermitted(said),
        _ => ProviderError::Protocol(said),
    }
}
