//! What is said of whether a trust works.

use super::*;
use crate::protocol::{Asked, Lookup};

fn preflight(own: protocol::Dns, theirs: &[protocol::Dns]) -> Preflight {
    let asked = |(i, outcome): (usize, &protocol::Dns)| Asked {
        server: format!("10.77.0.{i}"),
        outcome: *outcome,
        hosts: Vec::new(),
    };
    Preflight {
        dns: Lookup { outcome: own, hosts: Vec::new() },
        partner_dns: theirs.iter().enumerate().map(asked).collect(),
        controller: None,
        ports: [("88/tcp".to_owned(), Port::Open)].into(),
        clock_skew_seconds: Some(0),
        partner: None,
    }
}

#[test]
fn the_way_is_as_good_as_the_best_dns_server() {
    use protocol::Dns::{NoAnswer, Nxdomain, Ok, Servfail, Timeout};
    for (own, theirs, expected, why) in [
        (Ok, &[Ok, Ok][..], (Dns::Answers, Dns::Answers), "all is well"),
        (
            Ok,
            &[Timeout, Ok],
            (Dns::Answers, Dns::Answers),
            "one of the two is silent, and the other is enough",
        ),
        (Ok, &[Nxdomain, Ok], (Dns::Answers, Dns::Answers), "one of the two does not know it"),
        (Nxdomain, &[Timeout, Timeout], (Dns::NamesNone, Dns::Silent), "both are silent"),
        (Timeout, &[Timeout, Servfail], (Dns::Silent, Dns::NamesNone), "one answers, though nothing of use"),
        (NoAnswer, &[NoAnswer], (Dns::NamesNone, Dns::NamesNone), "an answer without hosts"),
        (Ok, &[], (Dns::Answers, Dns::Answers), "none was asked"),
    ] {
        let way = way(&preflight(own, theirs));
        assert_eq!((way.dns, way.their_dns), expected, "{why}");
    }
}

#[test]
fn ports_and_clocks_are_told_where_they_matter() {
    let mut told = preflight(protocol::Dns::Ok, &[protocol::Dns::Ok]);
    for (name, port) in [
        ("88/udp", Port::Unknown),
        ("389/tcp", Port::Timeout),
        ("445/tcp", Port::Refused),
        ("135/tcp", Port::Unreachable),
    ] {
        told.ports.insert(name.to_owned(), port);
    }
    let closed: Vec<String> = way(&told).closed.into_iter().collect();
    assert_eq!(closed, ["135/tcp", "389/tcp", "445/tcp"], "what cannot be told is not closed");
    for (skew, expected) in [
        (None, None),
        (Some(0), Some(0)),
        (Some(59), Some(0)),
        (Some(-59), Some(0)),
        (Some(60), Some(60)),
        (Some(67), Some(60)),
        (Some(-907), Some(-900)),
    ] {
        told.clock_skew_seconds = skew;
        assert_eq!(way(&told).skew, expected, "{skew:?}");
    }
}

#[test]
fn each_word_of_a_channel_has_its_meaning() {
    use protocol::Channel as Told;
    let failed = |what: &str| Some(Channel::Failed(format!("{what} (error 1311)")));
    for (told, expected) in [
        (Told::Ok, Some(Channel::Well)),
        (Told::Stale, Some(Channel::Stale)),
        (Told::WrongSecret, Some(Channel::WrongSecret)),
        (Told::OneSided, Some(Channel::NoPartner)),
        (Told::NoSecret, failed("this side has no secret for it")),
        (Told::OtherKind, failed("the sides have different types of trust")),
        (
            Told::Unreachable,
            failed(
                "the partner's controllers do not answer; where DNS and ports are well, start Samba or Netlogon there again",
            ),
        ),
        (Told::RestartNeeded, failed("winbindd holds another direction, and has to be started again")),
        (Told::NotApplicable, None),
        (Told::Failed, failed("it does not work")),
    ] {
        let verified = Verified { channel: told, code: 1311, controller: None };
        assert_eq!(channel(&verified), expected, "{told:?}");
    }
}

#[test]
fn each_word_of_a_ticket_has_its_meaning() {
    use protocol::Ticket as Told;
    let said = "KRB5KRB_AP_ERR_SKEW";
    for told in ["ok", "not-applicable", "clock-skew", "of tomorrow"] {
        let ticket: Told = serde_json::from_value(json!(told)).unwrap();
        let expected = match ticket {
            Told::Ok => Some(Ticket::Had),
            Told::NotApplicable => None,
            _ => Some(Ticket::Refused(said.to_owned())),
        };
        assert_eq!(self::ticket(&Probed { ticket, message: said.to_owned() }), expected, "{told}");
    }
}
