//! The agent dies before each of its changes, and is asked again.

use second_room::protocol::Ask;
use vertskommune_tests::room::Room;

use crate::accounts::list;

/// All that was made for a tenant, its name and numbers left out.
fn made(room: &Room, tenant: &str) -> String {
    let script = format!(
        "cd /srv/vertskommune
         find lab/{tenant} .agent/lab/{tenant}.json /etc/vertskommune/keys/vk-{tenant} -printf '%p %y %u %g %m\\n' | sort
         getent passwd vk-{tenant} | cut -d: -f1,5-; getent group vk-{tenant} | cut -d: -f1,4; getent shadow vk-{tenant} | cut -d: -f1,2
         find .agent /etc/vertskommune -name '.*.new'"
    );
    room.inside(&script).unwrap().replace(tenant, "TENANT")
}

#[test]
fn wherever_it_dies_the_next_one_completes_it() {
    for (file_system, least) in [("ext4", 9), ("btrfs", 11)] {
        let Some(room) = Room::start(file_system, "256M") else { return };
        room.tenant("whole", Some(32 << 20)).unwrap();
        let whole = made(&room, "whole");
        let mut deaths = 0;
        loop {
            let tenant = format!("t{deaths}");
            let request = room.request(room.wanted(&tenant, Some(32 << 20)).unwrap()).unwrap();
            let agent = format!("vertskommune backup agent --die-at {}", deaths + 1);
            let ended = room.inside_with(&agent, &request.to_json()).unwrap();
            if ended.status.success() {
                break;
            }
            assert!(
                ended.stdout.is_empty(),
                "it died and did not refuse: {}",
                String::from_utf8_lossy(&ended.stdout)
            );
            deaths += 1;
            // Half of one lets nobody in and is told as such; the list is that of all the others as well.
            let user = format!("vk-{tenant}");
            assert!(room.session(&user, &room.file(&tenant)).is_err(), "{file_system}: {tenant}");
            assert!(
                list(&room).iter().filter(|account| account.account == user).all(|account| !account.complete)
            );
            let account = room.tenant(&tenant, Some(32 << 20)).unwrap().account;
            assert!(account.changed);
            assert_eq!(made(&room, &tenant), whole, "{file_system}: after death {deaths}");
            assert!(!room.tenant(&tenant, Some(32 << 20)).unwrap().account.changed);
            room.session(&user, &room.file(&tenant)).unwrap();
        }
        assert!(deaths >= least, "{deaths} changes on {file_system}");
        assert!(room.ask(Ask::Describe {}).unwrap().is_ok());
    }
}
