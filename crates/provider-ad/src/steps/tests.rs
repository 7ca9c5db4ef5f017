//! What is done about each difference, through the whole of the plan: the manifest on one side, what the agents tell on the other.

mod foreign;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vertskommune_core::directory::health::{Dns, Way};
use vertskommune_core::directory::{Access, Direction, Directory, TrustKind};
use vertskommune_core::domain::{Domain, Inputs};
use vertskommune_core::host::Host;
use vertskommune_core::names::{Installation, ResourceKey, TenantName};
use vertskommune_core::observation::{Blindness, Seen};
use vertskommune_core::plan::{Basis, Plan, plan};
use vertskommune_core::tenant::{Deletion, DeletionPolicy, DriftPolicy, ValidatedTenant};
use vertskommune_core::windows::{Maintenance, Window};

use super::*;
use crate::HostDirectory;
use crate::observe::{Health, Known, Told};
use crate::protocol::{Kind, Mark};
use crate::settings::Settings;
use crate::testing::Stands::{Absent, Anothers, Foreign, Half, Recorded, Whole};
use crate::testing::{self, CLOCK, Stands, at, host_told, manual, tenant_told, wanted};

/// What is asked for, what stands, and the time.
struct World {
    wanted: Option<Directory>,
    leaving: bool,
    host: Told,
    theirs: Option<Result<Told, Blindness>>,
    health: Health,
    healed: Option<(Which, &'static str)>,
    now: &'static str,
    windows: Maintenance,
}

fn world(host: Stands, theirs: Stands) -> World {
    World {
        wanted: Some(wanted()),
        leaving: false,
        host: host_told(host),
        theirs: Some(Ok(tenant_told(theirs))),
        health: Health::default(),
        healed: None,
        now: CLOCK,
        windows: Maintenance::default(),
    }
}

/// Where people make the tenant's side.
fn alone(host: Stands) -> World {
    World { wanted: Some(manual()), theirs: None, ..world(host, Absent) }
}

fn unseen(host: Stands) -> World {
    let why = Blindness::Unreachable("nobody answers".to_owned());
    World { theirs: Some(Err(why)), ..world(host, Absent) }
}

impl World {
    fn tenant(&self) -> ValidatedTenant {
        ValidatedTenant {
            name: "ibestad".into(),
            display_name: "Ibestad kommune".to_owned(),
            municipality_number: None,
            networks: Vec::new(),
            compute: None,
            servers: Vec::new(),
            firewall: None,
            backup: None,
            directory: self.wanted.clone(),
            maintenance: self.windows.clone(),
            drift_policy: DriftPolicy::Heal,
            deletion_policy: DeletionPolicy { directory: Deletion::Remove, ..DeletionPolicy::default() },
            suspend: false,
            allow_destroy: BTreeSet::new(),
            accept_loss: None,
        }
    }

    fn seen(&self, host: &Host) -> Observation {
        let mut seen = Observation::empty(&host.name);
        let Some(wanted) = &self.wanted else {
            // As of a trust that no manifest names: its host's side alone.
            let mut present = Present::default();
            present.fields.insert(field::HOST, stand::WHOLE);
            present.fields.insert(field::DOMAIN, "ibestad.test");
            let key = ResourceKey::new(TRUST, "ibestad.test");
            let things = seen.seen.entry("ibestad".into()).or_default();
            things.insert(key, Seen::Present(Arc::new(present)));
            return seen;
        };
        let known = Known {
            tenant: &TenantName::from("ibestad"),
            wanted,
            host: &self.host,
            theirs: self.theirs.as_ref(),
            health: Some(&self.health),
            refused: None,
        };
        known.add(&Settings::read(host).unwrap(), &mut seen);
        seen
    }

    fn plan(&self) -> Plan {
        let host = testing::host();
        let installation = Installation::from("nord");
        let directory = HostDirectory::new(&installation, &host, Settings::read(&host).unwrap());
        if let Some((which, when)) = self.healed {
            directory.state().healed.insert(("ibestad".into(), which), at(when));
        }
        let tenant = self.tenant();
        let inputs = Inputs { installation, tenant: tenant.clone() };
        let desired = if self.leaving { Vec::new() } else { directory.expand(&inputs).unwrap() };
        let domain: &dyn Domain = &directory;
        plan(&Basis {
            now: at(self.now),
            tenant: &tenant,
            leaving: self.leaving,
            desired: &BTreeMap::from([(host.name.clone(), desired)]),
            hosts: &BTreeMap::from([(host.name.clone(), host.clone())]),
            domains: &BTreeMap::from([(host.name.clone(), domain)]),
            observations: &BTreeMap::from([(host.name.clone(), Arc::new(self.seen(&host)))]),
            findings: &[],
            retries: &BTreeMap::new(),
            halted: None,
        })
    }

    fn step(&self) -> Step {
        let plan = self.plan();
        assert_eq!(plan.steps.len(), 1, "{:?}", said(&plan));
        plan.steps[0].step.clone()
    }

    fn host_trust(&mut self) -> &mut crate::protocol::Trust {
        &mut self.host.trusts.trusts[0]
    }

    fn theirs(&mut self) -> &mut Told {
        self.theirs.as_mut().unwrap().as_mut().unwrap()
    }

    fn their_trust(&mut self) -> &mut crate::protocol::Trust {
        &mut self.theirs().trusts.trusts[0]
    }

    fn wanted(&mut self) -> &mut Directory {
        self.wanted.as_mut().unwrap()
    }

    fn selective(&mut self) {
        self.wanted().to_host = Some(Access { selective: true, filters_sids: true, allowed: Vec::new() });
    }
}

/// A plan in short: each step's operation, class, and what it waits for, with its summary; then what is refused or in doubt.
fn said(plan: &Plan) -> Vec<String> {
    let step = |it: &vertskommune_core::plan::PlannedStep| {
        let wait = it.wait.as_ref().map(|wait| format!(" [{}]", wait.word())).unwrap_or_default();
        format!("{} {}{wait}: {}", it.step.operation, it.step.class, it.step.summary)
    };
    let refusal = |it: &Refusal| format!("refused at {}: {}", it.field, it.message);
    let doubt = |it: &vertskommune_core::plan::Doubt| format!("unknown: {}", it.why);
    let steps = plan.steps.iter().map(step);
    steps.chain(plan.refusals.iter().map(refusal)).chain(plan.doubts.iter().map(doubt)).collect()
}

type Change = fn(&mut World);

#[track_caller]
fn hold<const N: usize>(rows: [(&str, World, Change, &[&str]); N]) {
    let mut wrong = Vec::new();
    for (why, mut world, change, expected) in rows {
        change(&mut world);
        let said = said(&world.plan());
        if said != expected {
            wrong.push(format!("{why}: {said:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_not_there_is_made() {
    hold([
        ("all is well", world(Whole, Whole), |_| {}, &[]),
        (
            "nothing is there",
            world(Absent, Absent),
            |_| {},
            &["create create: forest trust, bidirectional, with ibestad.test"],
        ),
        (
            "one way alone",
            world(Absent, Absent),
            |it| it.wanted().to_tenant = None,
            &["create create: forest trust, outbound, with ibestad.test"],
        ),
        (
            "people make the other side",
            alone(Absent),
            |_| {},
            &["create create: forest trust, bidirectional, on the host's side, with ibestad.test"],
        ),
        ("people make the other side, and ours stands", alone(Whole), |_| {}, &[]),
        (
            "an account is left on one side",
            world(Absent, Absent),
            |it| it.host.trusts.orphans = vec!["IBESTAD".to_owned()],
            &[
                "create create: forest trust, bidirectional, with ibestad.test; the account that a deleted trust left on the host's \
               side goes",
            ],
        ),
        (
            "an account is left on both",
            world(Absent, Absent),
            |it| {
                it.host.trusts.orphans = vec!["IBESTAD".to_owned()];
                it.theirs().trusts.orphans = vec!["HOST".to_owned()];
            },
            &[
                "create create: forest trust, bidirectional, with ibestad.test; the account that a deleted trust left on the host's \
               side and the tenant's side goes",
            ],
        ),
        (
            "nothing of ours is seen, and one side is not",
            unseen(Absent),
            |_| {},
            &["unknown: it does not answer: nobody answers"],
        ),
    ]);
}

#[test]
fn a_trust_with_one_side_is_made_anew_at_once() {
    let anew = "renew change: forest trust, bidirectional, with ibestad.test on both sides, of which one is not whole";
    hold([
        ("the tenant's is missing", world(Whole, Absent), |_| {}, &[anew]),
        ("the host's is missing", world(Absent, Whole), |_| {}, &[anew]),
        ("the making was cut off", world(Half, Absent), |_| {}, &[anew]),
        ("likewise, on the other side", world(Whole, Half), |_| {}, &[anew]),
        ("somebody deleted it", world(Recorded, Whole), |_| {}, &[anew]),
        ("somebody deleted both", world(Recorded, Recorded), |_| {}, &[anew]),
        (
            "and an account is left",
            world(Recorded, Whole),
            |it| it.host.trusts.orphans = vec!["IBESTAD".to_owned()],
            &[
                "renew change: forest trust, bidirectional, with ibestad.test on both sides, of which one is not whole; the account \
               that a deleted trust left on the host's side goes",
            ],
        ),
        (
            "in mode Manual there is one side",
            alone(Half),
            |_| {},
            &[
                "renew change: forest trust, bidirectional, on the host's side, with ibestad.test which is not whole",
            ],
        ),
        (
            "the other side is not seen",
            unseen(Half),
            |_| {},
            &[
                "renew change [Unreachable]: forest trust, bidirectional, with ibestad.test on both sides, of which one is not whole",
            ],
        ),
        ("it stands, and the other side is not seen", unseen(Whole), |_| {}, &[]),
    ]);
}

#[test]
#[allow(clippy::too_many_lines)] // a table
fn what_cannot_be_changed_in_place_waits_for_a_window() {
    hold([
        (
            "the manifest asks for one way",
            world(Whole, Whole),
            |it| it.wanted().to_tenant = None,
            &[
                "renew restart [MaintenanceWindow]: removed and made anew on both sides, for direction bidirectional → outbound: users \
               of the other side are locked out for some seconds",
            ],
        ),
        (
            "the manifest asks for another type",
            world(Whole, Whole),
            |it| it.wanted().kind = TrustKind::External,
            &[
                "renew restart [MaintenanceWindow]: removed and made anew on both sides, for type Forest → External: users of the \
               other side are locked out for some seconds",
            ],
        ),
        (
            "somebody switched it off",
            world(Whole, Whole),
            |it| {
                it.host_trust().direction = None;
                it.their_trust().direction = None;
            },
            &[
                "renew restart [MaintenanceWindow]: removed and made anew on both sides, for direction disabled → bidirectional: \
               users of the other side are locked out for some seconds",
            ],
        ),
        (
            "somebody changed the tenant's side",
            world(Whole, Whole),
            |it| it.their_trust().direction = Some(Direction::Inbound),
            &[
                "renew restart [MaintenanceWindow]: removed and made anew on both sides, for sides that do not mirror each other: \
               users of the other side are locked out for some seconds",
            ],
        ),
        (
            "Samba cannot change it in place",
            world(Whole, Whole),
            World::selective,
            &[
                "renew restart [MaintenanceWindow]: removed and made anew on both sides, for toHost.selectiveAuthentication false → \
               true: users of the other side are locked out for some seconds",
            ],
        ),
        (
            "in mode Manual the other side is not ours to make",
            alone(Whole),
            World::selective,
            &[
                "renew restart [MaintenanceWindow]: removed and made anew on the host's side, for toHost.selectiveAuthentication \
               false → true: users of the other side are locked out until its administrators have made theirs anew",
            ],
        ),
        (
            "a permission counts as a window",
            world(Whole, Whole),
            |it| {
                it.wanted().kind = TrustKind::External;
                it.wanted().restart_before = Some(at("2026-11-30T00:00:00Z"));
            },
            &[
                "renew restart: removed and made anew on both sides, for type Forest → External: users of the other side are locked \
               out for some seconds",
            ],
        ),
        (
            "a permission that has run out does not",
            world(Whole, Whole),
            |it| {
                it.wanted().kind = TrustKind::External;
                it.wanted().restart_before = Some(at(CLOCK));
            },
            &[
                "renew restart [MaintenanceWindow]: removed and made anew on both sides, for type Forest → External: users of the \
               other side are locked out for some seconds",
            ],
        ),
        (
            "a window is open",
            world(Whole, Whole),
            |it| {
                it.wanted().kind = TrustKind::External;
                it.windows.windows.push(window("0 11 * * *"));
            },
            &[
                "renew restart: removed and made anew on both sides, for type Forest → External: users of the other side are locked \
               out for some seconds",
            ],
        ),
        (
            "the other side is not seen",
            unseen(Whole),
            |it| it.wanted().kind = TrustKind::External,
            &[
                "renew restart [Unreachable]: removed and made anew on both sides, for type Forest → External: users of the other \
               side are locked out for some seconds",
            ],
        ),
    ]);
}

fn window(schedule: &str) -> Window {
    let window = json!({"schedule": schedule, "duration": "4h", "timeZone": "UTC"});
    serde_json::from_value(window).unwrap()
}

#[test]
fn how_authentication_goes_is_changed_in_place_where_the_agent_can() {
    hold([
        (
            "on the host's side",
            world(Whole, Whole),
            |it| {
                it.selective();
                it.host.description.sets = true;
            },
            &["set change: toHost.selectiveAuthentication false → true on the host's side"],
        ),
        (
            "on the tenant's side",
            world(Whole, Whole),
            |it| {
                it.wanted().to_tenant =
                    Some(Access { selective: true, filters_sids: false, allowed: vec![] });
                it.theirs().description.sets = true;
            },
            &[
                "set change: toTenant.selectiveAuthentication false → true, toTenant.sidFiltering true → false on the tenant's side",
            ],
        ),
        (
            "on both",
            world(Whole, Whole),
            |it| {
                it.host_trust().filters_sids = false;
                it.their_trust().filters_sids = false;
                it.host.description.sets = true;
                it.theirs().description.sets = true;
            },
            &[
                "set change: toHost.sidFiltering false → true on the host's side",
                "set change: toTenant.sidFiltering false → true on the tenant's side",
            ],
        ),
        (
            "the other side's agent cannot: that the host's can does not help",
            world(Whole, Whole),
            |it| {
                it.their_trust().filters_sids = false;
                it.host.description.sets = true;
            },
            &[
                "renew restart [MaintenanceWindow]: removed and made anew on both sides, for toTenant.sidFiltering false → true: \
               users of the other side are locked out for some seconds",
            ],
        ),
        (
            "what is made anew is not changed before",
            world(Whole, Whole),
            |it| {
                it.selective();
                it.wanted().kind = TrustKind::External;
                it.host.description.sets = true;
            },
            &[
                "renew restart [MaintenanceWindow]: removed and made anew on both sides, for type Forest → External: users of the \
               other side are locked out for some seconds",
            ],
        ),
        (
            "the host's DNS does not find the tenant's domain",
            world(Whole, Whole),
            |it| lost(it, false),
            &["forward change: forward the names of ibestad.test in the host's DNS"],
        ),
        (
            "a forwarder is there, and to make it again helps nobody",
            world(Whole, Whole),
            |it| lost(it, true),
            &[],
        ),
        (
            "others forward it: the agent makes none, and none is missing",
            world(Whole, Whole),
            |it| {
                it.host.description.forwarders = true;
                it.theirs().description.forwarders = true;
                it.health.way = Some(Way::default());
            },
            &[],
        ),
    ]);
}

/// A host whose DNS could have a forwarder and does not find the tenant's domain.
fn lost(world: &mut World, has_one: bool) {
    world.host.description.forwarders = true;
    world.health.way = Some(Way { dns: Dns::NamesNone, ..Way::default() });
    world.host_trust().mark = Some(Mark { forwarder: has_one, ..testing::mark("ibestad") });
}

#[test]
fn a_new_secret_interrupts_what_works_and_nothing_else() {
    let after = |it: &mut World| it.wanted().new_secret_after = Some(at("2026-11-29T11:00:00Z"));
    let broken = |channel: Channel| {
        let mut world = world(Whole, Whole);
        after(&mut world);
        world.health.tenant.channel = Some(channel);
        world
    };
    let window = "renew restart [MaintenanceWindow]: removed and made anew on both sides, for a new secret: users of the other side are \
                  locked out for some seconds";
    hold([
        (
            "it works",
            world(Whole, Whole),
            |it| it.wanted().new_secret_after = Some(at("2026-11-29T11:00:00Z")),
            &[window],
        ),
        ("the channel is well", broken(Channel::Well), |_| {}, &[window]),
        (
            "the sides have different ones",
            broken(Channel::WrongSecret),
            |_| {},
            &["renew change: a new secret for the trust with ibestad.test, whose sides have different ones"],
        ),
        (
            "another fault is none of the secret's",
            broken(Channel::Failed("no".to_owned())),
            |_| {},
            &[window],
        ),
        (
            "the sides have different ones, and nobody asks for another",
            broken(Channel::WrongSecret),
            |it| it.wanted().new_secret_after = None,
            &[],
        ),
        (
            "it is young enough",
            broken(Channel::WrongSecret),
            |it| {
                let young = Some(Mark { since: at("2026-11-29T11:30:00Z"), ..testing::mark("ibestad") });
                it.host_trust().mark.clone_from(&young);
                it.their_trust().mark = young;
            },
            &[],
        ),
    ]);
}

#[test]
fn a_stale_channel_is_healed_every_ten_minutes_at_most() {
    let stale = |healed, now| {
        let mut world = World { healed, now, ..world(Whole, Whole) };
        world.health.host.channel = Some(Channel::Stale);
        world
    };
    let now = "heal change: a new secure channel on the host's side, whose present one is of a trust before";
    let later = "heal change [RetryLater]: a new secure channel on the host's side, whose present one is of a trust before";
    let tried = Some((Which::Host, "2026-11-29T12:00:00Z"));
    hold([
        ("never tried", stale(None, CLOCK), |_| {}, &[now]),
        ("just tried", stale(tried, "2026-11-29T12:00:01Z"), |_| {}, &[later]),
        ("a second less", stale(tried, "2026-11-29T12:09:59Z"), |_| {}, &[later]),
        ("ten minutes ago", stale(tried, "2026-11-29T12:10:00Z"), |_| {}, &[now]),
        (
            "the other side was tried",
            stale(Some((Which::Tenant, "2026-11-29T12:00:00Z")), CLOCK),
            |_| {},
            &[now],
        ),
        (
            "the tenant's side",
            world(Whole, Whole),
            |it| it.health.tenant.channel = Some(Channel::Stale),
            &[
                "heal change: a new secure channel on the tenant's side, whose present one is of a trust before",
            ],
        ),
        (
            "with other secrets nothing is healed",
            world(Whole, Whole),
            |it| it.health.host.channel = Some(Channel::WrongSecret),
            &[],
        ),
    ]);
}

#[test]
fn a_trust_goes_with_its_tenant() {
    let leaving = |world: World| World { leaving: true, ..world };
    hold([
        (
            "both sides",
            leaving(world(Whole, Whole)),
            |_| {},
            &["remove remove: remove the trust with ibestad.test on both sides"],
        ),
        (
            "in mode Manual ours alone",
            leaving(alone(Whole)),
            |_| {},
            &[
                "remove remove: remove the trust with ibestad.test on the host's side; the other is its administrators'",
            ],
        ),
        (
            "half of it",
            leaving(world(Recorded, Absent)),
            |_| {},
            &["remove remove: remove the trust with ibestad.test on both sides"],
        ),
        ("nothing of ours", leaving(world(Absent, Absent)), |_| {}, &[]),
        ("somebody else's stays", leaving(world(Foreign, Foreign)), |_| {}, &[]),
        (
            "the other side is not seen",
            leaving(unseen(Whole)),
            |_| {},
            &[
                "remove remove [Unreachable]: remove the trust with ibestad.test on both sides; should the other never answer again, \
               partnerSide.mode Manual has the host's alone removed",
            ],
        ),
        (
            "the manifest names it no more: it stays",
            World { wanted: None, ..world(Whole, Whole) },
            |_| {},
            &[],
        ),
    ]);
    let sides = |world: World| {
        let step = leaving(world).step();
        step.fields[field::SIDES].as_known().unwrap().clone()
    };
    assert_eq!(sides(world(Whole, Whole)), json!(["host", "tenant"]));
    assert_eq!(sides(world(Whole, Foreign)), json!(["host"]), "what others made there stays");
    assert_eq!(sides(world(Absent, Half)), json!(["tenant"]));
    assert_eq!(sides(alone(Whole)), json!(["host"]));
    let mut other = world(Whole, Whole);
    other.theirs().description.sid = "S-1-5-21-7-7-7".to_owned();
    let step = leaving(other).step();
    assert_eq!(
        step.fields[field::SID],
        Value::known(json!(testing::TENANT_SID)),
        "it goes though another answers"
    );
}

#[test]
fn a_step_expects_what_was_seen() {
    let mut flipped = world(Whole, Whole);
    flipped.wanted().to_tenant = None;
    flipped.health.host.channel = Some(Channel::Stale);
    lost(&mut flipped, false);
    let mut set = world(Whole, Whole);
    set.selective();
    set.host.description.sets = true;
    let mut removed = with_place(&json!({"hostSide": "whole", "tenantSide": "half"}));
    removed.as_object_mut().unwrap().remove("dnsServers");
    let ways = json!({
        "hostSide": "whole", "tenantSide": "whole", "type": "Forest", "direction": "bidirectional",
        "toHost.selectiveAuthentication": false, "toHost.sidFiltering": true,
    });
    for (why, step, expected) in [
        (
            "nothing is there",
            world(Absent, Absent).step(),
            json!({"hostSide": "absent", "tenantSide": "absent"}),
        ),
        ("likewise in mode Manual", alone(Absent).step(), json!({"hostSide": "absent"})),
        // What a channel was like, and DNS, was tried some time ago.
        ("what it is made anew for, and what stands", flipped.step(), with_place(&ways)),
        (
            "what is set, and what stands beside it",
            set.step(),
            with_place(&json!({
                "toHost.selectiveAuthentication": false, "toHost.sidFiltering": true,
                "toTenant.selectiveAuthentication": false, "toTenant.sidFiltering": true,
            })),
        ),
        (
            "as it was taken over",
            world(Foreign, Foreign).step(),
            with_place(&json!({
                "hostSide": "foreign", "tenantSide": "foreign", "direction": "bidirectional", "type": "Forest", "mirrored": true,
            })),
        ),
        ("what is removed", World { leaving: true, ..world(Whole, Half) }.step(), removed),
    ] {
        let expects: BTreeMap<String, Json> =
            step.expects.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
        assert_eq!(json!(expects), expected, "{why}");
    }
}

/// These facts, and who is on the other side and where, which every step on a trust that stands expects.
fn with_place(facts: &Json) -> Json {
    let mut all = json!({
        "domain": "ibestad.test", "netbiosName": "IBESTAD", "dnsServers": ["10.77.0.11"], "partner.secretRef": "ibestad-dc",
        "partner.endpoint": "ssh://root@10.77.0.11", "partner.identity": testing::HOST_KEY,
    });
    for (name, value) in facts.as_object().unwrap() {
        all[name] = value.clone();
    }
    all
}

#[test]
fn the_text_of_a_step_shows_what_becomes_otherwise() {
    let mut one_way = world(Whole, Whole);
    one_way.wanted().to_tenant = None;
    let mut set = world(Whole, Whole);
    set.selective();
    set.host.description.sets = true;
    let mut stale = world(Whole, Whole);
    stale.health.host.channel = Some(Channel::Stale);
    for (world, expected) in [
        (
            one_way,
            "  ↻ trust/ibestad.test  removed and made anew on both sides, for direction bidirectional → outbound: users of the other side \
             are locked out for some seconds
      direction: bidirectional → outbound
      domainSid: S-1-5-21-3633341636-3194244548-271816853
",
        ),
        (
            set,
            "  ~ trust/ibestad.test  toHost.selectiveAuthentication false → true on the host's side
      domainSid: S-1-5-21-3633341636-3194244548-271816853
      sides: [\"host\"]
      toHost.selectiveAuthentication: false → true
",
        ),
        (
            stale,
            "  ~ trust/ibestad.test  a new secure channel on the host's side, whose present one is of a trust before
      channel.host: well
      domainSid: S-1-5-21-3633341636-3194244548-271816853
      sides: [\"host\"]
",
        ),
        (
            World { leaving: true, ..world(Whole, Whole) },
            "  - trust/ibestad.test  remove the trust with ibestad.test on both sides
      domainSid: S-1-5-21-3633341636-3194244548-271816853
      sides: [\"host\",\"tenant\"]
",
        ),
    ] {
        let text = vertskommune_core::render::changes([&world.step()], vertskommune_core::render::Colour::Never);
        assert_eq!(text, expected);
    }
}

#[test]
fn the_same_need_is_the_same_step_and_holds_no_secret() {
    let mut worlds = vec![
        world(Absent, Absent),
        alone(Absent),
        world(Whole, Absent),
        world(Foreign, Foreign),
        World { leaving: true, ..world(Whole, Whole) },
        World { leaving: true, ..alone(Whole) },
    ];
    let mut stale = world(Whole, Whole);
    stale.health.tenant.channel = Some(Channel::Stale);
    worlds.push(stale);
    let mut external = world(Whole, Whole);
    external.wanted().kind = TrustKind::External;
    worlds.push(external);
    for mut world in worlds {
        let step = world.step();
        world.now = "2026-11-30T03:00:00Z";
        assert_eq!(world.step().id(), step.id(), "{}", step.summary);
        let mut wanted = world.wanted.clone().unwrap();
        wanted.restart_before = Some(at("2026-12-01T00:00:00Z"));
        world.wanted = Some(wanted);
        assert_eq!(world.step().id(), step.id(), "a permission makes no other step: {}", step.summary);
        let text = serde_json::to_string(&step).unwrap();
        assert!(!text.contains("trustSecret") && !text.contains("PRIVATE KEY"), "{text}");
        for name in step.fields.keys().filter(|name| name.to_lowercase().contains("secret")) {
            assert_eq!(name, field::PARTNER_SECRET, "only the name of a Secret: {}", step.summary);
        }
    }
}
