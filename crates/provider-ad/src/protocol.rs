//! What the directory agents are asked and what they answer, version 1: one JSON document on an agent's standard input, one on its
//! standard output. Types alone; who asks, and over what, is `agent`'s.
//!
//! A request has exactly these fields, since an agent refuses all that it does not know. Of an answer what is not known is passed
//! over: a newer agent may tell more.

mod answer;
mod secret;
#[cfg(test)]
mod tests;
mod words;

use std::net::IpAddr;

use jiff::Timestamp;
use serde::Serialize;
use vertskommune_core::directory::{Direction, TrustKind};

pub(crate) use answer::*;
pub(crate) use secret::{Secret, wipe};

/// The version of the protocol. An agent compares it before it reads anything else.
pub(crate) const VERSION: u32 = 1;

/// The command to ask for over SSH. The controller runs the agent whatever is asked, and the agent refuses all but this.
pub(crate) const COMMAND: &str = "vertskommune directory agent";

/// The longest answer that is taken, in bytes: some thousand trusts.
pub(crate) const LONGEST_ANSWER: usize = 4 << 20;

/// The longest request that an agent takes, in bytes: nothing is written anew in memory below it, so that one copy is to be wiped.
const LONGEST_REQUEST: usize = 64 << 10;

/// What an agent is asked.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(PartialEq, Eq, serde::Deserialize), serde(deny_unknown_fields))]
pub(crate) struct Request {
    protocol: u32,
    installation: String,
    ask: Ask,
}

/// An operation. Each touches the agent's own side alone.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[cfg_attr(test, derive(PartialEq, Eq, serde::Deserialize), serde(deny_unknown_fields))]
pub(crate) enum Ask {
    /// What the controller and its domain are: [`Done::Description`].
    Describe {},
    /// All trusts of the domain, whoever made them: [`Done::Trusts`].
    List {},
    /// What stands between the controller and a partner: [`Done::Preflight`].
    Preflight {
        /// The partner.
        domain: String,
        /// Servers that are to know it, at most 8.
        dns_servers: Vec<IpAddr>,
        /// Its controllers, at most 16.
        controllers: Vec<String>,
    },
    /// Makes this side, or makes it anew: [`Done::Ensured`].
    Ensure(Ensure),
    /// Takes an equal trust that somebody else made as ours: [`Done::Adopted`].
    Adopt {
        /// Whose it becomes.
        tenant: String,
        /// The partner.
        domain: String,
        /// Its SID.
        sid: String,
        /// As it stands.
        #[serde(serialize_with = "words::write")]
        #[cfg_attr(test, serde(deserialize_with = "words::read"))]
        direction: Direction,
        /// As it stands.
        kind: Kind,
    },
    /// Changes what can be changed in place: [`Done::Set`]. Samba refuses it.
    Set {
        /// Whose it is.
        tenant: String,
        /// The partner.
        domain: String,
        /// Whether the partner's users get in only where it is allowed.
        selective: bool,
        /// Whether foreign SIDs are taken out.
        filters_sids: bool,
    },
    /// The secure channel, of the outbound way: [`Done::Verified`].
    Verify {
        /// The partner.
        domain: String,
    },
    /// A ticket for the partner's controller, of the inbound way: [`Done::Probed`].
    Probe {
        /// The partner.
        domain: String,
        /// Its controller.
        controller: String,
    },
    /// Sets up a new secure channel: [`Done::Healed`].
    Heal {
        /// The partner.
        domain: String,
    },
    /// Removes this side, and all that belongs to it: [`Done::Removed`].
    Remove {
        /// Whose it is.
        tenant: String,
        /// The partner.
        domain: String,
        /// Its SID.
        sid: String,
    },
    /// Makes a conditional forwarder for the partner's names: [`Done::Forwarder`]. Samba refuses it.
    Forward {
        /// Whose it is.
        tenant: String,
        /// The partner.
        domain: String,
        /// The servers that know it, at most 8.
        dns_servers: Vec<IpAddr>,
    },
    /// Takes or renews the claim of the installation's one writer: [`Done::Claimed`].
    Claim {
        /// Who writes.
        holder: String,
        /// Until when, unless it is renewed.
        expires: Timestamp,
        /// Whether a living claim of another holder is taken over.
        take_over: bool,
    },
}

/// How one side is to be.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(PartialEq, Eq, serde::Deserialize), serde(deny_unknown_fields))]
#[expect(clippy::struct_excessive_bools, reason = "the protocol's form")]
pub(crate) struct Ensure {
    /// Whose it is.
    pub(crate) tenant: String,
    /// The partner by its DNS name.
    pub(crate) domain: String,
    /// The partner by its NetBIOS name.
    pub(crate) netbios: String,
    /// The partner's SID.
    pub(crate) sid: String,
    /// As it stands on this side.
    #[serde(serialize_with = "words::write")]
    #[cfg_attr(test, serde(deserialize_with = "words::read"))]
    pub(crate) direction: Direction,
    /// Forest or external.
    pub(crate) kind: Kind,
    /// Whether the partner's users get in only where it is allowed.
    pub(crate) selective: bool,
    /// Whether foreign SIDs are taken out.
    pub(crate) filters_sids: bool,
    /// What both sides get.
    pub(crate) secret: Secret,
    /// Whether one of ours that stands is removed first.
    pub(crate) anew: bool,
    /// Whether the account that a deleted trust left is removed, if our record does not tell of it.
    pub(crate) remove_orphan: bool,
}

impl Request {
    /// A request of this version.
    pub(crate) fn new(installation: &str, ask: Ask) -> Self {
        Self { protocol: VERSION, installation: installation.to_owned(), ask }
    }

    /// The request as the agent reads it, in one line. There may be a secret in it: [`wipe`] it when it is sent.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut line = Vec::with_capacity(LONGEST_REQUEST);
        // What is written has only text for keys, and memory does not refuse: it cannot fail.
        let _ = serde_json::to_writer(&mut line, self);
        line.push(b'\n');
        line
    }
}

impl From<TrustKind> for Kind {
    fn from(kind: TrustKind) -> Self {
        match kind {
            TrustKind::Forest => Self::Forest,
            TrustKind::External => Self::External,
        }
    }
}
