//! What the agents tell, as an observation. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;
use vertskommune_core::directory::health::{
    Abilities, Channel, Dns, End, Looked, Object, Refused, Ticket, Way, Which,
};
use vertskommune_core::directory::{Direction, Directory, Partner, Signals, TrustKind};
use vertskommune_core::facts::Facts;
use vertskommune_core::names::{ResourceKey, TenantName};
use vertskommune_core::observation::{Blindness, Foreign, Observation, Present, Seen};
use vertskommune_core::reason::Reason;

use crate::expand::{direction_word, kind_word};
use crate::ldap::TrustedDomain;
use crate::protocol::{self, Description, Kind, Port, Preflight, Probed, Trust, Verified};
use crate::schema::{CURRENT, OLDER, STALE, TRUST, WELL, field, side, stand};
use crate::settings::Settings;
use crate::todo;

/// Clocks that differ by less differ by nothing: what is told of them would be news with every look.
const SAME_CLOCK: i64 = 60;

/// What one agent tells in one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) description: Description,
    pub(crate) trusts: protocol::List,
}

/// Whether a trust works, as it was last tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) way: Option<Way>,
    pub(crate) host: Working,
    pub(crate) tenant: Working,
}

/// The same on one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Working {
    pub(crate) channel: Option<Channel>,
    pub(crate) ticket: Option<Ticket>,
}

/// All that is known of one tenant's trust.
pub(crate) struct Known<'a> {
    pub(crate) tenant: &'a TenantName,
    pub(crate) wanted: &'a Directory,
    /// The host's side.
    pub(crate) host: &'a Told,
    /// The tenant's side, or why it is not seen; nothing where people make it.
    pub(crate) theirs: Option<&'a Result<Told, Blindness>>,
    /// Nothing where it was not tried yet.
    pub(crate) health: Option<&'a Health>,
    /// What was refused the last time.
    pub(crate) refused: Option<&'a Refused>,
}

/// One side as it stands.
enum Stand<'a> {
    Whole(&'a Trust),
    /// Our record, with the trust where there is one.
    Half(Option<&'a Trust>),
    Foreign(&'a Trust),
    Absent,
}

impl<'a> Stand<'a> {
    fn of(told: &'a Told, partner: &str, tenant: &TenantName) -> Self {
        let is_ours = |mark: &protocol::Mark| mark.tenant == tenant.as_str();
        let trust = told.trusts.trusts.iter().find(|trust| trust.domain == partner);
        let missing = told.trusts.missing.iter().find(|it| it.domain == partner && is_ours(&it.mark));
        match (trust, missing) {
            (Some(trust), _) => match &trust.mark {
                Some(mark) if is_ours(mark) && mark.whole => Self::Whole(trust),
                Some(mark) if is_ours(mark) => Self::Half(Some(trust)),
                _ => Self::Foreign(trust),
            },
            (None, Some(_)) => Self::Half(None),
            (None, None) => Self::Absent,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Whole(_) => stand::WHOLE,
            Self::Half(_) => stand::HALF,
            Self::Foreign(_) => stand::FOREIGN,
            Self::Absent => stand::ABSENT,
        }
    }

    fn trust(&self) -> Option<&'a Trust> {
        match self {
            Self::Whole(trust) | Self::Foreign(trust) | Self::Half(Some(trust)) => Some(trust),
            Self::Half(None) | Self::Absent => None,
        }
    }

    fn is_ours(&self) -> bool {
        matches!(self, Self::Whole(_) | Self::Half(_))
    }
}

impl Known<'_> {
    /// Puts what is known into an observation.
    pub(crate) fn add(&self, settings: &Settings, seen: &mut Observation) {
        seen.trusts.insert(self.tenant.clone(), Arc::new(self.signals(settings)));
        let key = ResourceKey::new(TRUST, self.wanted.domain.as_str());
        let (host, theirs) = self.sides(settings);
        let unseen = self.unseen();
        let is_ours = host.is_ours() || theirs.as_ref().is_some_and(Stand::is_ours);
        let thing = match (is_ours, unseen) {
            (true, _) => Some(Seen::Present(Arc::new(self.present(settings, &host, theirs.as_ref())))),
            (false, Some(why)) => Some(Seen::Unknown(why.clone())),
            (false, None) => None,
        };
        if let Some(thing) = thing {
            seen.seen.entry(self.tenant.clone()).or_default().insert(key, thing);
        }
        for (of, domain, stand) in [
            (side::HOST, &settings.domain, Some(&host)),
            (side::TENANT, &self.wanted.domain, theirs.as_ref()),
        ] {
            if let Some(Stand::Foreign(trust)) = stand {
                let told = if of == side::HOST { Some(self.host) } else { self.told() };
                let mark = told.and_then(|told| owner(told, trust));
                let present = self.present(settings, &host, theirs.as_ref());
                seen.foreign.push(foreign(self.tenant, of, domain, trust, mark, present));
            }
        }
    }

    /// The fields of the trust as they are, whoever's it is.
    pub(crate) fn fields(&self, settings: &Settings) -> Facts {
        let (host, theirs) = self.sides(settings);
        self.present(settings, &host, theirs.as_ref()).fields
    }

    /// Both sides as they stand, the tenant's where it is seen.
    fn sides(&self, settings: &Settings) -> (Stand<'_>, Option<Stand<'_>>) {
        let host = Stand::of(self.host, &self.wanted.domain, self.tenant);
        (host, self.told().map(|told| Stand::of(told, &settings.domain, self.tenant)))
    }

    /// What the tenant's agent tells.
    fn told(&self) -> Option<&Told> {
        self.theirs?.as_ref().ok()
    }

    /// Why it tells nothing.
    fn unseen(&self) -> Option<&Blindness> {
        self.theirs?.as_ref().err()
    }

    fn present(&self, settings: &Settings, host: &Stand<'_>, theirs: Option<&Stand<'_>>) -> Present {
        let unseen = self.unseen();
        let mut present = Present { identity: self.wanted.domain.clone(), ..Present::default() };
        let fields = &mut present.fields;
        fields.insert(field::HOST, host.word());
        // What is not seen is not absent: nothing is done about it, and the notice says why.
        let tenant = match (theirs, unseen) {
            (Some(theirs), _) => theirs.word(),
            (None, Some(_)) => stand::WHOLE,
            (None, None) => stand::MANUAL,
        };
        fields.insert(field::TENANT, tenant);
        let (ours, other) = (host.trust(), theirs.and_then(Stand::trust));
        let seen_from_host = ours.map(|it| (it.direction, it.kind));
        let seen =
            seen_from_host.or_else(|| other.map(|it| (it.direction.map(Direction::mirrored), it.kind)));
        if let Some((direction, kind)) = seen {
            fields.insert(field::DIRECTION, direction.map_or("disabled", direction_word));
            fields.insert(field::KIND, core_kind(kind).map_or("Other", kind_word));
        }
        let mirrored = match (ours, other) {
            (Some(ours), Some(other)) => {
                // One that stands for another domain is no mirror, though all of it may work.
                ours.kind == other.kind
                    && ours.direction.map(Direction::mirrored) == other.direction
                    && ours.sid == self.sid()
                    && other.sid.as_ref() == Some(&settings.sid)
            }
            _ => true,
        };
        fields.insert(field::MIRRORED, mirrored);
        let is_old = [(ours, Some(self.host)), (other, self.told())];
        let is_old = is_old.into_iter().any(|(trust, told)| self.is_old(trust, told));
        fields.insert(field::SECRET, if is_old { OLDER } else { CURRENT });
        for (trust, selective, filters) in [
            (ours, field::HOST_SELECTIVE, field::HOST_FILTERS),
            (other, field::TENANT_SELECTIVE, field::TENANT_FILTERS),
        ] {
            if let Some(trust) = trust {
                fields.insert(selective, trust.selective);
                fields.insert(filters, trust.filters_sids);
            } else if unseen.is_some() {
                self.assume_as_wanted(selective, filters, fields);
            }
        }
        fields.insert(field::HOST_FORWARDER, !self.lacks_forwarder(ours));
        let health = self.health.cloned().unwrap_or_default();
        for (working, channel) in
            [(&health.host, field::HOST_CHANNEL), (&health.tenant, field::TENANT_CHANNEL)]
        {
            fields.insert(channel, if working.channel == Some(Channel::Stale) { STALE } else { WELL });
        }
        if let Partner::Agent { endpoint, identity, secret } = &self.wanted.partner {
            fields.insert(field::ENDPOINT, endpoint.as_str());
            fields.insert(field::IDENTITY, identity.as_str());
            fields.insert(field::PARTNER_SECRET, secret.as_str());
        }
        fields.insert(field::DOMAIN, self.wanted.domain.as_str());
        fields.insert(field::NETBIOS, self.wanted.netbios.as_str());
        fields.insert(field::DNS, json!(self.wanted.dns));
        if let Some(why) = unseen {
            present.notices.push(format!("the tenant's directory is not seen: {why}"));
        }
        present
    }

    fn assume_as_wanted(&self, selective: &'static str, filters: &'static str, fields: &mut Facts) {
        let way =
            if selective == field::HOST_SELECTIVE { &self.wanted.to_host } else { &self.wanted.to_tenant };
        if let Some(way) = way {
            fields.insert(selective, way.selective);
            fields.insert(filters, way.filters_sids);
        }
    }

    /// Whether the manifest asks for a younger secret. By the clock that wrote its time: one that is behind would have it made
    /// anew again and again.
    fn is_old(&self, trust: Option<&Trust>, told: Option<&Told>) -> bool {
        let since = trust.and_then(|trust| trust.mark.as_ref()).map(|mark| mark.since);
        match (self.wanted.new_secret_after, since, told) {
            (Some(after), Some(since), Some(told)) => since < after && after <= told.description.clock,
            _ => false,
        }
    }

    /// Whether the host's side, which stands, lacks a forwarder. Where others forward the names already the agent makes none, so that
    /// one of ours is no measure: only that they are not found is.
    fn lacks_forwarder(&self, ours: Option<&Trust>) -> bool {
        let has_one = ours.is_none_or(|trust| trust.mark.as_ref().is_some_and(|mark| mark.forwarder));
        let way = self.health.and_then(|health| health.way.as_ref());
        let is_lost = way.is_some_and(|way| way.dns != Dns::Answers && way.their_dns == Dns::Answers);
        self.host.description.forwarders && !has_one && is_lost
    }

    /// What the trust shows of whether it works.
    fn signals(&self, settings: &Settings) -> Signals {
        let (host, theirs) = self.sides(settings);
        let health = self.health.cloned().unwrap_or_default();
        let tenant = match (self.told().zip(theirs), self.unseen()) {
            (Some((told, stand)), _) => end(told, &stand, &settings.netbios, &health.tenant),
            (None, Some(why)) => End { object: Looked::Blind(why.clone()), ..End::default() },
            (None, None) => End::default(),
        };
        Signals {
            host: end(self.host, &host, &self.wanted.netbios, &health.host),
            tenant,
            way: health.way,
            sid: self.sid(),
            host_sid: Some(settings.sid.clone()),
            refusal: self.refused.cloned().or_else(|| self.forbidden(settings)),
            todo: todo::commands(self.wanted, settings),
        }
    }

    /// The SID of the tenant's domain: pinned, or as its agent tells it.
    fn sid(&self) -> Option<String> {
        self.wanted.sid.clone().or_else(|| self.told().map(|told| told.description.sid.clone()))
    }

    /// What would be refused, as far as it shows before anything is asked for.
    pub(crate) fn forbidden(&self, settings: &Settings) -> Option<Refused> {
        let direction = self.wanted.direction();
        let sides = [
            (Which::Host, Some(self.host), &self.wanted.domain, direction),
            (Which::Tenant, self.told(), &settings.domain, direction.mirrored()),
        ];
        sides.into_iter().find_map(|(by, told, partner, direction)| {
            let told = told?;
            let description = &told.description;
            let refused = |reason: Reason, message: String| {
                Some(Refused { by, reason: reason.word().to_owned(), message })
            };
            if !description.is_pdc {
                let message = format!(
                    "{} is not the PDC emulator of {}: give its agent's address, where that role is now",
                    description.controller, description.domain
                );
                return refused(Reason::NotPdc, message);
            }
            let allowed = description.partners.iter().find(|it| it.domain == *partner);
            let is_allowed = allowed.is_some_and(|it| it.directions.contains(&direction));
            if !is_allowed {
                let message = format!(
                    "its administrators do not allow a trust with {partner}, direction {}: let them add it to the agent's file of \
                     partners",
                    direction_word(direction)
                );
                return refused(Reason::PartnerNotAllowed, message);
            }
            if let Stand::Foreign(trust) = Stand::of(told, partner, self.tenant)
                && let Some(owner) = owner(told, trust)
            {
                let message = format!("the trust of {} with {partner} belongs to {owner}", description.domain);
                return refused(Reason::ConflictingTrust, message);
            }
            None
        })
    }
}

fn end(told: &Told, stand: &Stand<'_>, netbios: &str, working: &Working) -> End {
    let Description { forwarders, sets, selective, .. } = told.description;
    let object = stand.trust().map_or(Looked::Absent, |trust| Looked::Present(object(trust)));
    End {
        object,
        channel: working.channel.clone(),
        ticket: working.ticket.clone(),
        has_orphan: told.trusts.orphans.iter().any(|it| it.eq_ignore_ascii_case(netbios)),
        can: Abilities { forwards: forwarders, sets, selects: selective },
    }
}

/// A trust as LDAP shows it.
pub(crate) fn object_over_ldap(trust: &TrustedDomain) -> Object {
    Object {
        sid: trust.sid.clone().unwrap_or_default(),
        direction: trust.direction,
        kind: core_kind(trust.kind),
        selective: trust.selective,
        conflicts: Vec::new(),
    }
}

fn object(trust: &Trust) -> Object {
    Object {
        sid: trust.sid.clone().unwrap_or_default(),
        direction: trust.direction,
        kind: core_kind(trust.kind),
        selective: trust.selective,
        conflicts: trust.names_in_conflict.clone(),
    }
}

/// The kind, where it is one that we make.
pub(crate) fn core_kind(kind: Kind) -> Option<TrustKind> {
    match kind {
        Kind::Forest => Some(TrustKind::Forest),
        Kind::External => Some(TrustKind::External),
        Kind::Other => None,
    }
}

/// Whose a trust is that is none of this tenant's, where anybody's record tells.
fn owner(told: &Told, trust: &Trust) -> Option<String> {
    let of_tenant = trust.mark.as_ref().map(|mark| format!("tenant {}", mark.tenant));
    let other = told.trusts.others.iter().find(|it| it.domain == trust.domain);
    of_tenant.or_else(|| other.map(|other| format!("installation {}", other.installation)))
}

fn foreign(
    tenant: &TenantName,
    of: &str,
    domain: &str,
    trust: &Trust,
    mark: Option<String>,
    present: Present,
) -> Foreign {
    Foreign {
        tenant: tenant.clone(),
        kind: TRUST.into(),
        name: of.to_owned(),
        path: format!("the trust of {domain} with {}", trust.domain),
        identity: trust.sid.clone().unwrap_or_default(),
        mark,
        present,
    }
}

/// What a look from the host shows of the way to the tenant's controllers.
pub(crate) fn way(preflight: &Preflight) -> Way {
    let told = |outcome| match outcome {
        protocol::Dns::Ok => Dns::Answers,
        protocol::Dns::Timeout => Dns::Silent,
        protocol::Dns::NoAnswer | protocol::Dns::Nxdomain | protocol::Dns::Servfail => Dns::NamesNone,
    };
    let theirs: BTreeSet<Dns> = preflight.partner_dns.iter().map(|it| told(it.outcome)).collect();
    // One that answers is enough.
    let their_dns = theirs.into_iter().min().unwrap_or_default();
    let closed = preflight.ports.iter().filter(|(_, port)| !matches!(port, Port::Open | Port::Unknown));
    let skew = preflight.clock_skew_seconds;
    Way {
        dns: told(preflight.dns.outcome),
        their_dns,
        closed: closed.map(|(name, _)| name.clone()).collect(),
        skew: skew.map(|skew| if skew.abs() < SAME_CLOCK { 0 } else { skew / 10 * 10 }),
    }
}

/// What the secure channel is like; nothing where this side has none.
pub(crate) fn channel(verified: &Verified) -> Option<Channel> {
    use protocol::Channel as Told;
    let said = |what: &str| Channel::Failed(format!("{what} (error {})", verified.code));
    Some(match verified.channel {
        Told::NotApplicable => return None,
        Told::Ok => Channel::Well,
        Told::Stale => Channel::Stale,
        Told::WrongSecret => Channel::WrongSecret,
        Told::OneSided => Channel::NoPartner,
        Told::NoSecret => said("this side has no secret for it"),
        Told::OtherKind => said("the sides have different types of trust"),
        Told::Unreachable => said(
            "the partner's controllers do not answer; where DNS and ports are well, start Samba or Netlogon there again",
        ),
        Told::RestartNeeded => said("winbindd holds another direction, and has to be started again"),
        Told::Failed => said("it does not work"),
    })
}

/// Whether a ticket was had; nothing where none can be.
pub(crate) fn ticket(probed: &Probed) -> Option<Ticket> {
    match probed.ticket {
        protocol::Ticket::Ok => Some(Ticket::Had),
        protocol::Ticket::NotApplicable => None,
        protocol::Ticket::OneSided => Some(Ticket::NoPartner),
        _ => Some(Ticket::Refused(probed.message.clone())),
    }
}

/// The version of the directory and of its agent, for the status.
pub(crate) fn version(told: &Told) -> String {
    let Description { agent, implementation, version, .. } = &told.description;
    format!("{implementation} {version}, agent {agent}")
}

/// The time that the host's controller has.
pub(crate) fn clock(told: &Told) -> Timestamp {
    told.description.clock
}

#[cfg(test)]
mod tests;
