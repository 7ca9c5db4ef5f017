//! The agent's key: it runs the agent's protocol and nothing else.

use std::time::Duration;

use second_room::Label;
use second_room::protocol::{Answer, Ask, COMMAND, LONGEST_REQUEST, Reason, Request};
use vertskommune_tests::room::{AGENT, Room};

use crate::isolation::{client, said};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn its_key_runs_its_protocol_and_nothing_else() {
    let Some(room) = Room::start("ext4", "64M") else { return };
    let key = room.file("agent");
    let exec = |command: &str, input: &[u8]| {
        let output = room.session(AGENT, &key).unwrap().exec(command, input, 1 << 20, PATIENCE).unwrap();
        (Answer::read(&output.stdout), output.status)
    };
    let list = room.request(Ask::List {}).unwrap().to_json();
    for command in
        ["id", "bash", "", "vertskommune backup keeper", "vertskommune backup agent; id", "internal-sftp"]
    {
        let (answer, status) = exec(command, &list);
        assert_eq!((answer.unwrap_err().reason, status), (Reason::Command, 1), "{command:?}");
    }
    for (input, why) in [
        (b"{}".to_vec(), Reason::Malformed),
        (vec![b' '; LONGEST_REQUEST + 1], Reason::Malformed),
        (br#"{"protocol":2}"#.to_vec(), Reason::Protocol),
        (Request::new(Label::new("other").unwrap(), Ask::List {}).to_json(), Reason::Installation),
        (
            br#"{"protocol":1,"installation":"lab","ask":{"ensure-account":{"tenant":"../../etc","keys":[]}}}"#.to_vec(),
            Reason::Malformed,
        ),
        (
            br#"{"protocol":1,"installation":"lab","ask":{"ensure-account":{"tenant":"a","keys":[]}}}"#.to_vec(),
            Reason::Malformed,
        ),
    ] {
        let (answer, status) = exec(COMMAND, &input);
        assert_eq!((answer.unwrap_err().reason, status), (why, 1));
    }

    // Other ways in, by OpenSSH's own clients.
    let sftp = said(
        &room,
        client(&room, "sftp", AGENT, &key)
            .args(["-b", "/dev/null"])
            .arg(format!("{AGENT}@{}", room.place.host)),
    );
    assert!(!sftp.0, "SFTP: {sftp:?}");
    let forward =
        said(&room, client(&room, "ssh", AGENT, &key).args(["-W", "127.0.0.1:22"]).arg(&room.place.host));
    assert!(!forward.0 && forward.1.contains("prohibited"), "a forwarded port: {forward:?}");
    let back = said(
        &room,
        client(&room, "ssh", AGENT, &key)
            .args(["-o", "ExitOnForwardFailure=yes", "-N", "-R", "0:127.0.0.1:22"])
            .arg(&room.place.host),
    );
    assert!(!back.0, "a port forwarded back: {back:?}");
    let terminal =
        said(&room, client(&room, "ssh", AGENT, &key).args(["-tt"]).arg(&room.place.host).arg("id"));
    assert!(!terminal.1.contains("uid="), "a terminal: {terminal:?}");
    // Nor is its account let do more from within, should somebody get there.
    let sudo =
        |command: &str| room.inside(&format!("su vertskommune-agent -c 'sudo -n {command}' </dev/null"));
    assert!(sudo("id").is_err());
    assert!(sudo("/usr/local/bin/vertskommune backup agent --settings /tmp/mine").is_err());
}

#[test]
fn a_disk_that_is_full_is_told_and_mends() {
    let Some(room) = Room::start("ext4", "64M") else { return };
    room.tenant("ibestad", None).unwrap();
    room.order("fill").unwrap();
    let refusal = room.ask(room.wanted("gratangen", None).unwrap()).unwrap().unwrap_err();
    assert_eq!(refusal.reason, Reason::Full, "{refusal}");
    assert!(refusal.message.contains("make room"), "{refusal}");
    assert!(!room.tenant("ibestad", None).unwrap().account.changed, "what stands needs no room");
    room.order("drain").unwrap();
    assert!(room.tenant("gratangen", None).unwrap().account.changed);
}
