//! What is done about what others made.

use super::*;
use crate::testing::of_sor;

#[test]
fn only_what_is_equal_is_adopted() {
    hold([
        (
            "both sides",
            world(Foreign, Foreign),
            |_| {},
            &["adopt adopt: adopt the trust with ibestad.test as it stands (host and tenant)"],
        ),
        (
            "how authentication goes is changed afterwards",
            world(Foreign, Foreign),
            World::selective,
            &["adopt adopt: adopt the trust with ibestad.test as it stands (host and tenant)"],
        ),
        (
            "in mode Manual the host's is enough",
            alone(Foreign),
            |_| {},
            &["adopt adopt: adopt the trust with ibestad.test as it stands (host)"],
        ),
        (
            "one of the two was adopted, and then the process died",
            world(Whole, Foreign),
            |_| {},
            &["adopt adopt: adopt the trust with ibestad.test as it stands (tenant)"],
        ),
        (
            "likewise, the other way round",
            world(Foreign, Whole),
            |_| {},
            &["adopt adopt: adopt the trust with ibestad.test as it stands (host)"],
        ),
        (
            "others made one side",
            world(Foreign, Absent),
            |_| {},
            &[
                "refused at spec.directory: the trust of host.test with ibestad.test stands, and not its other side: it is none of \
               ours, and only its own administrators can complete or remove it",
            ],
        ),
        (
            "others made the tenant's side",
            world(Absent, Foreign),
            |_| {},
            &[
                "refused at spec.directory: the trust of ibestad.test with host.test stands, and not its other side: it is none of \
               ours, and only its own administrators can complete or remove it",
            ],
        ),
        (
            "another direction",
            world(Foreign, Foreign),
            |it| it.wanted().to_tenant = None,
            &[
                "refused at spec.directory: the trust of host.test with ibestad.test stands and is none of ours, with direction \
               bidirectional where the manifest asks for outbound: change the manifest, or have its administrators remove it",
            ],
        ),
        (
            "another type",
            world(Foreign, Foreign),
            |it| it.wanted().kind = TrustKind::External,
            &[
                "refused at spec.directory: the trust of host.test with ibestad.test stands and is none of ours, with type Forest \
               where the manifest asks for External: change the manifest, or have its administrators remove it",
            ],
        ),
        (
            "a realm's",
            world(Foreign, Foreign),
            |it| {
                it.host_trust().kind = Kind::Other;
                it.their_trust().kind = Kind::Other;
            },
            &[
                "refused at spec.directory: the trust of host.test with ibestad.test stands and is none of ours, with type Other \
               where the manifest asks for Forest: change the manifest, or have its administrators remove it",
            ],
        ),
        (
            "sides that do not fit",
            world(Foreign, Foreign),
            |it| it.their_trust().direction = Some(Direction::Inbound),
            &[
                "refused at spec.directory: the trust of host.test with ibestad.test stands and is none of ours, and its sides do \
               not mirror each other: have their administrators remove it",
            ],
        ),
        (
            "another domain of that name",
            world(Foreign, Foreign),
            |it| it.host_trust().sid = Some("S-1-5-21-7-7-7".to_owned()),
            &[
                "refused at spec.directory: the trust of host.test with ibestad.test stands for the SID S-1-5-21-7-7-7, and the \
               tenant's domain has S-1-5-21-3633341636-3194244548-271816853: settle which is the true one, and remove it by hand",
            ],
        ),
    ]);
}

#[test]
fn what_is_anothers_is_left_alone() {
    let of_sor_at_host = "refused at spec.directory: the trust of host.test with ibestad.test belongs to installation sor and is left alone: \
                          one of the two has to give the domain up";
    let of_host = "refused at spec.directory: the trust of host.test with ibestad.test belongs to tenant dyroy and is left alone: one of \
                   the two has to give the domain up";
    let of_theirs = "refused at spec.directory: the trust of ibestad.test with host.test belongs to tenant dyroy and is left alone: one \
                     of the two has to give the domain up";
    hold([
        ("both sides", world(Anothers, Anothers), |_| {}, &[of_host]),
        ("one side", world(Anothers, Absent), |_| {}, &[of_host]),
        ("the tenant's side", world(Absent, Anothers), |_| {}, &[of_theirs]),
        ("the tenant's side, beside ours", world(Whole, Anothers), |_| {}, &[of_theirs]),
        ("in mode Manual", alone(Anothers), |_| {}, &[of_host]),
        (
            "another installation's",
            world(Foreign, Foreign),
            |it| it.host.trusts.others.push(of_sor("ibestad.test")),
            &[of_sor_at_host],
        ),
        (
            "another installation's on one side",
            world(Foreign, Foreign),
            |it| it.theirs().trusts.others.push(of_sor("host.test")),
            &[
                "refused at spec.directory: the trust of ibestad.test with host.test belongs to installation sor and is left alone: one of \
               the two has to give the domain up",
            ],
        ),
        (
            "another domain's is in nobody's way",
            world(Foreign, Foreign),
            |it| it.host.trusts.others.push(of_sor("dyroy.test")),
            &["adopt adopt: adopt the trust with ibestad.test as it stands (host and tenant)"],
        ),
    ]);
}

#[test]
fn a_domain_that_was_made_anew_is_settled_by_people() {
    hold([
        (
            "another SID answers",
            world(Whole, Absent),
            |it| it.theirs().description.sid = "S-1-5-21-7-7-7".to_owned(),
            &[
                "refused at spec.directory: our trust with ibestad.test stands for the SID S-1-5-21-3633341636-3194244548-271816853, and that \
           domain has S-1-5-21-7-7-7: it was made anew, or another answers; remove the trust by hand when that is settled",
            ],
        ),
        (
            "another SID answers, and both sides stand",
            world(Whole, Whole),
            |it| it.host_trust().sid = Some("S-1-5-21-7-7-7".to_owned()),
            &[
                "refused at spec.directory: our trust with ibestad.test stands for the SID S-1-5-21-7-7-7, and that domain has \
           S-1-5-21-3633341636-3194244548-271816853: it was made anew, or another answers; remove the trust by hand when that is settled",
            ],
        ),
        (
            "the tenant's side is that of a host before",
            world(Absent, Whole),
            |it| it.their_trust().sid = Some("S-1-5-21-7-7-7".to_owned()),
            &[
                "refused at spec.directory: our trust with ibestad.test, on the tenant's side, stands for the SID S-1-5-21-7-7-7, and the \
           host's domain has S-1-5-21-3622643209-1689644744-1135594223: it was made anew, or another answers; remove the trust by hand when \
           that is settled",
            ],
        ),
        (
            "likewise, and others made both",
            world(Foreign, Foreign),
            |it| it.their_trust().sid = Some("S-1-5-21-7-7-7".to_owned()),
            &[
                "refused at spec.directory: the trust of ibestad.test with host.test stands for the SID S-1-5-21-7-7-7, and the host's \
               domain has S-1-5-21-3622643209-1689644744-1135594223: settle which is the true one, and remove it by hand",
            ],
        ),
        (
            "what others made is not spoken of as ours",
            world(Foreign, Whole),
            |it| it.host_trust().sid = Some("S-1-5-21-7-7-7".to_owned()),
            &[
                "refused at spec.directory: the trust of host.test with ibestad.test stands for the SID S-1-5-21-7-7-7, and the \
               tenant's domain has S-1-5-21-3633341636-3194244548-271816853: settle which is the true one, and remove it by hand",
            ],
        ),
    ]);
}
