//! What is said of each combination of both sides, and what of it follows from whose word.

mod health;

use std::fmt::Write as _;

use serde_json::Value as Json;
use vertskommune_core::directory::Access;
use vertskommune_core::directory::health::Which;

use super::*;
use crate::protocol::Mark;
use crate::testing::Stands::{self, Absent, Anothers, AnothersRecord, Foreign, Half, Recorded, Whole};
use crate::testing::{TENANT_SID, at, host, host_told, manual, mark, of_sor, tenant_told, wanted};

/// The tenant's side as it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Theirs {
    Is(Stands),
    Unseen,
    Manual,
}

/// A tenant's trust, and all that is known of it.
struct Case {
    wanted: Directory,
    host: Told,
    theirs: Option<Result<Told, Blindness>>,
    health: Option<Health>,
    refused: Option<Refused>,
}

fn case(host: Stands, theirs: Theirs) -> Case {
    let unseen = || Blindness::Unreachable("nobody answers".to_owned());
    let theirs = match theirs {
        Theirs::Is(stands) => Some(Ok(tenant_told(stands))),
        Theirs::Unseen => Some(Err(unseen())),
        Theirs::Manual => None,
    };
    let wanted = if theirs.is_some() { wanted() } else { manual() };
    Case { wanted, host: host_told(host), theirs, health: None, refused: None }
}

/// Both sides stand.
fn whole() -> Case {
    case(Whole, Theirs::Is(Whole))
}

impl Case {
    fn observation(&self) -> Observation {
        let settings = Settings::read(&host()).unwrap();
        let tenant = TenantName::from("ibestad");
        let known = Known {
            tenant: &tenant,
            wanted: &self.wanted,
            host: &self.host,
            theirs: self.theirs.as_ref(),
            health: self.health.as_ref(),
            refused: self.refused.as_ref(),
        };
        let mut seen = Observation::empty(&"ad-host".into());
        known.add(&settings, &mut seen);
        seen
    }

    fn present(&self) -> Present {
        let key = ResourceKey::new(TRUST, "ibestad.test");
        self.observation().present(&"ibestad".into(), &key).unwrap().clone()
    }

    fn field(&self, name: &str) -> Json {
        self.present().fields.get(name).cloned().unwrap_or(Json::Null)
    }

    fn signals(&self) -> Arc<Signals> {
        self.observation().trusts[&TenantName::from("ibestad")].clone()
    }

    fn host_trust(&mut self) -> &mut Trust {
        &mut self.host.trusts.trusts[0]
    }

    fn their_trust(&mut self) -> &mut Trust {
        &mut self.theirs().trusts.trusts[0]
    }

    fn theirs(&mut self) -> &mut Told {
        self.theirs.as_mut().unwrap().as_mut().unwrap()
    }
}

/// What an observation says of the trust, in short: both sides, and whose the foreign ones are.
fn short(seen: &Observation) -> String {
    let thing = seen.of(&"ibestad".into(), &ResourceKey::new(TRUST, "ibestad.test"));
    let mut said = match thing {
        None => "-".to_owned(),
        Some(Seen::Unknown(_)) => "?".to_owned(),
        Some(Seen::Present(present)) => {
            let word = |name: &str| present.fields.get(name).and_then(Json::as_str).unwrap_or("(none)");
            format!("{} {}", word(field::HOST), word(field::TENANT))
        }
        Some(other) => format!("{other:?}"),
    };
    for foreign in &seen.foreign {
        assert_eq!(foreign.kind.as_str(), TRUST);
        let whose = foreign.mark.as_deref().map(|mark| format!(" of {mark}")).unwrap_or_default();
        let _ = write!(said, " +{}{whose}", foreign.name);
    }
    said
}

#[test]
fn each_side_is_seen_beside_each() {
    use Theirs::{Is, Manual, Unseen};
    let columns = [
        Is(Absent),
        Is(Whole),
        Is(Half),
        Is(Recorded),
        Is(Foreign),
        Is(Anothers),
        Is(AnothersRecord),
        Unseen,
        Manual,
    ];
    // One of ours is enough to know that the trust is ours. Where none is, and a side is not seen, it is not known.
    let rows: [(Stands, [String; 9]); 7] = [
        (Absent, nothing()),
        (Whole, ours("whole")),
        (Half, ours("half")),
        (Recorded, ours("half")),
        (Foreign, foreign("+host")),
        (Anothers, foreign("+host of tenant dyroy")),
        (AnothersRecord, nothing()),
    ];
    for (host, expected) in rows {
        for (theirs, expected) in columns.into_iter().zip(expected) {
            let case = case(host, theirs);
            let seen = case.observation();
            assert_eq!(short(&seen), expected, "{host:?} and {theirs:?}");
            let signals = case.signals();
            let stands = |it| matches!(it, Whole | Half | Foreign | Anothers);
            let object = |it: &Looked<Object>| match it {
                Looked::Never => "never",
                Looked::Blind(_) => "blind",
                Looked::Absent => "absent",
                Looked::Present(_) => "present",
            };
            let word = |it| if stands(it) { "present" } else { "absent" };
            assert_eq!(object(&signals.host.object), word(host), "{host:?} and {theirs:?}");
            let expected = match theirs {
                Is(it) => word(it),
                Unseen => "blind",
                Manual => "never",
            };
            assert_eq!(object(&signals.tenant.object), expected, "{host:?} and {theirs:?}");
        }
    }
}

/// A row whose host's side has nothing of this tenant's.
fn nothing() -> [String; 9] {
    let theirs = [
        "-",
        "absent whole",
        "absent half",
        "absent half",
        "- +tenant",
        "- +tenant of tenant dyroy",
        "-",
        "?",
        "-",
    ];
    theirs.map(ToOwned::to_owned)
}

/// A row whose host's side is ours.
fn ours(host: &str) -> [String; 9] {
    let theirs = [
        "absent",
        "whole",
        "half",
        "half",
        "foreign +tenant",
        "foreign +tenant of tenant dyroy",
        "absent",
        "whole",
        "manual",
    ];
    theirs.map(|theirs| format!("{host} {theirs}"))
}

/// A row whose host's side is somebody else's.
fn foreign(foreign: &str) -> [String; 9] {
    [
        format!("- {foreign}"),
        format!("foreign whole {foreign}"),
        format!("foreign half {foreign}"),
        format!("foreign half {foreign}"),
        format!("- {foreign} +tenant"),
        format!("- {foreign} +tenant of tenant dyroy"),
        format!("- {foreign}"),
        format!("? {foreign}"),
        format!("- {foreign}"),
    ]
}

#[test]
fn what_is_not_seen_is_taken_as_it_is_wanted_and_said() {
    let mut case = case(Whole, Theirs::Unseen);
    case.wanted.to_tenant = Some(Access { selective: true, filters_sids: false, allowed: Vec::new() });
    let present = case.present();
    for (name, expected) in [
        (field::TENANT, json!("whole")),
        (field::MIRRORED, json!(true)),
        (field::TENANT_SELECTIVE, json!(true)),
        (field::TENANT_FILTERS, json!(false)),
        (field::TENANT_CHANNEL, json!("well")),
        (field::HOST_SELECTIVE, json!(false)),
    ] {
        assert_eq!(present.fields.get(name), Some(&expected), "{name}");
    }
    assert_eq!(
        present.notices,
        ["the tenant's directory is not seen: it does not answer: nobody answers".to_owned()]
    );
    assert!(whole().present().notices.is_empty());
}

type Change = fn(&mut Case);

fn windows(case: &mut Case) {
    case.host.description.forwarders = true;
}

/// A host whose DNS has forwarders, and what it and the tenant's own servers say of the names.
fn looked(case: &mut Case, dns: Dns, their_dns: Dns) {
    windows(case);
    case.health.get_or_insert_default().way = Some(Way { dns, their_dns, ..Way::default() });
}

#[test]
#[allow(clippy::too_many_lines)] // a table
fn each_field_says_what_stands() {
    let rows: [(&str, Change, &str, Json); 25] = [
        ("the host's word counts", |_| {}, field::DIRECTION, json!("bidirectional")),
        (
            "the host's word counts",
            |it| it.host_trust().direction = Some(Direction::Outbound),
            field::DIRECTION,
            json!("outbound"),
        ),
        (
            "where it has none, the tenant's does",
            |it| {
                it.host = host_told(Recorded);
                it.their_trust().direction = Some(Direction::Outbound);
            },
            field::DIRECTION,
            json!("inbound"),
        ),
        ("switched off", |it| it.host_trust().direction = None, field::DIRECTION, json!("disabled")),
        ("with a realm", |it| it.host_trust().kind = Kind::Other, field::KIND, json!("Other")),
        ("of two domains", |it| it.host_trust().kind = Kind::External, field::KIND, json!("External")),
        ("both ways are a mirror", |_| {}, field::MIRRORED, json!(true)),
        (
            "in and out are one",
            |it| {
                it.host_trust().direction = Some(Direction::Inbound);
                it.their_trust().direction = Some(Direction::Outbound);
            },
            field::MIRRORED,
            json!(true),
        ),
        (
            "both in are none",
            |it| {
                it.host_trust().direction = Some(Direction::Inbound);
                it.their_trust().direction = Some(Direction::Inbound);
            },
            field::MIRRORED,
            json!(false),
        ),
        ("one switched off", |it| it.their_trust().direction = None, field::MIRRORED, json!(false)),
        ("another type", |it| it.their_trust().kind = Kind::External, field::MIRRORED, json!(false)),
        (
            "with another domain",
            |it| it.host_trust().sid = Some("S-1-5-21-7-7-7".to_owned()),
            field::MIRRORED,
            json!(false),
        ),
        (
            "with another domain",
            |it| it.their_trust().sid = Some("S-1-5-21-7-7-7".to_owned()),
            field::MIRRORED,
            json!(false),
        ),
        (
            "each side tells its own",
            |it| it.host_trust().selective = true,
            field::HOST_SELECTIVE,
            json!(true),
        ),
        (
            "each side tells its own",
            |it| it.host_trust().selective = true,
            field::TENANT_SELECTIVE,
            json!(false),
        ),
        (
            "each side tells its own",
            |it| it.their_trust().filters_sids = false,
            field::TENANT_FILTERS,
            json!(false),
        ),
        ("it was not tried whether the names are found", windows, field::HOST_FORWARDER, json!(true)),
        (
            "they are found, whoever forwards them",
            |it| looked(it, Dns::Answers, Dns::Answers),
            field::HOST_FORWARDER,
            json!(true),
        ),
        ("they are not", |it| looked(it, Dns::NamesNone, Dns::Answers), field::HOST_FORWARDER, json!(false)),
        (
            "nobody knows them",
            |it| looked(it, Dns::NamesNone, Dns::NamesNone),
            field::HOST_FORWARDER,
            json!(true),
        ),
        (
            "the forwarder is there, and does not help",
            |it| {
                looked(it, Dns::NamesNone, Dns::Answers);
                it.host_trust().mark = Some(Mark { forwarder: true, ..crate::testing::mark("ibestad") });
            },
            field::HOST_FORWARDER,
            json!(true),
        ),
        (
            "it is made with the side",
            |it| {
                looked(it, Dns::NamesNone, Dns::Answers);
                it.host.trusts = host_told(Recorded).trusts;
            },
            field::HOST_FORWARDER,
            json!(true),
        ),
        (
            "Samba has none",
            |it| {
                looked(it, Dns::NamesNone, Dns::Answers);
                it.host.description.forwarders = false;
            },
            field::HOST_FORWARDER,
            json!(true),
        ),
        ("it was not tried", |_| {}, field::HOST_CHANNEL, json!("well")),
        (
            "only a stale one is healed",
            |it| {
                let health = it.health.insert(Health::default());
                health.host.channel = Some(Channel::Stale);
                health.tenant.channel = Some(Channel::WrongSecret);
            },
            field::HOST_CHANNEL,
            json!("stale"),
        ),
    ];
    for (why, change, name, expected) in rows {
        let mut case = whole();
        change(&mut case);
        assert_eq!(case.field(name), expected, "{name}: {why}");
    }
    let mut wrong = whole();
    wrong.health = Some(Health::default());
    wrong.health.as_mut().unwrap().tenant.channel = Some(Channel::WrongSecret);
    assert_eq!(wrong.field(field::TENANT_CHANNEL), json!("well"), "another secret is told, not healed");
}

#[test]
fn a_secret_is_as_old_as_the_clock_that_wrote_its_time_says() {
    // The mark's time, the agent's clock, what is asked for, and whether it is older.
    let rows = [
        ("2026-11-01T12:00:00Z", "2026-11-29T12:00:00Z", None, "current", "nothing is asked for"),
        (
            "2026-11-01T12:00:00Z",
            "2026-11-29T12:00:00Z",
            Some("2026-11-29T11:00:00Z"),
            "older than newSecretAfter",
            "it is four weeks old",
        ),
        (
            "2026-11-29T11:00:00Z",
            "2026-11-29T12:00:00Z",
            Some("2026-11-29T11:00:00Z"),
            "current",
            "it is as young as that",
        ),
        (
            "2026-11-01T12:00:00Z",
            "2026-11-29T10:00:00Z",
            Some("2026-11-29T11:00:00Z"),
            "current",
            "the clock is behind: one made now would be as old again",
        ),
        (
            "2026-11-29T11:00:00Z",
            "2026-11-29T11:00:00Z",
            Some("2026-11-29T11:00:00Z"),
            "current",
            "the clock was behind and has caught up",
        ),
        (
            "2026-11-01T12:00:00Z",
            "2026-11-29T11:00:00Z",
            Some("2026-11-29T11:00:00Z"),
            "older than newSecretAfter",
            "the clock has come to it",
        ),
        (
            "2026-11-29T13:30:00Z",
            "2026-11-29T13:31:00Z",
            Some("2026-11-29T11:00:00Z"),
            "current",
            "the clock is ahead, and so is what it wrote",
        ),
        (
            "2026-11-01T12:00:00Z",
            "2026-11-29T14:00:00Z",
            Some("2026-11-29T13:00:00Z"),
            "older than newSecretAfter",
            "the clock is ahead of a time to come: one made now is as young as is asked for",
        ),
    ];
    for (since, clock, after, expected, why) in rows {
        let change = |told: &mut Told| {
            told.description.clock = at(clock);
            let mark = told.trusts.trusts[0].mark.take().unwrap();
            told.trusts.trusts[0].mark = Some(Mark { since: at(since), ..mark });
        };
        let mut by_host = whole();
        by_host.wanted.new_secret_after = after.map(at);
        change(&mut by_host.host);
        let young = Some(Mark { since: at("2026-11-29T20:00:00Z"), ..crate::testing::mark("ibestad") });
        by_host.their_trust().mark.clone_from(&young);
        assert_eq!(by_host.field(field::SECRET), json!(expected), "the host: {why}");
        let mut by_tenant = whole();
        by_tenant.wanted.new_secret_after = after.map(at);
        change(by_tenant.theirs());
        by_tenant.host_trust().mark = young;
        assert_eq!(by_tenant.field(field::SECRET), json!(expected), "the tenant: {why}");
    }
}

#[test]
fn the_sid_is_the_pinned_one_or_the_agents_word() {
    let pinned = Some("S-1-5-21-7-7-7".to_owned());
    for (theirs, sid, expected) in [
        (Theirs::Is(Absent), None, Some(TENANT_SID)),
        (Theirs::Is(Absent), pinned.clone(), Some("S-1-5-21-7-7-7")),
        (Theirs::Unseen, None, None),
        (Theirs::Manual, pinned, Some("S-1-5-21-7-7-7")),
    ] {
        let mut case = case(Absent, theirs);
        case.wanted.sid = sid;
        assert_eq!(case.signals().sid.as_deref(), expected, "{theirs:?}");
    }
}

/// Who refuses, why, and what the message holds.
type Refusal = (Which, &'static str, &'static str);

#[test]
fn what_would_be_refused_is_said_before_it_is_asked_for() {
    let rows: [(&str, Change, Option<Refusal>); 11] = [
        ("all is allowed", |_| {}, None),
        (
            "the role has gone elsewhere",
            |it| it.host.description.is_pdc = false,
            Some((Which::Host, "NotPdc", "dc.host.test is not the PDC emulator of host.test")),
        ),
        (
            "likewise on the other side",
            |it| it.theirs().description.is_pdc = false,
            Some((Which::Tenant, "NotPdc", "dc.ibestad.test is not the PDC emulator")),
        ),
        (
            "nobody is allowed",
            |it| it.host.description.partners.clear(),
            Some((Which::Host, "PartnerNotAllowed", "a trust with ibestad.test, direction bidirectional")),
        ),
        (
            "one way each is not both",
            |it| {
                it.theirs().description.partners[0].directions =
                    vec![Direction::Inbound, Direction::Outbound];
            },
            Some((Which::Tenant, "PartnerNotAllowed", "a trust with host.test, direction bidirectional")),
        ),
        (
            "one way is seen from each side",
            |it| {
                it.wanted.to_tenant = None;
                it.host.description.partners[0].directions = vec![Direction::Outbound];
                it.theirs().description.partners[0].directions = vec![Direction::Inbound];
            },
            None,
        ),
        (
            "and the other way is another",
            |it| {
                it.wanted.to_tenant = None;
                it.theirs().description.partners[0].directions = vec![Direction::Outbound];
            },
            Some((Which::Tenant, "PartnerNotAllowed", "a trust with host.test, direction inbound")),
        ),
        (
            "another tenant's",
            |it| it.host_trust().mark = Some(mark("dyroy")),
            Some((
                Which::Host,
                "ConflictingTrust",
                "the trust of host.test with ibestad.test belongs to tenant dyroy",
            )),
        ),
        (
            "another installation's",
            |it| {
                it.their_trust().mark = None;
                it.theirs().trusts.others = vec![of_sor("host.test")];
            },
            Some((
                Which::Tenant,
                "ConflictingTrust",
                "of ibestad.test with host.test belongs to installation sor",
            )),
        ),
        (
            "another installation's, with others",
            |it| {
                it.host_trust().mark = None;
                it.host.trusts.others = vec![of_sor("dyroy.test")];
            },
            None,
        ),
        (
            "what was refused goes first",
            |it| {
                it.host.description.is_pdc = false;
                let (reason, message) = ("NoRights".to_owned(), "no".to_owned());
                it.refused = Some(Refused { by: Which::Tenant, reason, message });
            },
            Some((Which::Tenant, "NoRights", "no")),
        ),
    ];
    for (why, change, expected) in rows {
        let mut case = whole();
        change(&mut case);
        let signals = case.signals();
        let refusal = signals.refusal.as_ref();
        assert_eq!(
            refusal.map(|it| (it.by, it.reason.as_str())),
            expected.map(|(by, reason, _)| (by, reason)),
            "{why}"
        );
        if let (Some(refusal), Some((.., text))) = (refusal, expected) {
            assert!(refusal.message.contains(text), "{why}: {}", refusal.message);
        }
    }
}

#[test]
fn the_signals_are_each_sides_own() {
    let mut case = whole();
    case.host.trusts.orphans = vec!["ibestad".to_owned()];
    case.host.description.sets = true;
    case.theirs().description.selective = true;
    case.theirs().trusts.orphans = vec!["OTHER".to_owned()];
    case.host_trust().names_in_conflict = vec!["ibestad.no".to_owned()];
    case.their_trust().sid = None;
    case.health = Some(Health {
        way: Some(Way::default()),
        host: Working { channel: Some(Channel::Well), ticket: None },
        tenant: Working { channel: None, ticket: Some(Ticket::Had) },
    });
    let signals = case.signals();
    let (host, tenant) = (&signals.host, &signals.tenant);
    assert!(host.has_orphan, "by its NetBIOS name, however it is written");
    assert!(!tenant.has_orphan, "that of another trust stands in nobody's way");
    assert_eq!((host.can.sets, host.can.selects), (true, false));
    assert_eq!((tenant.can.sets, tenant.can.selects), (false, true));
    assert_eq!(host.object.present().unwrap().conflicts, ["ibestad.no".to_owned()]);
    assert_eq!(tenant.object.present().unwrap().sid, "");
    assert_eq!((&host.channel, &host.ticket), (&Some(Channel::Well), &None));
    assert_eq!((&tenant.channel, &tenant.ticket), (&None, &Some(Ticket::Had)));
    assert!(signals.todo.is_empty(), "an agent is there");
    let todo = self::case(Whole, Theirs::Manual).signals().todo.join("\n");
    assert!(todo.contains("'host.test'") && !todo.contains("ibestad-agreed"), "{todo}");
}
