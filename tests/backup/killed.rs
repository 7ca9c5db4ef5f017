//! The process dies at any write while a backup is taken or proven: nothing half counts, no server keeps its export, no lock
//! stops anyone, and the next one goes through.
//!
//! Where it dies is told by the requests that change something in the room: before each of them, and after the last. What a
//! death leaves there after one is what it leaves before the next, for all that came before is carried out in both.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use vertskommune_core::backup::facts::Outcome;
use vertskommune_core::names::TenantName;
use vertskommune_core::transfer::Work;
use vertskommune_provider::context::Always;
use vertskommune_provider::testing::Cut;
use vertskommune_provider::testing::conformance::Peer as _;
use vertskommune_provider::{Around, Moved, Permit, Provider, ProviderError, Restore};
use vertskommune_tests::relay::Relay;

use crate::servers::Servers;
use crate::stage::{DiesAt, SERVER, SSH, Stage, another_second};

/// The disk that is backed up: more than one packet of SFTP, which is 32 KiB, and not many more.
const DISK: (&str, u64) = ("data", 40 << 10);

/// After so many deaths one is let through to its end: they may pile up, and a whole one takes as long as several of them.
const DEATHS: usize = 5;

/// A room behind a relay.
struct Scene {
    stage: Stage,
    relay: Relay,
    servers: Servers,
    /// Who looks past the relay, which may be silent.
    onlooker: Arc<dyn Provider>,
}

impl Scene {
    fn set() -> Option<Self> {
        let mut stage = Stage::start("ext4", "256M")?;
        let relay = Path::new(env!("CARGO_BIN_EXE_sftp-relay"));
        let relay = Relay::new(&stage.room.file("relay"), relay, Path::new(SSH)).unwrap();
        let onlooker = stage.provider();
        stage.ssh = relay.program();
        Some(Self { stage, relay, servers: Servers::new(&[DISK]), onlooker })
    }

    /// Makes what the tenant should have there.
    async fn ready(&self) {
        self.stage.ready().await;
        // A key that restic tries in vain takes as long as the one that fits, in hundreds of calls. The first is the
        // tenant's own.
        let others = "cd /srv/vertskommune/lab/ibestad/repository/keys && ls -t | head -n -1 | xargs rm";
        self.stage.room.inside(others).unwrap();
    }

    /// Carries it out with a provider that remembers nothing, as a new process does.
    async fn carry_out(&self, work: &Work, permit: Arc<dyn Permit>) -> Result<Moved, ProviderError> {
        another_second().await;
        let provider = self.stage.provider();
        self.stage.transfer(provider.as_ref(), work.clone(), &self.servers, &|_| {}, permit).await
    }

    /// Carries it out until it comes to the cut, and dies there. Says whether it came there.
    async fn dies(&self, work: &Work, write: usize, cut: Cut) -> bool {
        self.relay.cut(write, cut).unwrap();
        let is_cut = async {
            while !self.relay.is_cut() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        // Dropping the call kills its restic, as the kernel does when the process dies.
        let died = tokio::select! {
            done = self.carry_out(work, Arc::new(Always)) => {
                done.unwrap_or_else(|error| panic!("{work:?} before write {write}: {error}"));
                false
            }
            () = is_cut => true,
        };
        self.relay.wait_for_all().unwrap();
        died
    }

    /// When the last one that counts was taken or proven.
    async fn last(&self, work: &Work) -> Option<Timestamp> {
        let seen = self.stage.look(self.onlooker.as_ref()).await;
        let known = &seen.backups[&TenantName::from("ibestad")].backups;
        assert_eq!(known.damage, None);
        let server = known.servers.get(SERVER)?;
        match work {
            Work::Backup => server.last_good,
            Work::Proof { disk } => {
                let proof = server.disks[disk].proof.as_ref()?;
                assert_eq!(proof.outcome, Outcome::Intact);
                Some(proof.at)
            }
        }
    }

    /// How many snapshots were written since the relay was reset.
    fn snapshots(&self) -> usize {
        let journal = self.relay.journal().unwrap();
        journal.iter().filter(|write| write.starts_with("rename ") && write.contains("/snapshots/")).count()
    }

    /// What was left in the middle counts only where it is whole, and nothing stays open. Gives when the last was that counts.
    async fn counts(&self, work: &Work, before: Option<Timestamp>, why: &str) -> Option<Timestamp> {
        assert_eq!(self.servers.state().open, 0, "{why}: an export is open");
        // A backup counts by its configuration, which comes after the disk; a proof by its note, before that of the check.
        let is_whole = self.snapshots() >= if *work == Work::Backup { 2 } else { 1 };
        let now = self.last(work).await;
        if is_whole {
            assert!(now > before, "{why}: what is whole does not count");
        } else {
            assert_eq!(now, before, "{why}: what is not whole counts");
        }
        now
    }

    /// Nothing of those that died is in the way, and the next one is whole. Gives when that was.
    async fn goes_on(&self, work: &Work, before: Option<Timestamp>, why: &str) -> Option<Timestamp> {
        self.relay.reset().unwrap();
        let next = self.carry_out(work, Arc::new(Always)).await;
        assert!(next.is_ok(), "{why}: {next:?}");
        // A check that somebody's lock keeps out would be left out, and nobody told.
        assert_eq!(self.snapshots(), 2, "{why}: the next one did not do all");
        let next = self.last(work).await;
        assert!(next > before, "{why}: the next one does not count");
        // One that was never finished has no lock's name, and is nothing to restic.
        let locks = "ls --ignore='*-restic-temp-*' /srv/vertskommune/lab/ibestad/repository/locks";
        let locks = self.stage.room.inside(locks).unwrap();
        assert_eq!(locks, "", "{why}: a lock is left");
        next
    }

    /// Dies at every write of the work, and lets one go on to its end from time to time. Gives all writes.
    async fn dies_everywhere(&self, work: &Work) -> Vec<String> {
        let mut last = self.last(work).await;
        for write in 0.. {
            // What the last one has stored is not stored again, and would be no write.
            self.servers.state().changes += 1;
            let died = self.dies(work, write, Cut::Before).await;
            let writes = self.relay.journal().unwrap();
            if !died {
                last = self.last(work).await;
                last = self.dies_after_the_last(work, last).await;
                self.goes_on(work, last, "after the last write").await;
                eprintln!("{work:?}: killed {} times", write + 1);
                return writes;
            }
            let why = format!("before write {write}, after {:?}", writes.last());
            last = self.counts(work, last, &why).await;
            if write % DEATHS == DEATHS - 1 {
                last = self.goes_on(work, last, &why).await;
            }
        }
        unreachable!("there is an end of numbers")
    }

    /// Dies after the last write of the work. One that nobody died before has fewer of them, as there is no lock to remove, and
    /// packs may differ by one.
    async fn dies_after_the_last(&self, work: &Work, before: Option<Timestamp>) -> Option<Timestamp> {
        let mut last = self.goes_on(work, before, "before the last write").await;
        let writes = self.relay.journal().unwrap().len();
        for write in (writes - 3..writes).rev() {
            self.servers.state().changes += 1;
            let died = self.dies(work, write, Cut::After).await;
            last = self.counts(work, last, "after the last write").await;
            if died {
                return last;
            }
        }
        panic!("there are fewer writes than before")
    }

    /// Dies at every write and is refused at every question, and the repository is whole after that.
    async fn is_killed_everywhere(&self, work: &Work) {
        let writes = self.dies_everywhere(work).await;
        assert_eq!(kinds(&writes), BTreeSet::from(KINDS), "{writes:#?}");
        self.is_refused_everywhere(work).await;
        self.stage.restic(&self.stage.password(), "check --read-data");
    }

    /// The permit is refused at every question of the work, and the next one does it.
    async fn is_refused_everywhere(&self, work: &Work) {
        let mut last = self.last(work).await;
        for question in 0.. {
            self.servers.state().changes += 1;
            self.relay.reset().unwrap();
            match self.carry_out(work, DiesAt::question(question)).await {
                Ok(_) => return,
                Err(ProviderError::NotPermitted(_)) => {}
                Err(error) => panic!("question {question}: {error}"),
            }
            last = self.counts(work, last, &format!("question {question}")).await;
        }
    }
}

/// The proof of the disk.
fn proof() -> Work {
    Work::Proof { disk: DISK.0.to_owned() }
}

/// What kinds of writes there are.
fn kinds(writes: &[String]) -> BTreeSet<&str> {
    writes.iter().filter_map(|write| write.split(' ').next()).collect()
}

/// All that restic does in a repository that is made.
const KINDS: [&str; 5] = ["fsetstat", "open", "remove", "rename", "write"];

#[test]
fn wherever_it_dies_in_a_backup_the_next_one_is_whole() {
    let Some(scene) = Scene::set() else { return };
    scene.stage.block_on(async {
        scene.ready().await;
        scene.is_killed_everywhere(&Work::Backup).await;
    });
}

#[test]
fn wherever_it_dies_in_a_proof_the_next_one_is_whole() {
    let Some(scene) = Scene::set() else { return };
    scene.stage.block_on(async {
        scene.ready().await;
        scene.carry_out(&Work::Backup, Arc::new(Always)).await.unwrap();
        scene.is_killed_everywhere(&proof()).await;
    });
}

#[test]
fn a_check_that_died_keeps_nobody_from_his_disk() {
    let Some(scene) = Scene::set() else { return };
    scene.stage.block_on(async {
        scene.ready().await;
        scene.carry_out(&Work::Backup, Arc::new(Always)).await.unwrap();
        scene.relay.reset().unwrap();
        scene.carry_out(&proof(), Arc::new(Always)).await.unwrap();
        let writes = scene.relay.journal().unwrap();
        let locks = writes
            .iter()
            .enumerate()
            .filter(|(_, write)| write.starts_with("rename ") && write.contains("/locks/"));
        let locks: Vec<_> = locks.map(|(number, _)| number).collect();
        let [_list, _restore, _note, check, _note_of_check] = locks[..] else { panic!("{writes:#?}") };
        assert!(scene.dies(&proof(), check, Cut::After).await);
        scene.relay.reset().unwrap();
        let restore = Restore {
            tenant: "ibestad".into(),
            server: SERVER.to_owned(),
            disk: DISK.0.to_owned(),
            run: None,
        };
        let (provider, ctx) = (scene.stage.provider(), scene.stage.ctx(Arc::new(Always)));
        let around = Around { servers: None, progress: &|_| {} };
        let transfers = provider.transfers().unwrap();
        let restored = transfers.restore(&restore, Box::new(std::io::sink()), &around, &ctx).await;
        assert_eq!(restored.unwrap().bytes, DISK.1);
    });
}
