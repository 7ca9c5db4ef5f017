use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::*;

/// The pairs that real agents have answered.
fn golden() -> Vec<(String, Json)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("agents/golden");
    let mut pairs = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read(&path).unwrap();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            pairs.push((name, serde_json::from_slice(&text).unwrap()));
        }
    }
    assert!(pairs.len() > 40, "{}", pairs.len());
    pairs
}

fn windows(file: &str) -> Vec<Json> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("agents/golden/windows").join(file);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The request is one of ours, and what we write is the same, field for field.
fn is_written_the_same(name: &str, wanted: &Json) {
    let request: Request =
        serde_json::from_value(wanted.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let written = request.to_json();
    assert_eq!(serde_json::from_slice::<Json>(&written).unwrap(), *wanted, "{name}");
    assert!(written.ends_with(b"}\n") && !written[..written.len() - 1].contains(&b'\n'), "{name}: one line");
}

#[test]
fn every_golden_request_is_written_so() {
    let list = Request::new("nord", Ask::List {});
    assert_eq!(list.to_json(), b"{\"protocol\":1,\"installation\":\"nord\",\"ask\":{\"list\":{}}}\n");
    for (name, pair) in golden() {
        is_written_the_same(&name, &pair["request"]);
    }
    let mut rows = 0;
    for row in windows("requests.json") {
        let name = row["name"].as_str().unwrap();
        // We write an address in small letters.
        if row.get("operation").is_some() && name != "capitals-in-ipv6" {
            is_written_the_same(name, &serde_json::from_str(row["request"].as_str().unwrap()).unwrap());
            rows += 1;
        }
    }
    assert!(rows >= 14, "{rows}");
}

#[test]
fn every_golden_answer_is_read() {
    for (name, pair) in golden() {
        let read = Answer::read(pair["answer"].to_string().as_bytes());
        let outcome = &pair["answer"]["outcome"];
        match read.unwrap_or_else(|error| panic!("{name}: {error}")) {
            Ok(_) => assert!(outcome.get("done").is_some(), "{name}"),
            Err(refusal) => {
                let refused = &outcome["refused"];
                assert_eq!(refusal.message, refused["message"].as_str().unwrap(), "{name}");
                assert_ne!(refusal.reason, Reason::Unknown, "{name}");
                assert_eq!(refusal.found.is_some(), refused.get("found").is_some(), "{name}");
                assert_eq!(refusal.claimed.is_some(), refused.get("claimed").is_some(), "{name}");
                assert_eq!(!refusal.names.is_empty(), refused.get("names").is_some(), "{name}");
            }
        }
    }
    // Those that only Windows has.
    for row in windows("refusals.json").into_iter().chain(windows("requests.json")) {
        if let Some(reason) = row.get("reason") {
            let reason: Reason = serde_json::from_value(reason.clone()).unwrap();
            assert_ne!(reason, Reason::Unknown, "{row}");
        }
    }
}

#[test]
fn what_answers_say_is_understood() {
    let of = |name: &str| {
        let (_, pair) = golden().into_iter().find(|(found, _)| found == name).unwrap();
        Answer::read(pair["answer"].to_string().as_bytes()).unwrap()
    };
    let Ok(Done::Trusts(list)) = of("list") else { panic!("no list") };
    let [trust] = list.trusts.as_slice() else { panic!("{list:?}") };
    assert_eq!((trust.direction, trust.kind), (Some(Direction::Both), Kind::Forest));
    let mark = trust.mark.as_ref().unwrap();
    assert_eq!((mark.tenant.as_str(), mark.origin, mark.whole), ("ibestad", Origin::Made, true));
    let Ok(Done::Preflight(found)) = of("preflight-clock") else { panic!("no preflight") };
    assert_eq!((found.clock_skew_seconds, found.ports["88/udp"]), (Some(899), Port::Open));
    let Ok(Done::Verified(channel)) = of("verify-one-sided") else { panic!("no channel") };
    assert_eq!((channel.channel, channel.code), (Channel::OneSided, 1787));
    let Ok(Done::Probed(probed)) = of("probe-clock-skew") else { panic!("no ticket") };
    assert_eq!(probed.ticket, Ticket::ClockSkew);
    let Err(refusal) = of("claim-claimed") else { panic!("no refusal") };
    assert_eq!((refusal.reason, refusal.claimed.unwrap().holder.as_str()), (Reason::Claimed, "a"));
}

#[test]
fn a_newer_agent_may_tell_more() {
    let answer = |outcome: Json| json!({"protocol": 1, "outcome": outcome, "more": 1}).to_string();
    let refused = json!({"refused": {"reason": "too-late", "message": "no", "hint": []}});
    let refusal = Answer::read(answer(refused).as_bytes()).unwrap().unwrap_err();
    assert_eq!((refusal.reason, refusal.message.as_str()), (Reason::Unknown, "no"));
    let verified =
        json!({"done": {"verified": {"channel": "odd", "code": 7, "controller": null, "more": {}}}});
    let Ok(Done::Verified(verified)) = Answer::read(answer(verified).as_bytes()).unwrap() else { panic!() };
    assert_eq!(verified.channel, Channel::Failed);
}

#[test]
fn a_trust_that_is_switched_off_is_told_from_one_that_does_not_say() {
    let mut trust = json!({
        "domain": "ibestad.test", "netbios": "IBESTAD", "sid": null, "direction": null, "kind": "other", "attributes": 1,
        "selective": false, "filtersSids": false, "namesInConflict": [], "mark": null,
    });
    assert_eq!(serde_json::from_value::<Trust>(trust.clone()).unwrap().direction, None);
    trust.as_object_mut().unwrap().remove("direction");
    assert!(serde_json::from_value::<Trust>(trust).is_err());
}

#[test]
fn what_is_no_answer_is_an_error() {
    let long = vec![b' '; LONGEST_ANSWER + 1];
    for (text, expected) in [
        (&b""[..], "does not answer as it should"),
        (b"Linux hostdc 6.1\n$ ", "does not answer as it should"),
        (b"{\"protocol\":1}", "does not answer as it should"),
        (b"{\"protocol\":1,\"outcome\":{\"done\":{\"surprise\":{}}}}", "does not answer as it should"),
        (
            b"{\"protocol\":1,\"outcome\":{\"done\":{\"removed\":{\"was\":true}}}}x",
            "does not answer as it should",
        ),
        (b"{\"protocol\":2,\"whatever\":true}", "speaks version 2"),
        (&long, "longer than"),
    ] {
        let said = Answer::read(text).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn nothing_shows_the_secret_but_the_request() {
    let (_, pair) = golden().into_iter().find(|(name, _)| name == "ensure-made").unwrap();
    let request: Request = serde_json::from_value(pair["request"].clone()).unwrap();
    assert!(!format!("{request:?}").contains("Trust-secret"));
    let mut written = request.to_json();
    assert!(String::from_utf8_lossy(&written).contains("Trust-secret-number-0-of-the-lab"));
    wipe(&mut written);
    assert!(written.iter().all(|byte| *byte == 0));
}
