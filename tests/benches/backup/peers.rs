//! A vCenter with a server whose disk is backed up, a second room, and the two ways from one to the other.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use vertskommune_api::validate_host;
use vertskommune_core::violation::Violation;
use vertskommune_provider::context::Always;
use vertskommune_provider::secrets::FolderSecrets;
use vertskommune_provider::{Ctx, Plugin as _, Wanted};
use vertskommune_provider_vsphere::VspherePlugin;
use vertskommune_tests::lab::{Lab, VCenter, http_client};
use vertskommune_tests::manifests::{host, server_name, tenant, tenant_name};
use vertskommune_tests::measure::processor;
use vertskommune_tests::peer::Way;
use vertskommune_tests::room::{Room, program};

use crate::Limit;
use crate::watch::{Watched, to_its_end};

/// The room's installation.
const INSTALLATION: &str = "lab";
/// The one disk that is backed up.
const DISK: &str = "data";
/// The account of the one who does it by hand.
const BY_HAND: &str = "by-hand";
const PASSWORD: &str = "by-hand";
/// What is read and written at once, as the program does.
const CHUNK: usize = 256 << 10;

/// Everything that a backup needs.
pub(crate) struct Peers {
    lab: Lab,
    room: Arc<Room>,
    way: Way,
    folder: TempDir,
    /// The hash of the disk.
    hash: String,
}

/// What lies in our repository.
pub(crate) struct Stored {
    pub(crate) snapshots: usize,
    /// Bytes of all that its snapshots refer to, as `restic stats` counts them.
    pub(crate) blobs: u64,
    /// Bytes of all its files.
    pub(crate) files: u64,
}

impl Peers {
    /// Sets it all up, for a disk of so many bytes: two thirds of it are not zero, and half of these cannot be compressed. None
    /// where it has to be skipped.
    pub(crate) fn start(bytes: u64) -> anyhow::Result<Option<Self>> {
        // The account that takes it by hand has as much as ours.
        let room = bytes + (1 << 30);
        let Some(lab) = Lab::start(&["--no-kubernetes"]) else { return Ok(None) };
        let Some(room) = Room::start("ext4", &room.to_string()) else { return Ok(None) };
        let room = Arc::new(room);
        let way = room.way()?;
        let mut peers = Self { lab, room, way, folder: tempfile::tempdir()?, hash: String::new() };
        peers.describe()?;
        let applied = peers.vertskommune(&["apply"]).status()?;
        ensure!(applied.success(), "the tenant was not made");
        peers.fill(bytes)?;
        peers.prepare_by_hand()?;
        Ok(Some(peers))
    }

    /// The manifests and secrets of the host and of a tenant with one server.
    fn describe(&self) -> anyhow::Result<()> {
        let (vcenter, secrets) = (self.vcenter(), self.folder.path().join("secrets"));
        let escrow = self.folder.path().join("escrow.key");
        ensure!(Command::new("age-keygen").arg("-o").arg(&escrow).output()?.status.success(), "age-keygen");
        let recipient = Command::new("age-keygen").arg("-y").arg(&escrow).output()?.stdout;
        let second_room = json!({
            "apiVersion": "vertskommune.no/v1alpha1", "kind": "HostProvider", "metadata": {"name": "second-room"},
            "spec": {
                "plugin": "backup",
                "endpoint": format!("ssh://127.0.0.1:{}", self.way.port),
                "identity": self.room.place.host_key,
                "credentials": {"secretName": "second-room"},
                "site": "server-room-2",
                "mode": "Manage",
                "budget": {"concurrency": 2, "requestsPerSecond": 50},
                "settings": {"escrowRecipient": String::from_utf8(recipient)?.trim()},
            },
        });
        let mut tenant = tenant(1);
        if let Some(servers) = tenant["spec"]["servers"].as_array_mut() {
            servers.truncate(1);
            servers
                .iter_mut()
                .filter_map(Json::as_object_mut)
                .for_each(|server| drop(server.remove("antiAffinity")));
        }
        tenant["spec"]["backup"] = json!({
            "provider": "second-room",
            "window": {"start": "22:00", "duration": "8h", "timeZone": "Etc/UTC"},
            "retention": {"daily": 7},
            "servers": {"exclude": [format!("{}/system", server_name(1, 1))]},
        });
        let manifests = self.folder.path().join("manifests");
        fs::create_dir_all(&manifests)?;
        for (name, manifest) in [("vcenter", &host(vcenter)?), ("room", &second_room), ("tenant", &tenant)] {
            fs::write(manifests.join(format!("{name}.yaml")), manifest.to_string())?;
        }
        let password = fs::read_to_string(&vcenter.password_file)?;
        let agent = fs::read_to_string(self.room.file("agent"))?;
        for (secret, entry, value) in [
            (vcenter.name.as_str(), "username", vcenter.user.as_str()),
            (vcenter.name.as_str(), "password", password.trim_end()),
            ("second-room", "id_ed25519", agent.as_str()),
        ] {
            fs::create_dir_all(secrets.join(secret))?;
            fs::write(secrets.join(secret).join(entry), value)?;
        }
        Ok(())
    }

    /// Gives the disk its size, and keeps its bytes in a file.
    fn fill(&mut self, bytes: u64) -> anyhow::Result<()> {
        let (vcenter, server) = (self.vcenter().clone(), server_name(1, 1));
        let runtime = Runtime::new()?;
        let disks = runtime.block_on(vcenter.admin("GET", &format!("/disks?vm={server}"), Json::Null))?;
        // The template's disk is the first, and the other is ours.
        let key = disks[1]["key"].as_i64().context("the server's second disk")?;
        let filled = bytes / 3 * 2;
        runtime.block_on(vcenter.admin(
            "POST",
            &format!("/disks/size?longest={bytes}&filled={filled}"),
            Json::Null,
        ))?;
        // A real host makes it on its own processors.
        let prepare = format!("/disks/prepare?vm={server}&key={key}");
        runtime.block_on(vcenter.admin("POST", &prepare, Json::Null))?;
        let (mut hash, mut file) = (blake3::Hasher::new(), File::create(self.raw())?);
        runtime.block_on(async {
            let url = format!("{}/disks/bytes?vm={server}&key={key}", vcenter.admin);
            let mut answer = http_client(None)?.get(url).send().await?.error_for_status()?;
            while let Some(chunk) = answer.chunk().await? {
                hash.update(&chunk);
                file.write_all(&chunk)?;
            }
            anyhow::Ok(())
        })?;
        ensure!(fs::metadata(self.raw())?.len() == bytes, "the disk has not the size that was asked for");
        self.hash = hash.finalize().to_string();
        Ok(())
    }

    fn prepare_by_hand(&self) -> anyhow::Result<()> {
        self.room.tenant(BY_HAND, None)?;
        fs::write(self.folder.path().join("password"), PASSWORD)?;
        let known = format!("[127.0.0.1]:{} {}\n", self.way.port, self.room.place.host_key);
        fs::write(self.folder.path().join("known_hosts"), known)?;
        let made = self.restic()?.args(["--quiet", "init"]).status()?;
        ensure!(made.success(), "there is no repository by hand");
        Ok(())
    }

    /// A backup by the program, into an empty repository; and the vCenter's processor time in it.
    pub(crate) fn ours(&self) -> anyhow::Result<(Watched, Duration)> {
        self.empty(&tenant_name(1))?;
        self.once_more()
    }

    /// The same into what is there.
    pub(crate) fn once_more(&self) -> anyhow::Result<(Watched, Duration)> {
        let vcenter = processor(&self.vcenter_process()?)?;
        let watched = to_its_end(self.vertskommune(&["backup", "run"]).spawn()?)?;
        Ok((watched, processor(&self.vcenter_process()?)?.saturating_sub(vcenter)))
    }

    /// The same bytes by the stock programs, into an empty repository: `cat disk.raw | restic backup --stdin`.
    pub(crate) fn by_hand(&self) -> anyhow::Result<Watched> {
        self.prepare_turn_by_hand()?;
        let mut cat = Command::new("cat").arg(self.raw()).stdout(Stdio::piped()).spawn()?;
        let given = cat.stdout.take().context("the output of cat")?;
        let watched = to_its_end(self.spawn_by_hand(given)?)?;
        ensure!(cat.wait()?.success(), "cat failed");
        Ok(watched)
    }

    /// The same, where restic has the file itself: `restic backup --stdin < disk.raw`.
    pub(crate) fn without_pipe(&self) -> anyhow::Result<Watched> {
        self.prepare_turn_by_hand()?;
        to_its_end(self.spawn_by_hand(File::open(self.raw())?)?)
    }

    fn prepare_turn_by_hand(&self) -> anyhow::Result<()> {
        self.empty(BY_HAND)?;
        // Not what the disk of this machine gives is of interest.
        std::io::copy(&mut File::open(self.raw())?, &mut std::io::sink())?;
        Ok(())
    }

    fn spawn_by_hand(&self, given: impl Into<Stdio>) -> anyhow::Result<Child> {
        let server = server_name(1, 1);
        let mut restic = self.restic()?;
        restic.args(["backup", "--json", "--stdin", "--stdin-filename", &format!("/{server}/{DISK}.raw")]);
        restic.args(["--host", &server]).env("RESTIC_PROGRESS_FPS", "1");
        Ok(restic.stdin(given).stdout(Stdio::null()).spawn()?)
    }

    /// Download and decoding of the disk by the vSphere plugin, into nothing.
    pub(crate) fn read(&self) -> anyhow::Result<Limit> {
        let wrong = |violations: Vec<Violation>| anyhow::anyhow!("{violations:?}");
        let host = validate_host(&serde_json::from_value(host(self.vcenter())?)?).map_err(wrong)?;
        let provider = VspherePlugin.provider(&INSTALLATION.into(), &host).map_err(wrong)?;
        let exports = provider.exports().context("the vSphere plugin gives out no disks")?;
        let ctx = Ctx {
            deadline: tokio::time::Instant::now() + Duration::from_secs(3600),
            cancel: CancellationToken::new(),
            secrets: Arc::new(FolderSecrets::new(self.folder.path().join("secrets"))),
            permit: Arc::new(Always),
        };
        let wanted = Wanted {
            tenant: tenant_name(1).as_str().into(),
            server: server_name(1, 1),
            run: "limit".to_owned(),
        };
        let process = self.vcenter_process()?;
        Runtime::new()?.block_on(async {
            let export = exports.export(&wanted, &ctx).await?;
            let (begun, ours, vcenter) = (Instant::now(), processor("self")?, processor(&process)?);
            let mut disk = export.read(DISK).await?;
            tokio::task::spawn_blocking(move || {
                let mut chunk = vec![0; CHUNK];
                while disk.read(&mut chunk)? > 0 {}
                anyhow::Ok(())
            })
            .await??;
            let limit = Limit {
                time: begun.elapsed(),
                ours: processor("self")?.saturating_sub(ours),
                vcenter: processor(&process)?.saturating_sub(vcenter),
            };
            export.close(true).await?;
            Ok(limit)
        })
    }

    /// What we took is the disk that was given to the other way.
    pub(crate) fn compare(&self) -> anyhow::Result<()> {
        let listed = self.room_restic(&tenant_name(1), "snapshots --json")?;
        ensure!(listed.contains(&self.hash), "what was backed up is not the disk");
        Ok(())
    }

    /// What our repository holds, by the stock program's word and by its files.
    pub(crate) fn stored(&self) -> anyhow::Result<Stored> {
        let tenant = tenant_name(1);
        let stats: Json = serde_json::from_str(&self.room_restic(&tenant, "stats --mode raw-data --json")?)?;
        let listed: Vec<Json> = serde_json::from_str(&self.room_restic(&tenant, "snapshots --json")?)?;
        let files = self.room.inside(&format!("du -sb {} | cut -f1", self.repository(&tenant)))?;
        Ok(Stored {
            snapshots: listed.len(),
            blobs: stats["total_size"].as_u64().context("restic's count")?,
            files: files.trim().parse()?,
        })
    }

    /// The stock program in the room, on our repository.
    fn room_restic(&self, tenant: &str, arguments: &str) -> anyhow::Result<String> {
        let password = fs::read(self.folder.path().join(format!("secrets/backup-{tenant}/password")))?;
        let repository = self.repository(tenant);
        let script = format!(
            "HOME=/root restic --no-cache --no-lock --quiet --repo {repository} --password-file /dev/stdin {arguments}"
        );
        let output = self.room.inside_with(&script, &password)?;
        ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Takes all out of a repository but its configuration and keys: each turn finds it as a new one.
    fn empty(&self, tenant: &str) -> anyhow::Result<()> {
        let script = format!(
            "cd {} && find data index snapshots locks -type f -delete && fstrim /srv && sync",
            self.repository(tenant)
        );
        self.room.inside(&script).map(drop)
    }

    fn repository(&self, tenant: &str) -> String {
        format!("{}/{INSTALLATION}/{tenant}/repository", self.room.place.root.display())
    }

    fn vertskommune(&self, arguments: &[&str]) -> Command {
        // It stands beside the room's agent, which was started from it.
        let mut command = Command::new(program().unwrap_or_else(|_| "vertskommune".into()));
        command.args(arguments).arg(tenant_name(1)).args(["--installation", INSTALLATION]);
        command.arg("--file").arg(self.folder.path().join("manifests"));
        command.arg("--secrets").arg(self.folder.path().join("secrets"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// The stock restic with the stock ssh on the repository of the one who does it by hand; no cache, as ours has none.
    fn restic(&self) -> anyhow::Result<Command> {
        let folder = self.folder.path().display();
        let account = second_room::account_name(&second_room::Label::new(BY_HAND)?);
        let ssh = format!(
            "ssh -F none -i {} -o IdentitiesOnly=yes -o UserKnownHostsFile={folder}/known_hosts -p {} {account}@127.0.0.1 -s sftp",
            self.room.file(BY_HAND).display(),
            self.way.port
        );
        let mut restic = Command::new("restic");
        restic.arg("--repo").arg(format!("sftp:{account}@room:repository"));
        restic.arg("--option").arg(format!("sftp.command={ssh}"));
        restic.args(["--no-cache", "--password-file"]).arg(self.folder.path().join("password"));
        Ok(restic)
    }

    fn raw(&self) -> PathBuf {
        self.folder.path().join("disk.raw")
    }

    fn vcenter(&self) -> &VCenter {
        &self.lab.peers.vcenters[0]
    }

    fn vcenter_process(&self) -> anyhow::Result<String> {
        let process = self.lab.peers.pids.get("vcenter-main").context("the vCenter's process")?;
        Ok(process.to_string())
    }
}
