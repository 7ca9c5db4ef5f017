//! A real restic through the stock ssh, as the plugin calls them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use second_room::protocol::QuotaMode;
use ssh_session::{ErrorKind, PrivateKey, Stock, Target};
use vertskommune_tests::room::{Room, Tenant};

use crate::accounts::list;

/// restic with a tenant's repository.
struct Restic<'a> {
    room: &'a Room,
    stock: Stock,
}

impl<'a> Restic<'a> {
    fn new(room: &'a Room, tenant: &Tenant) -> Self {
        Self::trusting(room, tenant, &room.place.host_key)
    }

    /// One that takes this for the host's key.
    fn trusting(room: &'a Room, tenant: &Tenant, host_key: &str) -> Self {
        fs::write(room.file("password"), "correct horse").unwrap();
        let target = Target {
            host: room.place.host.clone(),
            port: room.place.port,
            user: tenant.account.account.clone(),
            host_key: host_key.parse().unwrap(),
        };
        let key = PrivateKey::new(fs::read_to_string(&tenant.key).unwrap()).unwrap();
        let ssh = Path::new("/usr/bin/ssh");
        Self { room, stock: Stock::new(ssh, target, &key, Duration::from_secs(5)).unwrap() }
    }

    /// Why the last ssh ended.
    fn kind(&self) -> Option<ErrorKind> {
        self.stock.failure().map(|error| error.kind())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut restic = Command::new("restic");
        restic
            .args(["--repo", "sftp:second-room:/repository", "--no-cache", "--password-file"])
            .arg(self.room.file("password"));
        // restic reads options as comma-separated values.
        let option = format!("\"sftp.command={}\"", self.stock.command().join(" "));
        restic.arg("--option").arg(option).args(arguments);
        restic
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.room.run(&mut self.command(arguments)).unwrap()
    }

    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What restic says where it fails.
    fn failed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?} succeeded");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

/// A file that does not compress.
fn random(path: &Path, megabytes: u32) {
    let script = format!("dd if=/dev/urandom of={} bs=1M count={megabytes} status=none", path.display());
    assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
}

#[test]
fn what_goes_in_comes_out() {
    let Some(room) = Room::start("ext4", "512M") else { return };
    let tenant = room.tenant("ibestad", None).unwrap();
    let restic = Restic::new(&room, &tenant);
    restic.done(&["init"]);
    let disk = room.file("disk.raw");
    random(&disk, 100);
    let begin = Instant::now();
    restic.done(&["backup", disk.to_str().unwrap()]);
    eprintln!("backup of 100 MB: {:?}", begin.elapsed());
    assert_eq!(restic.kind(), None);
    restic.done(&["check", "--read-data"]);
    let target = room.file("restored");
    let begin = Instant::now();
    restic.done(&["restore", "latest", "--target", target.to_str().unwrap()]);
    eprintln!("restore of 100 MB: {:?}", begin.elapsed());
    let restored = target.join(disk.strip_prefix("/").unwrap());
    assert!(fs::read(restored).unwrap() == fs::read(&disk).unwrap(), "the bytes are the same");
    let account = &list(&room)[0];
    assert!(account.repository && account.used_bytes.unwrap() > 100 << 20, "{account:?}");
    // Nothing runs on when restic has ended.
    let left = room.inside("pgrep --list-full 'sshd|sftp' | grep -c vk-ibestad || true").unwrap();
    assert_eq!(left.trim(), "0");
}

#[test]
fn whatever_goes_wrong_is_told_by_its_kind() {
    let Some(room) = Room::start("ext4", "512M") else { return };
    let tenant = room.tenant("ibestad", None).unwrap();
    let restic = Restic::new(&room, &tenant);
    restic.done(&["init"]);

    let another =
        room.place.rsa_host_key.replace("AAAAB3NzaC1yc2EAAAADAQABAAAB", "AAAAB3NzaC1yc2EAAAADAQABAAAC");
    let attempts = || fs::read_to_string(&room.place.log).unwrap().matches("userauth-request").count();
    let before = attempts();
    let deceived = Restic::trusting(&room, &tenant, &another);
    let text = deceived.failed(&["snapshots"]);
    assert_eq!(deceived.kind(), Some(ErrorKind::HostKey), "{text}");
    assert_eq!(attempts(), before, "nobody tried to log in");

    let stranger = Tenant { account: tenant.account.clone(), key: room.file("agent") };
    let wrong = Restic::new(&room, &stranger);
    wrong.failed(&["snapshots"]);
    assert_eq!(wrong.kind(), Some(ErrorKind::Refused));

    room.order("stop").unwrap();
    restic.failed(&["snapshots"]);
    assert_eq!(restic.kind(), Some(ErrorKind::Unreachable));
    room.order("start").unwrap();

    // In the middle of a stream the network goes, or all there stands still.
    for (order, back) in [("cut", "mend"), ("freeze", "thaw")] {
        let begin = Instant::now();
        let text = thread::scope(|scope| {
            let running = scope.spawn(|| {
                let source = "while dd if=/dev/urandom bs=1M count=4 status=none; do sleep 0.2; done";
                let restic = restic.command(&["backup", "--stdin", "--stdin-filename", "disk.raw"]);
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(format!("{source} | restic \"$@\"")).arg("sh").args(restic.get_args());
                room.run(&mut shell).unwrap()
            });
            thread::sleep(Duration::from_secs(3));
            room.order(order).unwrap();
            let output = running.join().unwrap();
            String::from_utf8_lossy(&output.stderr).into_owned()
        });
        let kind = restic.kind();
        assert!(matches!(kind, Some(ErrorKind::TimedOut | ErrorKind::Closed)), "{order}: {kind:?}: {text}");
        assert!(begin.elapsed() < Duration::from_secs(30), "{order}: {:?}", begin.elapsed());
        room.order(back).unwrap();
    }
    // sshd there may need a moment to notice; the repository is whole all the same.
    restic.done(&["unlock", "--remove-all"]);
    restic.done(&["check", "--read-data"]);
}

#[test]
fn a_quota_binds_and_does_not_harm_others() {
    let Some(room) = Room::start("btrfs", "512M") else { return };
    let (small, large) =
        (room.tenant("ibestad", Some(64 << 20)).unwrap(), room.tenant("gratangen", None).unwrap());
    assert_eq!((small.account.limit_bytes, large.account.limit_bytes), (Some(64 << 20), None));
    let restic = Restic::new(&room, &small);
    restic.done(&["init"]);
    let disk = room.file("disk.raw");
    random(&disk, 100);
    let text = restic.failed(&["backup", disk.to_str().unwrap()]);
    let account = list(&room).into_iter().find(|account| account.account == "vk-ibestad").unwrap();
    let (used, limit) = (account.used_bytes.unwrap(), account.limit_bytes.unwrap());
    assert!(used > limit / 2 && used <= limit, "{used} of {limit} bytes: {text}");
    let other = Restic::new(&room, &large);
    other.done(&["init"]);
    other.done(&["backup", disk.to_str().unwrap()]);
    // A larger quota is set on what stands, and it goes on.
    let larger = room.tenant("ibestad", Some(256 << 20)).unwrap().account;
    assert_eq!((larger.limit_bytes, larger.changed), (Some(256 << 20), true));
    restic.done(&["unlock", "--remove-all"]);
    restic.done(&["backup", disk.to_str().unwrap()]);
    restic.done(&["check"]);
    let description = room.ask(second_room::protocol::Ask::Describe {}).unwrap().unwrap();
    let second_room::protocol::Done::Description(description) = description else {
        panic!("{description:?}")
    };
    assert_eq!((description.quota, description.quota_problem), (QuotaMode::Btrfs, None));
}
