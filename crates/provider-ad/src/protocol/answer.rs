//! What agents answer.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vertskommune_core::directory::Direction;

use super::{COMMAND, LONGEST_ANSWER, VERSION, words};

/// Reads answers.
pub(crate) struct Answer;

#[derive(Deserialize)]
struct Versioned {
    protocol: u32,
}

#[derive(Deserialize)]
struct Written {
    outcome: Outcome,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Done(Done),
    Refused(Refusal),
}

impl Answer {
    /// What was done, or why not.
    ///
    /// # Errors
    /// It is no answer of an agent of this version.
    pub(crate) fn read(text: &[u8]) -> Result<Result<Done, Refusal>, Unreadable> {
        if text.len() > LONGEST_ANSWER {
            return Err(Unreadable::TooLong);
        }
        let Versioned { protocol } = serde_json::from_slice(text).map_err(Unreadable::NoAnswer)?;
        if protocol != VERSION {
            return Err(Unreadable::Version(protocol));
        }
        let Written { outcome } = serde_json::from_slice(text).map_err(Unreadable::NoAnswer)?;
        Ok(match outcome {
            Outcome::Done(done) => Ok(done),
            Outcome::Refused(refusal) => Err(refusal),
        })
    }
}

/// Why something is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// Longer than the answer of any agent.
    #[error(
        "the directory agent's answer is longer than {LONGEST_ANSWER} bytes: check what its key's forced command runs"
    )]
    TooLong,
    /// No JSON, or not in the protocol's form.
    #[error(
        "the directory agent does not answer as it should: {0}; check that `{COMMAND}` is let through, and that its key's forced \
         command is the agent of this version of vertskommune"
    )]
    NoAnswer(#[source] serde_json::Error),
    /// An agent of another version.
    #[error(
        "the directory agent speaks version {0} of the protocol and this program version {VERSION}: install the same version of \
         vertskommune on both sides"
    )]
    Version(u32),
}

/// What was done or found.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub(crate) enum Done {
    /// What the controller and its domain are.
    Description(Description),
    /// All trusts of the domain.
    Trusts(List),
    /// What stands between the controller and a partner.
    Preflight(Preflight),
    /// This side stands.
    Ensured {
        /// Whether it was made, and the secret used.
        made: bool,
        /// As it stands.
        trust: Trust,
    },
    /// It is ours now.
    Adopted {
        /// As it stands.
        trust: Trust,
    },
    /// It is as it was asked for.
    Set {
        /// As it stands.
        trust: Trust,
    },
    /// What the secure channel is like.
    Verified(Verified),
    /// Whether a ticket was had.
    Probed(Probed),
    /// A new channel was tried.
    Healed {
        /// 0, or the WERROR of what could not be set up.
        code: i64,
    },
    /// Nothing of ours is left.
    Removed {
        /// Whether there was anything.
        was: bool,
    },
    /// A forwarder stands.
    Forwarder {
        /// Whether it was made.
        made: bool,
    },
    /// The claim that stands.
    Claimed(Claim),
}

/// What a controller and its domain are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the protocol's form")]
pub(crate) struct Description {
    /// The agent's own version.
    pub(crate) agent: String,
    /// `samba` or `windows`.
    pub(crate) implementation: String,
    /// The version of that.
    pub(crate) version: String,
    /// The domain by its DNS name.
    pub(crate) domain: String,
    /// The root of its forest.
    pub(crate) forest: String,
    /// The domain by its NetBIOS name.
    pub(crate) netbios: String,
    /// The domain's SID.
    pub(crate) sid: String,
    /// The controller by its DNS name.
    pub(crate) controller: String,
    /// Whether it is the PDC emulator, on which alone the agent works.
    pub(crate) is_pdc: bool,
    /// The controller's time.
    pub(crate) clock: Timestamp,
    /// Whether it makes conditional forwarders.
    pub(crate) forwarders: bool,
    /// Whether [`super::Ask::Set`] works.
    pub(crate) sets: bool,
    /// Whether the directory obeys selective authentication.
    pub(crate) selective: bool,
    /// With whom its administrators allow trusts.
    pub(crate) partners: Vec<Allowed>,
}

/// A partner that the administrators allow.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Allowed {
    /// The partner.
    pub(crate) domain: String,
    /// Which directions may be asked for; `Both` is one of its own.
    #[serde(deserialize_with = "words::read_all")]
    pub(crate) directions: Vec<Direction>,
}

/// All trusts of a domain, and what is left of others.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct List {
    /// Those that stand.
    pub(crate) trusts: Vec<Trust>,
    /// Our records without a trust.
    pub(crate) missing: Vec<Missing>,
    /// NetBIOS names of accounts whose trust is gone.
    pub(crate) orphans: Vec<String>,
    /// Of which domains other installations have records.
    pub(crate) others: Vec<Other>,
}

/// A record of another installation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Other {
    /// The partner by its DNS name.
    pub(crate) domain: String,
    /// Whose it is.
    pub(crate) installation: String,
}

/// A trust as it stands on one side.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Trust {
    /// The partner by its DNS name, in small letters.
    pub(crate) domain: String,
    /// The partner by its NetBIOS name.
    pub(crate) netbios: String,
    /// The partner's SID, where the trust has one.
    pub(crate) sid: Option<String>,
    /// None where it is switched off.
    #[serde(deserialize_with = "words::read_or_none")]
    pub(crate) direction: Option<Direction>,
    /// The kind.
    pub(crate) kind: Kind,
    /// `trustAttributes`.
    pub(crate) attributes: u32,
    /// Whether the partner's users get in only where it is allowed.
    pub(crate) selective: bool,
    /// Whether foreign SIDs are taken out.
    pub(crate) filters_sids: bool,
    /// The partner's names that the directory does not take, since another has them.
    pub(crate) names_in_conflict: Vec<String>,
    /// Our record of it; none where the installation that asks has none.
    pub(crate) mark: Option<Mark>,
}

/// The kinds of trust, with those that we never make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Between two forests.
    Forest,
    /// Between two single domains.
    External,
    /// Within the forest, with a Kerberos realm, or one that is not known here.
    #[serde(other)]
    Other,
}

/// Our record of a trust.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mark {
    /// Whose it is.
    pub(crate) tenant: String,
    /// How it became ours.
    pub(crate) origin: Origin,
    /// Whether no death left it half.
    pub(crate) whole: bool,
    /// Whether we made a forwarder with it.
    pub(crate) forwarder: bool,
    /// Since when it is ours.
    pub(crate) since: Timestamp,
}

/// How a trust became ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Origin {
    /// We made it.
    Made,
    /// It stood.
    Adopted,
}

/// A record of ours without a trust.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Missing {
    /// The partner by its DNS name.
    pub(crate) domain: String,
    /// The partner by its NetBIOS name.
    pub(crate) netbios: String,
    /// The partner's SID.
    pub(crate) sid: Option<String>,
    /// The record.
    pub(crate) mark: Mark,
}

/// What stands between a controller and a partner.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Preflight {
    /// What the controller's own DNS tells of the partner.
    pub(crate) dns: Lookup,
    /// What the partner's servers tell, asked directly.
    pub(crate) partner_dns: Vec<Asked>,
    /// The partner's controller that was looked at; none where none has an address.
    pub(crate) controller: Option<Controller>,
    /// Its ports, such as `88/udp`. Empty without a controller.
    pub(crate) ports: BTreeMap<String, Port>,
    /// By how much the partner's clock is ahead; none where it does not tell the time.
    pub(crate) clock_skew_seconds: Option<i64>,
    /// What the partner says of itself; none where it says nothing.
    pub(crate) partner: Option<Partner>,
}

/// What a DNS server tells of a domain's controllers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Lookup {
    /// What came of asking.
    pub(crate) outcome: Dns,
    /// The controllers that it tells.
    pub(crate) hosts: Vec<Host>,
}

/// The same of a server that was asked directly.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Asked {
    /// Its address.
    pub(crate) server: String,
    /// What came of asking.
    pub(crate) outcome: Dns,
    /// The controllers that it tells.
    pub(crate) hosts: Vec<Host>,
}

/// A host as DNS tells it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Host {
    /// Its name.
    pub(crate) name: String,
    /// Its addresses.
    pub(crate) addresses: Vec<String>,
}

/// What came of asking DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Dns {
    /// Hosts.
    Ok,
    /// An answer without any.
    NoAnswer,
    /// Nothing in time.
    Timeout,
    /// There is no such name.
    Nxdomain,
    /// The server cannot tell, or something that is not known here.
    #[serde(other)]
    Servfail,
}

/// A controller and the address that it was looked at by.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Controller {
    /// Its name.
    pub(crate) name: String,
    /// The address.
    pub(crate) address: String,
}

/// What a port is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Port {
    /// Somebody answers.
    Open,
    /// Nobody listens, or a firewall says so.
    Refused,
    /// Nothing in time.
    Timeout,
    /// There is no way.
    Unreachable,
    /// It cannot be told, or is something that is not known here.
    #[serde(other)]
    Unknown,
}

/// What a partner says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Partner {
    /// Its DNS name.
    pub(crate) domain: String,
    /// The root of its forest.
    pub(crate) forest: String,
    /// Its NetBIOS name.
    pub(crate) netbios: String,
}

/// What a secure channel is like.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Verified {
    /// In a word.
    pub(crate) channel: Channel,
    /// The WERROR behind it.
    pub(crate) code: i64,
    /// The partner's controller, where it tells one.
    pub(crate) controller: Option<String>,
}

/// What a secure channel is like, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Channel {
    /// It works.
    Ok,
    /// It is one of before: heal it.
    Stale,
    /// The sides have different secrets: both are made anew when the manifest asks for a new one.
    WrongSecret,
    /// The partner has no such account.
    OneSided,
    /// This side has none.
    NoSecret,
    /// Forest here, external there.
    OtherKind,
    /// The partner does not answer; also for half a minute after a start.
    Unreachable,
    /// winbindd holds another direction.
    RestartNeeded,
    /// There is no outbound way.
    NotApplicable,
    /// Something else: the code tells it.
    #[serde(other)]
    Failed,
}

/// Whether a ticket for the partner was had.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Probed {
    /// In a word.
    pub(crate) ticket: Ticket,
    /// What Kerberos said; empty where all is well.
    pub(crate) message: String,
}

/// Whether a ticket for the partner was had, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ticket {
    /// It was.
    Ok,
    /// The clocks are too far apart.
    ClockSkew,
    /// This side has no such trust.
    NoTrust,
    /// The partner has none, or the directions do not mirror.
    OneSided,
    /// The sides differ.
    WrongSecret,
    /// The partner does not answer.
    Unreachable,
    /// The partner lets this machine in nowhere.
    NotAllowed,
    /// There is no inbound way.
    NotApplicable,
    /// Something else: the message tells it.
    #[serde(other)]
    Failed,
}

/// Who writes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Claim {
    /// The process or replica.
    pub(crate) holder: String,
    /// When its claim ends.
    pub(crate) expires: Timestamp,
}

/// Why it was not done.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{message}")]
pub(crate) struct Refusal {
    /// For machines.
    pub(crate) reason: Reason,
    /// For people, with what to do.
    pub(crate) message: String,
    /// The trust that is in the way.
    #[serde(default)]
    pub(crate) found: Option<Box<Trust>>,
    /// Whose claim is in the way, with [`Reason::Claimed`].
    #[serde(default)]
    pub(crate) claimed: Option<Box<Claim>>,
    /// What the directory said, such as `0xC0000035`.
    #[serde(default)]
    pub(crate) code: Option<String>,
    /// Of the partner's names, those that are taken.
    #[serde(default)]
    pub(crate) names: Vec<String>,
}

/// Why an agent does not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reason {
    /// Another version of the protocol.
    Protocol,
    /// The request cannot be read.
    Malformed,
    /// Another command than the agent's was asked for.
    Command,
    /// The administrators do not name that installation.
    Installation,
    /// They do not allow that partner or direction.
    NotAllowed,
    /// The controller is not the PDC emulator.
    NotPdc,
    /// Another call is being carried out for too long.
    Busy,
    /// It took too long: asked again it goes on.
    TimedOut,
    /// Another holder's claim is living.
    Claimed,
    /// Settings, records or software of the controller are not as they must be.
    Host,
    /// The directory refuses: the code tells it.
    Directory,
    /// The agent's account lacks a right in the directory.
    NoRights,
    /// The directory does not reach the partner.
    PartnerUnreachable,
    /// A trust that we did not make is in the way.
    NotOurs,
    /// The trust stands for another SID.
    SidMismatch,
    /// The trust is another than was asked for.
    ConflictingTrust,
    /// Another trust has the NetBIOS name.
    NetbiosTaken,
    /// Another trust has the SID.
    SidTaken,
    /// The partner has the domain's own name.
    OwnName,
    /// The partner has the domain's own SID.
    OwnSid,
    /// An account is left of a deleted trust.
    OrphanAccount,
    /// Names of the partner are taken.
    NameCollision,
    /// There is no such trust.
    NoTrust,
    /// The trust is ours, and half.
    Unfinished,
    /// This kind of agent does not do it.
    Unsupported,
    /// One that is not known here: the message tells it.
    #[serde(other)]
    Unknown,
}
