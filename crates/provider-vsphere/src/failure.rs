//! What an error of the client means in the words of the contract.

use vertskommune_provider::{Applied, ProviderError};
use vsphere_client::{Error, Fault, FaultClass, LeaseError, Outcome};

/// The error, in the words of the contract. No text of a request is in it.
pub(crate) fn provider_error(endpoint: &str, error: &Error) -> ProviderError {
    let unreachable = |why: String| ProviderError::Unreachable { endpoint: endpoint.to_owned(), why };
    match error {
        Error::Fault(fault) => of_fault(fault),
        Error::Http { status: 429 } | Error::NotSent { .. } => ProviderError::Throttled { retry_after: None },
        Error::Http { status: 401 | 403 } => ProviderError::Permission(error.to_string()),
        Error::Http { .. } | Error::Connect(_) | Error::SessionLost => unreachable(error.to_string()),
        Error::Timeout { .. } | Error::LostAnswer { .. } => ProviderError::Timeout(error.to_string()),
        Error::Protocol(why) => ProviderError::Protocol(why.clone()),
        Error::InvalidLogin { .. } => ProviderError::CredentialsRefused,
        Error::Refused(why) => ProviderError::NotPermitted(why.clone()),
        Error::Config(why) => ProviderError::Refused(why.clone()),
        other => ProviderError::Protocol(other.to_string()),
    }
}

/// The same for a fault, of a call or of a task.
pub(crate) fn of_fault(fault: &Fault) -> ProviderError {
    let text = fault.to_string();
    match fault.class() {
        FaultClass::Busy => ProviderError::Conflict(text),
        FaultClass::Capacity => ProviderError::Capacity(text),
        FaultClass::Permission => ProviderError::Permission(text),
        FaultClass::NotAuthenticated => ProviderError::CredentialsRefused,
        FaultClass::Gone => ProviderError::Conflict(format!("it is not there any more: {text}")),
        FaultClass::Duplicate => ProviderError::Refused(format!("the name is taken: {text}")),
        FaultClass::Final | FaultClass::Other => ProviderError::Refused(text),
    }
}

/// The same for an error of a lease, a download or an upload.
pub(crate) fn of_lease(endpoint: &str, error: &LeaseError) -> ProviderError {
    let text = error.to_string();
    match error {
        LeaseError::Call(error) => provider_error(endpoint, error),
        LeaseError::Failed(fault) => of_fault(fault),
        LeaseError::NotReady { .. } | LeaseError::LeaseExpired => ProviderError::Timeout(text),
        LeaseError::Ended => ProviderError::Conflict(text),
        LeaseError::Http { status, .. } if *status < 500 && *status != 429 => ProviderError::Refused(text),
        LeaseError::Connect { host, .. }
        | LeaseError::Http { host, .. }
        | LeaseError::Silent { host, .. }
        | LeaseError::Broken { host, .. } => ProviderError::Unreachable { endpoint: host.clone(), why: text },
        LeaseError::Untrusted { .. } => ProviderError::Refused(text),
        _ => ProviderError::Protocol(text),
    }
}

/// Whether the same may succeed soon without anybody's doing: vCenter is away, starting or busy.
pub(crate) fn passes(error: &ProviderError) -> bool {
    matches!(
        error,
        ProviderError::Unreachable { .. }
            | ProviderError::Timeout(_)
            | ProviderError::Throttled { .. }
            | ProviderError::Conflict(_)
            | ProviderError::NoSight(_)
    )
}

/// What became of a step whose write failed like this.
pub(crate) fn applied(endpoint: &str, error: &Error) -> Applied {
    match (provider_error(endpoint, error), error.outcome()) {
        (ProviderError::NotPermitted(why), _) => Applied::NotSent(why),
        (error, Outcome::Unknown) => Applied::Unknown(error.to_string()),
        (error, Outcome::NotDone) => Applied::Failed(error),
    }
}
