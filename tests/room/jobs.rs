//! What other products' jobs have left: the agent reads it, and nothing beside it.

use second_room::protocol::{Ask, Done, Job, JobState, Reason, Refusal};
use vertskommune_tests::room::Room;

const STATUS: &str = r#"{"version": 1, "job": "Ibestad nightly/1", "servers": {"ibe-fs01": {"lastGood": "2026-11-27T22:00:00Z"}}}"#;

fn jobs(room: &Room) -> Result<Vec<Job>, Refusal> {
    room.ask(Ask::Jobs {}).unwrap().map(|done| match done {
        Done::Jobs(jobs) => jobs,
        other => panic!("{other:?} is no list of jobs"),
    })
}

/// Runs the script that products' machines reach.
fn leave(room: &Room, status: &str) -> (bool, String) {
    let output = room.job_status(status).unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_a_job_leaves_is_told_and_lies_where_only_root_writes() {
    let Some(room) = Room::start("ext4", "64M") else { return };
    assert_eq!(jobs(&room), Ok(Vec::new()));
    let (done, said) = leave(&room, STATUS);
    assert!(done, "{said}");
    let there =
        room.inside("cd /srv/vertskommune && stat -c '%n %U:%G %a' .external .external/* .external/*/*");
    assert_eq!(
        there.unwrap().lines().collect::<Vec<_>>(),
        [
            ".external root:root 700",
            ".external/lab root:root 700",
            ".external/lab/Ibestad%20nightly%2F1.json root:root 600",
        ]
    );
    let told = jobs(&room).unwrap();
    let [Job { job, state: JobState::Status(status) }] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((job.as_str(), status.servers.len()), ("Ibestad nightly/1", 1));
    // What is none, or too long, takes nothing's place.
    for (wrong, says) in [
        ("<xml/>".to_owned(), "no JSON"),
        (r#"{"version": 1}"#.to_owned(), "no JSON with a job's name"),
        (format!("{STATUS}{}", " ".repeat(70_000)), "longer than"),
    ] {
        let (done, said) = leave(&room, &wrong);
        assert!(!done && said.contains(says), "{wrong:.40}: {said}");
    }
    assert_eq!(jobs(&room).unwrap(), told);
    assert_eq!(room.inside("ls -A /srv/vertskommune/.external/lab | wc -l").unwrap().trim(), "1");
}

#[test]
fn a_way_out_of_the_folder_is_no_status_and_a_folder_of_others_is_none_at_all() {
    let Some(room) = Room::start("ext4", "64M") else { return };
    room.inside(
        "cd /srv/vertskommune/.external/lab && ln -s /etc/vertskommune/agent.json link.json && mkfifo pipe.json &&
         echo '{' >half.json && echo '{\"version\": 1, \"job\": \"other\", \"servers\": {}}' >mine.json &&
         mkdir ../other && echo '{\"version\": 1, \"job\": \"theirs\", \"servers\": {}}' >../other/theirs.json",
    )
    .unwrap();
    let told = jobs(&room).unwrap();
    let names: Vec<_> = told.iter().map(|job| job.job.as_str()).collect();
    assert_eq!(names, ["half", "link", "mine", "pipe"], "another installation's are not told");
    for job in &told {
        let JobState::Unreadable(why) = &job.state else { panic!("{job:?}") };
        assert!(!why.contains("installations"), "nothing of the file behind a link is told: {why}");
    }
    room.inside("chmod 0777 /srv/vertskommune/.external/lab").unwrap();
    assert_eq!(jobs(&room).map_err(|refusal| refusal.reason), Err(Reason::Host));
    room.inside("cd /srv/vertskommune && rm -r .external && mkdir elsewhere && ln -s elsewhere .external")
        .unwrap();
    assert_eq!(jobs(&room).map_err(|refusal| refusal.reason), Err(Reason::NotOurs));
}
