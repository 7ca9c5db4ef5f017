//! What can go wrong with a call, and whether it may have been done all the same.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::fault::FaultClass;
use crate::xml::Element;
use crate::{Mor, fault};

/// Why a call failed. Holds no password, cookie or request text.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// vCenter refused the call with a fault. See [`Fault::class`].
    #[error("vCenter answers {0}")]
    Fault(Fault),
    /// An HTTP status that is no SOAP answer, such as 503 while vCenter starts.
    #[error("vCenter answers with HTTP status {status}")]
    Http {
        /// The status.
        status: u16,
    },
    /// No connection came up: name, route, refusal or TLS. Nothing was sent.
    #[error("no connection to vCenter: {0}")]
    Connect(Cause),
    /// The call's time ran out while it waited for the client's budget. Nothing was sent.
    #[error("nothing was sent: the call waited {waited:?} for a free slot of the client")]
    NotSent {
        /// How long it waited.
        waited: Duration,
    },
    /// A read was sent and its answer did not come in time or not whole. Reads may be sent again.
    #[error("no answer to {method}: {cause}")]
    Timeout {
        /// The method that was called.
        method: &'static str,
        /// What the connection reported.
        cause: Cause,
    },
    /// A write was sent and no answer was read: **whether it was done is unknown**. Look before
    /// trying again.
    #[error("{method} was sent and its answer is lost, so it may have been done: {cause}")]
    LostAnswer {
        /// The method that was called.
        method: &'static str,
        /// What the connection reported.
        cause: Cause,
    },
    /// The answer is not what the API describes. A write may have been done.
    #[error("the answer is not as the vSphere API describes it: {0}")]
    Protocol(String),
    /// The request cannot be written: a text with a control character, or, in debug builds, an
    /// element that is out of order or newer than vCenter 7.0. Nothing was sent; final.
    #[error("nothing was sent: {0}")]
    Unsendable(String),
    /// vCenter refused user and password, now or a short while ago. No login is tried for
    /// `retry_in` unless the credentials change, as accounts lock.
    #[error("vCenter refuses user and password; the next login is tried in {retry_in:?}")]
    InvalidLogin {
        /// The rest of the pause.
        retry_in: Duration,
    },
    /// The session in which a view, a watch or the pages of a retrieval lived has ended. They
    /// have to be made anew, and what happened in between has to be read.
    #[error("the vCenter session that this view or watch lived in has ended")]
    SessionLost,
    /// The permit for writes was withdrawn just before sending. Nothing was sent.
    #[error("nothing was sent: {0}")]
    Refused(String),
    /// The configuration cannot be used: URL, CA certificates or credentials.
    #[error("the client's configuration cannot be used: {0}")]
    Config(String),
}

/// Whether the server may have done what a failed call asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not done.
    NotDone,
    /// It may have been done: look before trying again.
    Unknown,
}

impl Error {
    /// Whether the call may have been done all the same.
    pub fn outcome(&self) -> Outcome {
        match self {
            Error::LostAnswer { .. } | Error::Timeout { .. } | Error::Protocol(_) => Outcome::Unknown,
            // 5xx may come from the proxy in front of vpxd after it passed the call on.
            Error::Http { status } if *status >= 500 => Outcome::Unknown,
            _ => Outcome::NotDone,
        }
    }

    /// The fault, if vCenter answered with one.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Error::Fault(fault) => Some(fault),
            _ => None,
        }
    }

    /// The fault's class, if vCenter answered with one.
    pub fn class(&self) -> Option<FaultClass> {
        self.fault().map(Fault::class)
    }

    /// Whether the call may be sent again soon without anybody's doing: vCenter is away, starting
    /// or busy. For a write see [`Error::outcome`] as well.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Connect(_)
            | Error::NotSent { .. }
            | Error::Timeout { .. }
            | Error::LostAnswer { .. }
            | Error::SessionLost => true,
            Error::Http { status } => *status >= 500 || *status == 429,
            Error::Fault(fault) => fault.class() == FaultClass::Busy,
            _ => false,
        }
    }
}

/// What the connection reported, with its causes, and without the URL.
#[derive(Clone)]
pub struct Cause(Arc<dyn StdError + Send + Sync>);

impl Cause {
    pub(crate) fn new(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Cause(Arc::from(error.into()))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The outermost text of reqwest says only "error sending request": the causes say why.
        write!(f, "{}", self.0)?;
        let mut at = self.0.source();
        while let Some(cause) = at {
            write!(f, ": {cause}")?;
            at = cause.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cause({self})")
    }
}

/// A fault of the vim25 API, as the answer to a call, as the error of a task or as the reason why
/// a property is not readable.
#[derive(Clone, PartialEq)]
pub struct Fault {
    /// The fault's concrete type, such as `DuplicateName`.
    pub kind: Box<str>,
    /// vCenter's text in its own language, sometimes empty.
    pub message: Box<str>,
    /// The fault's fields.
    pub detail: Element,
}

impl Fault {
    /// What the fault asks for.
    pub fn class(&self) -> FaultClass {
        fault::class_of(&self.kind)
    }

    /// Whether a snapshot was not taken because the guest's file systems could not be brought to
    /// rest: VMware Tools, the guest's VSS or a script in it failed.
    pub fn is_quiesce_failure(&self) -> bool {
        matches!(&*self.kind, "ApplicationQuiesceFault" | "FilesystemQuiesceFault")
    }

    /// The object that the fault is about: the one that has the name already (`DuplicateName`),
    /// the one that is gone (`ManagedObjectNotFound`), the one without permission.
    pub fn object(&self) -> Option<Mor> {
        ["object", "obj"].iter().find_map(|field| self.detail.get(field).and_then(Element::mor))
    }

    /// Reads a `LocalizedMethodFault`: the form in `TaskInfo.error` and `missingSet`.
    pub(crate) fn localized(element: Element) -> Fault {
        let message = element.text_at("localizedMessage").unwrap_or_default().into();
        let detail = element.into_child("fault").unwrap_or_default();
        Fault { kind: detail.kind.clone(), message, detail }
    }

    /// Reads the `Fault` of a SOAP body.
    pub(crate) fn soap(element: Element) -> Fault {
        let message = element.text_at("faultstring").unwrap_or_default().into();
        let detail = element.into_child("detail").and_then(|d| d.children.into_iter().next());
        let detail = detail.unwrap_or_default();
        let kind = if detail.kind.is_empty() {
            detail.name.trim_end_matches("Fault").into()
        } else {
            detail.kind.clone()
        };
        Fault { kind, message, detail }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind.is_empty() { "an unnamed fault" } else { &self.kind };
        if self.message.is_empty() { f.write_str(kind) } else { write!(f, "{kind}: {}", self.message) }
    }
}

/// Without the detail, which is long and may repeat what was sent.
impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fault({self})")
    }
}

impl StdError for Fault {}
