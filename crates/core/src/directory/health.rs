//! Whether a trust works, by what both of its sides show: the three signals (both sides stand, the secure channel, a ticket), and the
//! one reason that explains the others where it does not.
//!
//! The signals differ: with clocks 15 minutes apart the channel is well and no ticket is had; after a new creation the channel is
//! broken and tickets are had. So none stands for another, and what hinders a look is told before what the look would have shown.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Direction, Directory, TrustKind};
use crate::observation::Blindness;
use crate::reason::Reason;

/// How far two clocks may be apart, in seconds. Kerberos takes 300; a little less, so that it is told before it breaks.
pub const CLOCKS_APART: i64 = 240;

/// What is known of a tenant's trust.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signals {
    /// The host's side.
    pub host: End,
    /// The tenant's side; its parts are unknown where nobody of ours looks there.
    pub tenant: End,
    /// The way from the host to the tenant's domain controllers.
    pub way: Option<Way>,
    /// The SID of the tenant's domain, where it is pinned or was told.
    pub sid: Option<String>,
    /// The SID of the host's domain.
    pub host_sid: Option<String>,
    /// What a side refused when it was last asked to make the trust.
    pub refusal: Option<Refused>,
    /// What the tenant's administrators have to run, where they make its side themselves.
    pub todo: Vec<String>,
}

/// What a directory refuses, which no look at it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The side that refuses.
    pub by: Which,
    /// Why, as a CamelCase word.
    pub reason: String,
    /// The same for people, with what would help.
    pub message: String,
}

/// What one side shows of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Whether its directory was seen, and what it has.
    pub object: Looked<Object>,
    /// The secure channel to the other side, where this one lets the other's users in.
    pub channel: Option<Channel>,
    /// Whether a ticket for a service of the other side was had here, where the other lets this one's users in.
    pub ticket: Option<Ticket>,
    /// Whether an account that a deleted trust left stands in the way.
    pub has_orphan: bool,
    /// What its directory can do.
    pub can: Abilities,
}

/// What a directory can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abilities {
    /// Its DNS has forwarders for single domains.
    pub forwards: bool,
    /// It changes how authentication goes over a trust that stands.
    pub sets: bool,
    /// It obeys selective authentication.
    pub selects: bool,
}

/// What a look at one thing has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Looked<T> {
    /// Nobody has looked yet, or nobody of ours can.
    #[default]
    Never,
    /// It could not be seen, for this reason.
    Blind(Blindness),
    /// It is not there.
    Absent,
    /// It is there.
    Present(T),
}

impl<T> Looked<T> {
    /// What is there.
    pub fn present(&self) -> Option<&T> {
        match self {
            Self::Present(present) => Some(present),
            Self::Never | Self::Blind(_) | Self::Absent => None,
        }
    }
}

/// A trust as one directory has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// The partner's identity.
    pub sid: String,
    /// Which way; none where it is switched off.
    pub direction: Option<Direction>,
    /// Its kind; none where it is another than ours.
    pub kind: Option<TrustKind>,
    /// Whether the partner's users get in nowhere but where they are allowed to.
    pub selective: bool,
    /// Names of the partner's that another trust, or the directory itself, has already: they are not followed.
    pub conflicts: Vec<String>,
}

/// A secure channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Channel {
    /// It stands.
    Well,
    /// It is the one of a trust that was deleted: the agent can have it made anew.
    Stale,
    /// The other side has another secret.
    WrongSecret,
    /// The other side has no such account.
    NoPartner,
    /// Another reason, in a sentence.
    Failed(String),
}

/// Whether a ticket was had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ticket {
    /// It was.
    Had,
    /// The other side has no such trust, or its direction is not the mirror of this one's.
    NoPartner,
    /// It was not, and why.
    Refused(String),
}

/// The way from one side to the other's domain controllers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// What the host's own DNS says of the tenant's domain.
    pub dns: Dns,
    /// What the tenant's DNS servers say when they are asked themselves.
    pub their_dns: Dns,
    /// The ports that do not answer, such as `88/udp`.
    pub closed: BTreeSet<String>,
    /// How far the tenant's clock is ahead, in seconds.
    pub skew: Option<i64>,
}

/// What came of asking DNS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Dns {
    /// It names domain controllers.
    #[default]
    Answers,
    /// It answers, and names none.
    NamesNone,
    /// It did not answer in time.
    Silent,
}

/// Which side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Which {
    /// The host's.
    Host,
    /// The tenant's.
    Tenant,
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Host => "the host",
            Self::Tenant => "the tenant",
        })
    }
}

/// Why a trust does not work, or not for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Problem {
    /// The host's DNS knows no domain controller of the tenant's domain, though the tenant's own does.
    NotForwarded,
    /// The tenant's own DNS servers name no domain controller of its domain.
    DnsNamesNone,
    /// The tenant's DNS servers do not answer.
    DnsSilent,
    /// These ports of the tenant's domain controllers do not answer.
    PortsClosed(BTreeSet<String>),
    /// The clocks are so many seconds apart; the tenant's is ahead where it is positive.
    ClockSkew(i64),
    /// The trust of that name is with another domain than the one that answers.
    SidMismatch,
    /// One side has it, and this one has not.
    OneSided {
        /// The side without it.
        missing: Which,
    },
    /// The sides do not mirror each other.
    NotMirrored {
        /// The host's direction.
        host: Direction,
        /// The tenant's, seen from its side.
        tenant: Direction,
    },
    /// One side has a forest trust and the other an external one.
    TypeMismatch,
    /// It is another trust than the manifest asks for.
    Conflicting(Which),
    /// The account that a deleted trust left stands in the way.
    OrphanAccount(Which),
    /// Names of the partner's are another's already on this side.
    NamesInConflict(Which, Vec<String>),
    /// The sides have different secrets.
    WrongSecret,
    /// The channel of this side is that of a trust that was deleted.
    StaleChannel(Which),
    /// The channel of this side fails otherwise.
    ChannelFailed(Which, String),
    /// No ticket was had for a service of this side.
    TicketRefused(Which, String),
    /// This side lets nobody in: authentication is selective, and nothing is allowed.
    NobodyAllowed(Which),
    /// This side does not obey selective authentication, and lets nobody in with it.
    SelectsNobody(Which),
    /// This side refuses to make it.
    Refused(Refused),
}

impl Problem {
    /// The problem among the reasons of the whole project, with what would help.
    pub fn reason(&self) -> Reason {
        match self {
            // An agent of another version may have another word.
            Self::Refused(refused) => Reason::of(&refused.reason).unwrap_or(Reason::DirectoryRefuses),
            Self::NotForwarded => Reason::NotForwarded,
            Self::DnsNamesNone => Reason::DnsNamesNone,
            Self::DnsSilent => Reason::DnsSilent,
            Self::PortsClosed(_) => Reason::PortsClosed,
            Self::ClockSkew(_) => Reason::ClockSkew,
            Self::SidMismatch => Reason::SidMismatch,
            Self::OneSided { .. } => Reason::OneSided,
            Self::NotMirrored { .. } => Reason::NotMirrored,
            Self::TypeMismatch => Reason::TypeMismatch,
            Self::Conflicting(_) => Reason::ConflictingTrust,
            Self::OrphanAccount(_) => Reason::OrphanAccount,
            Self::NamesInConflict(..) => Reason::NamesInConflict,
            Self::WrongSecret => Reason::WrongSecret,
            Self::StaleChannel(_) => Reason::StaleChannel,
            Self::ChannelFailed(..) => Reason::ChannelFailed,
            Self::TicketRefused(..) => Reason::TicketRefused,
            Self::NobodyAllowed(_) => Reason::NobodyAllowed,
            Self::SelectsNobody(_) => Reason::SelectiveAuthenticationUnsupported,
        }
    }

    /// The problem as a CamelCase word for machines.
    pub fn word(&self) -> &str {
        match self {
            Self::Refused(refused) => &refused.reason,
            other => other.reason().word(),
        }
    }

    /// Whether the agents or time mend it without a hand.
    pub fn heals(&self) -> bool {
        matches!(self, Self::StaleChannel(_) | Self::OneSided { .. } | Self::OrphanAccount(_))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotForwarded => f.write_str(
                "the host's DNS does not find the tenant's domain controllers, which its own DNS servers name: forward the domain to \
                 spec.directory.dnsServers",
            ),
            Self::DnsNamesNone => f.write_str(
                "the DNS servers of spec.directory.dnsServers name no domain controller of the domain: correct the addresses, or \
                 let the tenant look at its DNS",
            ),
            Self::DnsSilent => f.write_str(
                "the DNS servers of spec.directory.dnsServers do not answer: look at the firewalls (53/udp, 53/tcp) and at the servers",
            ),
            Self::PortsClosed(ports) => {
                let ports: Vec<_> = ports.iter().map(String::as_str).collect();
                write!(
                    f,
                    "the tenant's domain controllers do not answer on {}: look at the firewalls between",
                    ports.join(", ")
                )
            }
            Self::ClockSkew(seconds) => {
                let side = if *seconds > 0 { "ahead of" } else { "behind" };
                write!(
                    f,
                    "the tenant's clock is {} s {side} the host's, and Kerberos takes 300: set the clock right that is wrong",
                    seconds.abs()
                )
            }
            Self::SidMismatch => f.write_str(
                "there is a trust of this name with another domain than the one that answers now: settle with the tenant which is the \
                 true one, and remove the trust by hand",
            ),
            Self::OneSided { missing } => write!(f, "{missing}'s side of the trust is not there"),
            Self::NotMirrored { host, tenant } => write!(
                f,
                "the sides disagree on the direction: {host} by the host and {tenant} by the tenant, whose side must be {}",
                host.mirrored()
            ),
            Self::TypeMismatch => {
                f.write_str("one side has a forest trust and the other an external one: settle which, and remove the other by hand")
            }
            Self::Conflicting(which) => write!(
                f,
                "{which}'s directory has a trust of this name that is none of ours and another than the manifest asks for: change the \
                 manifest, or remove that trust by hand"
            ),
            Self::OrphanAccount(which) => {
                write!(f, "the account that a deleted trust left in {which}'s directory stands in the way")
            }
            Self::NamesInConflict(which, names) => write!(
                f,
                "on {which}'s side {} is another's name already, and is not followed: remove the suffix there, or exclude it from the trust, \
                 and have the trust's names read anew there (with Samba: `samba-tool domain trust namespaces DOMAIN --refresh=store`)",
                names.join(", ")
            ),
            Self::WrongSecret => f.write_str(
                "the sides have different secrets, as after a restore of one of the directories: set spec.directory.newSecretAfter to \
                 now, and the trust gets another",
            ),
            Self::Refused(refused) => write!(f, "{}'s directory refuses the trust: {}", refused.by, refused.message),
            Self::StaleChannel(which) => {
                write!(f, "the secure channel of {which}'s side is that of a trust that was deleted, and is made anew")
            }
            Self::ChannelFailed(which, why) => write!(f, "the secure channel of {which}'s side fails: {why}"),
            Self::TicketRefused(which, why) => {
                write!(f, "no ticket is had for a service of {which}'s side: {why}")
            }
            Self::SelectsNobody(which) => write!(
                f,
                "{which}'s directory stores selective authentication and then refuses every ticket, as Samba does: set \
                 selectiveAuthentication to false"
            ),
            Self::NobodyAllowed(which) => write!(
                f,
                "{which}'s side lets nobody in: authentication is selective and no computer is allowed to; name some in \
                 allowedToAuthenticate, or let its administrators do so"
            ),
        }
    }
}

/// What a trust is worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// All that can be seen of it works, and the manifest's side is seen whole.
    Valid,
    /// It does not work, or not for all; the first problem explains the others.
    Troubled(Vec<Problem>),
    /// Our side stands, and only the tenant's own administrators can tell of theirs.
    OurSideOnly,
    /// There is none yet.
    NotMade,
    /// It cannot be told, because this side is not seen.
    Unknown(Which, Blindness),
}

/// Judges it.
pub fn judge(wanted: &Directory, signals: &Signals) -> Verdict {
    let mut found = problems(wanted, signals);
    // What hinders the way tells more than that nobody is reached by it.
    if way(signals).is_empty() {
        for (which, end) in [(Which::Host, &signals.host), (Which::Tenant, &signals.tenant)] {
            match &end.object {
                Looked::Blind(why) => return Verdict::Unknown(which, why.clone()),
                Looked::Never if which == Which::Host || wanted.has_agent() => {
                    return Verdict::Unknown(which, Blindness::NotYetObserved);
                }
                _ => {}
            }
        }
    }
    // What needs both sides shows that the one is missing which people have yet to make.
    let is_awaited = !wanted.has_agent()
        && (signals.host.channel == Some(Channel::NoPartner)
            || signals.host.ticket == Some(Ticket::NoPartner));
    if is_awaited {
        found.retain(|it| !matches!(it, Problem::ChannelFailed(..) | Problem::TicketRefused(..)));
    }
    if !found.is_empty() {
        return Verdict::Troubled(found);
    }
    if signals.host.object.present().is_none() {
        return Verdict::NotMade;
    }
    if is_awaited {
        return Verdict::OurSideOnly;
    }
    match unproven(wanted, signals) {
        None => Verdict::Valid,
        // A channel and a ticket need both sides, so that one that is well tells of the other, and one that was not had of nothing.
        Some(_) if !wanted.has_agent() => Verdict::OurSideOnly,
        Some((which, what)) => Verdict::Unknown(which, Blindness::Incomplete(what.to_owned())),
    }
}

/// The first of the signals that there must be and that is not there: where nobody has verified it, it is not valid.
fn unproven(wanted: &Directory, signals: &Signals) -> Option<(Which, &'static str)> {
    let direction = wanted.direction();
    let ends =
        [(Which::Host, &signals.host, direction), (Which::Tenant, &signals.tenant, direction.mirrored())];
    let ours = ends.into_iter().filter(|(which, ..)| *which == Which::Host || wanted.has_agent());
    ours.into_iter().find_map(|(which, end, direction)| {
        if direction.lets_in() && end.channel.is_none() {
            return Some((which, "the secure channel was not verified yet"));
        }
        let is_let_in = direction.mirrored().lets_in();
        (is_let_in && end.ticket.is_none()).then_some((which, "no ticket was asked for yet"))
    })
}

/// All that is wrong, what explains the others first.
fn problems(wanted: &Directory, signals: &Signals) -> Vec<Problem> {
    let mut found = way(signals);
    found.extend(signals.refusal.clone().map(Problem::Refused));
    found.extend(sides(wanted, signals));
    found.extend(working(wanted, signals));
    found
}

fn way(signals: &Signals) -> Vec<Problem> {
    let Some(way) = &signals.way else { return Vec::new() };
    let mut found = Vec::new();
    match (way.dns, way.their_dns) {
        (_, Dns::Silent) => found.push(Problem::DnsSilent),
        (_, Dns::NamesNone) => found.push(Problem::DnsNamesNone),
        (Dns::Silent | Dns::NamesNone, Dns::Answers) => found.push(Problem::NotForwarded),
        (Dns::Answers, Dns::Answers) => {}
    }
    if !way.closed.is_empty() {
        found.push(Problem::PortsClosed(way.closed.clone()));
    }
    if let Some(skew) = way.skew.filter(|skew| skew.abs() > CLOCKS_APART) {
        found.push(Problem::ClockSkew(skew));
    }
    found
}

fn sides(wanted: &Directory, signals: &Signals) -> Vec<Problem> {
    let mut found = Vec::new();
    let (host, tenant) = (&signals.host.object, &signals.tenant.object);
    // First, since a domain that was made anew has nothing of the trust. Where both sides stand all of it may work besides.
    let is_with_another = [(host, &signals.sid), (tenant, &signals.host_sid)]
        .into_iter()
        .filter_map(|(object, sid)| object.present().zip(sid.as_ref()))
        .any(|(object, sid)| object.sid != *sid);
    if is_with_another {
        found.push(Problem::SidMismatch);
    }
    for (which, end) in [(Which::Host, &signals.host), (Which::Tenant, &signals.tenant)] {
        if end.has_orphan && end.object == Looked::Absent {
            found.push(Problem::OrphanAccount(which));
        }
    }
    match (host, tenant) {
        (Looked::Present(_), Looked::Absent) => found.push(Problem::OneSided { missing: Which::Tenant }),
        (Looked::Absent, Looked::Present(_)) => found.push(Problem::OneSided { missing: Which::Host }),
        _ => {}
    }
    if let (Some(host), Some(tenant)) = (host.present(), tenant.present()) {
        match (host.direction, tenant.direction) {
            (Some(host), Some(tenant)) if host.mirrored() != tenant => {
                found.push(Problem::NotMirrored { host, tenant });
            }
            _ => {}
        }
        if host.kind != tenant.kind {
            found.push(Problem::TypeMismatch);
        }
    }
    if let Some(object) = host.present()
        && (object.direction != Some(wanted.direction()) || object.kind != Some(wanted.kind))
    {
        found.push(Problem::Conflicting(Which::Host));
    }
    for (which, object) in [(Which::Host, host), (Which::Tenant, tenant)] {
        let names = object.present().map(|object| object.conflicts.clone()).unwrap_or_default();
        if !names.is_empty() {
            found.push(Problem::NamesInConflict(which, names));
        }
    }
    found
}

fn working(wanted: &Directory, signals: &Signals) -> Vec<Problem> {
    let mut found = Vec::new();
    let ends = [(Which::Host, &signals.host), (Which::Tenant, &signals.tenant)];
    for (which, end) in ends {
        match &end.channel {
            None | Some(Channel::Well) => {}
            Some(Channel::WrongSecret) if found.contains(&Problem::WrongSecret) => {}
            Some(Channel::WrongSecret) => found.push(Problem::WrongSecret),
            Some(Channel::Stale) => found.push(Problem::StaleChannel(which)),
            Some(Channel::NoPartner) => {
                let why = "the other side has no account for it, or one that is disabled".to_owned();
                found.push(Problem::ChannelFailed(which, why));
            }
            Some(Channel::Failed(why)) => found.push(Problem::ChannelFailed(which, why.clone())),
        }
    }
    let [(_, host), (_, tenant)] = ends;
    // What was asked for on one side is for a service of the other.
    for (which, end) in [(Which::Tenant, host), (Which::Host, tenant)] {
        match &end.ticket {
            None | Some(Ticket::Had) => {}
            Some(Ticket::NoPartner) => {
                let why = "it has no such trust, or one whose direction is not the mirror of the other's"
                    .to_owned();
                found.push(Problem::TicketRefused(which, why));
            }
            Some(Ticket::Refused(why)) => found.push(Problem::TicketRefused(which, why.clone())),
        }
    }
    for ((which, end), access) in ends.into_iter().zip([&wanted.to_host, &wanted.to_tenant]) {
        let Some(access) = access.as_ref().filter(|access| access.selective) else { continue };
        // Told before it is made, since nobody would get in.
        if matches!(end.object, Looked::Absent | Looked::Present(_)) && !end.can.selects {
            found.push(Problem::SelectsNobody(which));
        } else if access.allowed.is_empty() {
            found.push(Problem::NobodyAllowed(which));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::{Access, Partner};
    use super::*;

    fn wanted() -> Directory {
        let access = || Some(Access { selective: false, filters_sids: true, allowed: Vec::new() });
        Directory {
            provider: "ad-host".into(),
            domain: "ibestad.test".to_owned(),
            netbios: "IBESTAD".to_owned(),
            sid: None,
            kind: TrustKind::Forest,
            to_host: access(),
            to_tenant: access(),
            controllers: vec!["ibedc.ibestad.test".to_owned()],
            dns: vec!["10.77.0.20".parse().unwrap()],
            partner: Partner::Agent {
                endpoint: "ssh://10.77.0.20".to_owned(),
                identity: "ssh-ed25519 AAAA".to_owned(),
                secret: "ibestad-dc".to_owned(),
            },
            new_secret_after: None,
            restart_before: None,
        }
    }

    fn object() -> Object {
        Object {
            sid: "S-1-5-21-1-2-3".to_owned(),
            direction: Some(Direction::Both),
            kind: Some(TrustKind::Forest),
            selective: false,
            conflicts: Vec::new(),
        }
    }

    fn end() -> End {
        End {
            object: Looked::Present(object()),
            channel: Some(Channel::Well),
            ticket: Some(Ticket::Had),
            has_orphan: false,
            can: Abilities { selects: true, ..Abilities::default() },
        }
    }

    fn absent() -> End {
        End { object: Looked::Absent, ..End::default() }
    }

    fn well() -> Signals {
        let way = Way { skew: Some(2), ..Way::default() };
        let sid = Some("S-1-5-21-1-2-3".to_owned());
        Signals { host: end(), tenant: end(), way: Some(way), sid, ..Signals::default() }
    }

    fn first(wanted: &Directory, signals: &Signals) -> String {
        match judge(wanted, signals) {
            Verdict::Valid => "Valid",
            Verdict::OurSideOnly => "OurSideOnly",
            Verdict::NotMade => "NotMade",
            Verdict::Unknown(..) => "Unknown",
            Verdict::Troubled(problems) => return problems[0].word().to_owned(),
        }
        .to_owned()
    }

    #[test]
    #[allow(clippy::too_many_lines)] // a table
    fn what_explains_the_others_comes_first() {
        type Change = fn(&mut Signals);
        let cases: &[(Change, &str)] = &[
            (|_| {}, "Valid"),
            (|it| it.way = None, "Valid"),
            (|it| it.way = Some(Way { dns: Dns::NamesNone, ..Way::default() }), "NotForwarded"),
            (
                |it| it.way = Some(Way { dns: Dns::Silent, their_dns: Dns::Silent, ..Way::default() }),
                "DnsSilent",
            ),
            (|it| it.way = Some(Way { their_dns: Dns::NamesNone, ..Way::default() }), "DnsNamesNone"),
            (
                |it| {
                    // Nobody is reached, so that the other directory is not seen either.
                    it.way = Some(Way { closed: ["88/udp".to_owned()].into(), ..Way::default() });
                    it.tenant.object = Looked::Blind(Blindness::Unreachable("no answer".to_owned()));
                },
                "PortsClosed",
            ),
            (
                |it| {
                    it.way = Some(Way { skew: Some(-900), ..Way::default() });
                    it.host.ticket = Some(Ticket::Refused("Clock skew too great".to_owned()));
                },
                "ClockSkew",
            ),
            (|it| it.way.as_mut().unwrap().skew = Some(CLOCKS_APART), "Valid"),
            (|it| it.sid = Some("S-1-5-21-9-9-9".to_owned()), "SidMismatch"),
            (|it| it.host_sid = Some("S-1-5-21-9-9-9".to_owned()), "SidMismatch"),
            (
                |it| {
                    // As a domain that was made anew, which has none.
                    it.sid = Some("S-1-5-21-9-9-9".to_owned());
                    it.tenant = absent();
                },
                "SidMismatch",
            ),
            (
                |it| {
                    it.tenant = End { object: Looked::Absent, ..End::default() };
                    it.host.channel = Some(Channel::NoPartner);
                },
                "OneSided",
            ),
            (
                |it| it.tenant = End { object: Looked::Absent, has_orphan: true, ..End::default() },
                "OrphanAccount",
            ),
            (
                |it| {
                    // The channel says that all is well; the ticket does not.
                    it.tenant.object =
                        Looked::Present(Object { direction: Some(Direction::Inbound), ..object() });
                    it.tenant.ticket = Some(Ticket::Refused("The ticket isn't for us".to_owned()));
                },
                "NotMirrored",
            ),
            (
                |it| {
                    it.tenant.object =
                        Looked::Present(Object { kind: Some(TrustKind::External), ..object() });
                },
                "TypeMismatch",
            ),
            (
                |it| {
                    let other = || Object { kind: Some(TrustKind::External), ..object() };
                    (it.host.object, it.tenant.object) = (Looked::Present(other()), Looked::Present(other()));
                },
                "ConflictingTrust",
            ),
            (
                |it| {
                    let names = vec!["ibestad.example".to_owned()];
                    it.host.object = Looked::Present(Object { conflicts: names, ..object() });
                },
                "NamesInConflict",
            ),
            (
                |it| {
                    it.host.channel = Some(Channel::WrongSecret);
                    it.tenant.channel = Some(Channel::WrongSecret);
                },
                "WrongSecret",
            ),
            (|it| it.tenant.channel = Some(Channel::Stale), "StaleChannel"),
            (|it| it.tenant.ticket = Some(Ticket::Refused("no".to_owned())), "TicketRefused"),
            (
                |it| it.tenant.object = Looked::Blind(Blindness::Unreachable("no answer".to_owned())),
                "Unknown",
            ),
            (|it| it.host.object = Looked::Never, "Unknown"),
            (|it| it.tenant.ticket = None, "Unknown"),
            (|it| it.host.channel = None, "Unknown"),
            (|it| (it.host, it.tenant) = (absent(), absent()), "NotMade"),
            (
                |it| {
                    (it.host, it.tenant) = (absent(), absent());
                    let (reason, message) = ("NetbiosTaken".to_owned(), "it is another's".to_owned());
                    it.refusal = Some(Refused { by: Which::Tenant, reason, message });
                },
                "NetbiosTaken",
            ),
        ];
        for (number, (change, expected)) in cases.iter().enumerate() {
            let mut signals = well();
            change(&mut signals);
            assert_eq!(first(&wanted(), &signals), *expected, "case {number}");
        }
    }

    #[test]
    fn what_is_said_once_is_not_said_twice() {
        let mut signals = well();
        signals.host.channel = Some(Channel::WrongSecret);
        signals.tenant.channel = Some(Channel::WrongSecret);
        assert_eq!(judge(&wanted(), &signals), Verdict::Troubled(vec![Problem::WrongSecret]));
    }

    #[test]
    fn where_people_make_the_other_side_only_ours_is_judged() {
        let mut wanted = wanted();
        wanted.partner = Partner::Manual { secret: "ibestad-trust".to_owned() };
        let mut signals = well();
        signals.tenant = End::default();
        (signals.host.channel, signals.host.ticket) = (None, None);
        assert_eq!(judge(&wanted, &signals), Verdict::OurSideOnly);
        (signals.host.channel, signals.host.ticket) = (Some(Channel::NoPartner), Some(Ticket::NoPartner));
        assert_eq!(judge(&wanted, &signals), Verdict::OurSideOnly, "the other is not made yet");
        (signals.host.channel, signals.host.ticket) = (Some(Channel::Well), None);
        assert_eq!(judge(&wanted, &signals), Verdict::OurSideOnly, "one of the two ways");
        signals.host.ticket = Some(Ticket::Had);
        assert_eq!(judge(&wanted, &signals), Verdict::Valid, "both need both sides");
    }

    #[test]
    fn a_side_that_lets_nobody_in_is_told() {
        let mut wanted = wanted();
        let closed = Access { selective: true, filters_sids: true, allowed: Vec::new() };
        wanted.to_tenant = Some(closed.clone());
        assert_eq!(judge(&wanted, &well()), Verdict::Troubled(vec![Problem::NobodyAllowed(Which::Tenant)]));
        wanted.to_tenant = Some(Access { allowed: vec!["IBE-FS01".to_owned()], ..closed });
        assert_eq!(judge(&wanted, &well()), Verdict::Valid);
    }
}
