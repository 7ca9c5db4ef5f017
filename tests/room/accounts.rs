//! Accounts as they are made, and what the agent did not make.

use std::collections::BTreeSet;

use second_room::protocol::{AccountState, Ask, Description, Done, QuotaMode, Reason};
use vertskommune_tests::room::Room;

fn describe(room: &Room) -> Description {
    match room.ask(Ask::Describe {}).unwrap().unwrap() {
        Done::Description(description) => description,
        other => panic!("{other:?} is no description"),
    }
}

pub(crate) fn list(room: &Room) -> Vec<AccountState> {
    match room.ask(Ask::List {}).unwrap().unwrap() {
        Done::Accounts(accounts) => accounts,
        other => panic!("{other:?} is no list"),
    }
}

#[test]
fn an_account_is_made_once_and_told() {
    let Some(room) = Room::start("ext4", "64M") else { return };
    let description = describe(&room);
    assert_eq!(description.root, "/srv/vertskommune");
    assert_eq!((description.file_system.as_str(), description.quota), ("ext4", QuotaMode::None));
    assert!(description.quota_problem.unwrap().contains("one tenant can fill the disk of all"));
    assert!(description.restic.unwrap().starts_with("0."), "restic's version");
    assert!(
        (1..=64 << 20).contains(&description.free_bytes) && description.free_bytes <= description.total_bytes
    );
    assert!(list(&room).is_empty());

    let long = "a-municipality-with-a-very-long-name-indeed";
    for tenant in ["ibestad", long] {
        let made = room.tenant(tenant, Some(1 << 30)).unwrap().account;
        assert!(made.changed);
        assert_eq!(made.limit_bytes, None, "no quota is promised where none is held");
        let again = room.tenant(tenant, Some(1 << 30)).unwrap().account;
        assert!(!again.changed, "{again:?}");
        assert_eq!((made.uid, &made.account), (again.uid, &again.account));
    }
    let accounts = list(&room);
    let names: Vec<_> = accounts.iter().map(|account| account.account.as_str()).collect();
    assert_eq!(names[1], "vk-ibestad");
    assert!(names[0].len() == 32 && names[0].starts_with("vk-a-municipality-with"), "{}", names[0]);
    for account in &accounts {
        assert!(account.complete && !account.repository && !account.escrow, "{account:?}");
    }

    // Owners and rights, as somebody else sees them.
    let stat = room
        .inside(
            "cd /srv/vertskommune && stat -c '%n %U:%G %a' . lab lab/ibestad lab/ibestad/repository .agent",
        )
        .unwrap();
    assert_eq!(
        stat.lines().collect::<Vec<_>>(),
        [
            ". root:root 711",
            "lab root:root 711",
            "lab/ibestad root:vk-ibestad 750",
            "lab/ibestad/repository vk-ibestad:vk-ibestad 700",
            ".agent root:root 700",
        ]
    );
    let passwd = room.inside("getent passwd vk-ibestad").unwrap();
    assert!(
        passwd
            .trim_end()
            .ends_with(":vertskommune lab/ibestad:/srv/vertskommune/lab/ibestad:/usr/sbin/nologin"),
        "{passwd}"
    );
    let keys = room.inside("cat /etc/vertskommune/keys/vk-ibestad").unwrap();
    assert!(keys.starts_with("restrict ssh-ed25519 ") && keys.lines().count() == 1, "{keys}");

    // What lies in a repository is told, and the keeper's report with it.
    room.inside(
        "cd /srv/vertskommune && touch lab/ibestad/repository/{config,escrow.age} && mkdir -p .kept/lab &&
         echo '{\"kept\": 1}' >.kept/lab/ibestad.report.json &&
         dd if=/dev/urandom of=lab/ibestad/repository/pack bs=1M count=3 status=none && sync",
    )
    .unwrap();
    let ibestad = &list(&room)[1];
    assert!(ibestad.repository && ibestad.escrow);
    assert!((3 << 20..4 << 20).contains(&ibestad.used_bytes.unwrap()), "{:?}", ibestad.used_bytes);
    assert_eq!(ibestad.keeper, Some(serde_json::json!({"kept": 1})));
}

#[test]
fn a_key_is_replaced_and_the_old_one_no_longer_fits() {
    let Some(room) = Room::start("ext4", "64M") else { return };
    let tenant = room.tenant("ibestad", None).unwrap();
    room.session(&tenant.account.account, &tenant.key).unwrap();
    let old = room.file("old");
    std::fs::rename(&tenant.key, &old).unwrap();
    std::fs::rename(tenant.key.with_extension("pub"), old.with_extension("pub")).unwrap();
    let tenant = room.tenant("ibestad", None).unwrap();
    assert!(tenant.account.changed);
    room.session(&tenant.account.account, &tenant.key).unwrap();
    let refused = room.session(&tenant.account.account, &old).err().unwrap().to_string();
    assert!(refused.contains("refuses the key of vk-ibestad"), "{refused}");
}

#[test]
fn what_the_agent_did_not_make_is_left_alone() {
    let Some(room) = Room::start("ext4", "64M") else { return };
    room.tenant("ibestad", None).unwrap();
    room.inside(
        "useradd --system --no-create-home vk-stranger
         groupadd vk-group
         mkdir /srv/vertskommune/lab/folder
         ln -s /etc /srv/vertskommune/lab/link
         echo precious >/srv/vertskommune/lab/file",
    )
    .unwrap();
    let world = "getent passwd; getent group; getent shadow; find /srv/vertskommune /etc/vertskommune -not -name lock -printf '%p %u %m %l %T@\\n' | sort";
    let before = room.inside(world).unwrap();
    for (tenant, what) in [
        ("stranger", "user or group vk-stranger"),
        ("group", "user or group vk-group"),
        ("folder", "/srv/vertskommune/lab/folder"),
        ("link", "/srv/vertskommune/lab/link"),
        ("file", "/srv/vertskommune/lab/file"),
    ] {
        let refusal = room.ask(room.wanted(tenant, None).unwrap()).unwrap().unwrap_err();
        assert_eq!(refusal.reason, Reason::NotOurs, "{tenant}: {refusal}");
        assert!(refusal.message.contains(what), "{tenant}: {refusal}");
    }
    assert_eq!(room.inside(world).unwrap(), before);

    // Ours, but somebody has put a hand to it.
    for (change, back) in [
        ("usermod --shell /bin/bash vk-ibestad", "usermod --shell /usr/sbin/nologin vk-ibestad"),
        ("usermod --comment someone vk-ibestad", "usermod --comment 'vertskommune lab/ibestad' vk-ibestad"),
        (
            "chown root:root /srv/vertskommune/lab/ibestad/repository; touch /srv/vertskommune/lab/ibestad/repository/x",
            "chown vk-ibestad: /srv/vertskommune/lab/ibestad/repository",
        ),
        (
            "cd /srv/vertskommune/lab/ibestad && mv repository away && ln -s /etc repository",
            "cd /srv/vertskommune/lab/ibestad && rm repository && mv away repository",
        ),
    ] {
        room.inside(change).unwrap();
        let refusal = room.ask(room.wanted("ibestad", None).unwrap()).unwrap().unwrap_err();
        assert_eq!(refusal.reason, Reason::NotOurs, "{change}: {refusal}");
        room.inside(back).unwrap();
        assert!(!room.tenant("ibestad", None).unwrap().account.changed, "{back}");
    }
    // The keeper has shut the account out for a moment: that is nobody's doing, and ends.
    let home = "/srv/vertskommune/lab/ibestad";
    room.inside(&format!(
        "mkdir -p /srv/vertskommune/.kept/lab && touch /srv/vertskommune/.kept/lab/ibestad.closed {home}/repository/x &&
         chown root:root {home}/repository"
    ))
    .unwrap();
    let refusal = room.ask(room.wanted("ibestad", None).unwrap()).unwrap().unwrap_err();
    assert_eq!(refusal.reason, Reason::Busy, "{refusal}");
    assert!(list(&room)[0].complete, "and it stands all the same");
    room.inside(&format!(
        "rm /srv/vertskommune/.kept/lab/ibestad.closed && chown vk-ibestad: {home}/repository"
    ))
    .unwrap();
    assert!(!room.tenant("ibestad", None).unwrap().account.changed);
    // A folder that others may write is no ground to build on.
    room.inside("chmod 0777 /srv/vertskommune/lab").unwrap();
    let refusal = room.ask(room.wanted("ibestad", None).unwrap()).unwrap().unwrap_err();
    assert_eq!(refusal.reason, Reason::Host, "{refusal}");
}

#[test]
fn a_host_that_was_installed_anew_gives_the_same_numbers() {
    let Some(room) = Room::start("ext4", "64M") else { return };
    let one = room.tenant("ibestad", None).unwrap().account;
    let other = room.tenant("gratangen", None).unwrap().account;
    room.inside(
        "for user in vk-ibestad vk-gratangen; do userdel $user; rm /etc/vertskommune/keys/$user; done",
    )
    .unwrap();
    assert!(list(&room).iter().all(|account| !account.complete));
    assert_eq!(room.tenant("gratangen", None).unwrap().account.uid, other.uid);
    assert_eq!(room.tenant("ibestad", None).unwrap().account.uid, one.uid);
    assert!(list(&room).iter().all(|account| account.complete));
}

#[test]
fn many_at_once_get_numbers_of_their_own() {
    let Some(room) = Room::start("ext4", "64M") else { return };
    // Each twice: two controllers in one moment.
    let tenants = ["a", "b", "c", "a", "b", "c"];
    for tenant in tenants {
        room.wanted(tenant, None).unwrap();
    }
    let made: Vec<_> = std::thread::scope(|scope| {
        let room = &room;
        let threads = tenants.map(|tenant| scope.spawn(move || room.tenant(tenant, None).unwrap().account));
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let numbers: BTreeSet<_> = made.iter().map(|account| (account.uid, account.account.as_str())).collect();
    assert_eq!(numbers.len(), 3, "{numbers:?}");
    assert_eq!(numbers.iter().map(|(uid, _)| uid).collect::<BTreeSet<_>>().len(), 3, "{numbers:?}");
    assert!(list(&room).iter().all(|account| account.complete));
}
