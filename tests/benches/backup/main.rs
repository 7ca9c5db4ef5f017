//! What the stream of a backup costs beside the stock program alone, against the lab's real peers: `make bench`, or
//! `BENCH_PART=backup make bench` for this alone. Figures are printed beside their targets; nothing fails because something is
//! slow, but it does where memory grows with the disk or a second backup stores what is there. It needs root, for the second room.
//!
//! *Ours* is `vertskommune backup run` as a user has it: the disk comes from the vCenter simulator as a stream-optimized VMDK over
//! TLS, is decoded, hashed, given to restic and moved to the second room. *By hand* is `cat disk.raw | restic backup --stdin` of a
//! file with the same bytes, through the stock ssh, to another account of the same room: no download, no decoding, no hash. *From
//! file* is the same without `cat`, as restic reads a file and a pipe at different costs. All are timed the same way, by the life
//! of the restic process that takes the disk ([`watch`]); they take turns, and each begins with an empty repository.

mod peers;
mod watch;

use std::time::Duration;

use anyhow::ensure;
use vertskommune_tests::measure::{mebibytes, print, seconds};

use peers::{Peers, Stored};
use watch::Watched;

/// The larger disk in GiB, unless `BENCH_GIB` says otherwise; with `BENCH_QUICKLY` it is 1.
const LARGER: u64 = 10;
/// How often each way is gone, unless `BENCH_TURNS` says otherwise.
const TURNS: usize = 5;
/// The same with `BENCH_QUICKLY`.
const FEW: usize = 3;
/// How much more of memory may be taken for a disk that is several times as large, in KiB.
const MORE: u64 = 24 << 10;
const GIB: u64 = 1 << 30;

fn main() -> anyhow::Result<()> {
    // Cargo adds `--bench`; callers that look for tests say `--list`.
    let is_asked_for_tests = std::env::args().any(|argument| argument == "--list");
    let part = std::env::var("BENCH_PART").unwrap_or_default();
    if is_asked_for_tests || !(part.is_empty() || part == "backup") {
        return Ok(());
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let is_quick = std::env::var_os("BENCH_QUICKLY").is_some();
    let turns = match std::env::var("BENCH_TURNS") {
        Ok(turns) => turns.parse()?,
        Err(_) if is_quick => FEW,
        Err(_) => TURNS,
    };
    ensure!(turns > 0, "BENCH_TURNS has to be 1 or more");
    let larger = match std::env::var("BENCH_GIB") {
        Ok(gib) => gib.parse()?,
        Err(_) if is_quick => 1,
        Err(_) => LARGER,
    };
    println!("## A backup's stream\n");
    // So that memory can be seen not to grow with the disk.
    let smaller = if larger > 1 { GIB } else { GIB / 4 };
    let mut disks = Vec::new();
    for bytes in [smaller, larger * GIB] {
        let Some(disk) = measure(bytes, turns)? else { return Ok(()) };
        disks.push(disk);
    }
    tell(&disks);
    hold(&disks)
}

/// What has to be so on any machine.
fn hold(disks: &[Disk]) -> anyhow::Result<()> {
    let most = |disk: &Disk, of: fn(&Watched) -> u64| disk.turns.iter().map(|turn| of(&turn.ours)).max();
    let program: fn(&Watched) -> u64 = |ours| ours.program.memory;
    let pipe: fn(&Watched) -> u64 = |ours| ours.ssh.memory;
    for (name, of) in [("vertskommune", program), ("what moves its bytes", pipe)] {
        let (smaller, larger) = (most(&disks[0], of), most(&disks[1], of));
        ensure!(larger <= smaller.map(|it| it + MORE), "the memory of {name} grows with the disk");
    }
    for disk in disks {
        let stored = disk.after.blobs - disk.before.blobs;
        ensure!(stored * 100 < disk.bytes, "a second backup of {} stored {stored} bytes", size(disk.bytes));
    }
    Ok(())
}

/// What was measured with a disk of one size.
struct Disk {
    bytes: u64,
    /// All ways, one after the other, with the vCenter's processor time in ours.
    turns: Vec<Turn>,
    /// Download and decoding into nothing.
    limit: Limit,
    /// A second backup of the disk as it was.
    again: Watched,
    before: Stored,
    after: Stored,
}

struct Turn {
    ours: Watched,
    vcenter: Duration,
    by_hand: Watched,
    from_file: Watched,
}

struct Limit {
    time: Duration,
    ours: Duration,
    vcenter: Duration,
}

impl Turn {
    fn ways(&self) -> [(&'static str, &Watched); 3] {
        [("ours", &self.ours), ("by hand", &self.by_hand), ("from file", &self.from_file)]
    }

    fn ratio(&self) -> f64 {
        self.ours.stream.div_duration_f64(self.by_hand.stream)
    }

    fn to_file(&self) -> f64 {
        self.ours.stream.div_duration_f64(self.from_file.stream)
    }
}

fn measure(bytes: u64, count: usize) -> anyhow::Result<Option<Disk>> {
    let Some(peers) = Peers::start(bytes)? else { return Ok(None) };
    let mut turns = Vec::new();
    for turn in 0..count {
        // The one that goes first may find the machine otherwise than the second.
        let ((ours, vcenter), by_hand) = if turn.is_multiple_of(2) {
            (peers.ours()?, peers.by_hand()?)
        } else {
            let by_hand = peers.by_hand()?;
            (peers.ours()?, by_hand)
        };
        let turn = Turn { ours, vcenter, by_hand, from_file: peers.without_pipe()? };
        let [ours, by_hand, from_file] = turn.ways().map(|(_, watched)| seconds(watched.stream));
        let stolen = turn.ways().map(|(_, watched)| watched.unused.stolen).iter().sum();
        eprintln!(
            "{}: {ours} ours, {by_hand} by hand, {from_file} from file; ratio {:.2}, to file {:.2}; the host took {} away",
            size(bytes),
            turn.ratio(),
            turn.to_file(),
            seconds(stolen)
        );
        turns.push(turn);
    }
    peers.compare()?;
    let limit = peers.read()?;
    let before = peers.stored()?;
    let (again, _) = peers.once_more()?;
    let after = peers.stored()?;
    ensure!(after.snapshots > before.snapshots, "the second backup is not there");
    turns.sort_by(|one, other| one.ratio().total_cmp(&other.ratio()));
    Ok(Some(Disk { bytes, turns, limit, again, before, after }))
}

fn tell(disks: &[Disk]) {
    println!(
        "\nThe stream, {} turns, the one in the middle by its ratio. Target: ratio at most 1.1.\n",
        disks[0].turns.len()
    );
    let rows: Vec<Vec<String>> = disks.iter().map(stream).collect();
    print(
        &[
            "disk",
            "ours",
            "by hand",
            "ratio",
            "from",
            "to",
            "from file",
            "ratio to it",
            "whole command",
            "second backup",
            "download and decoding",
        ],
        &rows,
    );
    println!("\nProcessor time of that turn, and what of it all processors left unused:\n");
    let rows: Vec<Vec<String>> = disks.iter().flat_map(processor).collect();
    print(
        &["disk", "way", "vertskommune", "restic", "SSH", "vCenter simulator", "idle", "taken by the host"],
        &rows,
    );
    println!("\nMemory, the most of all turns:\n");
    let rows: Vec<Vec<String>> = disks.iter().flat_map(memory).collect();
    print(&["disk", "way", "vertskommune", "restic", "SSH"], &rows);
    println!(
        "\nA second backup of the disk as it was, by `restic stats` and by the files. Target: under 1 %.\n"
    );
    let rows: Vec<Vec<String>> = disks.iter().map(stored).collect();
    print(
        &[
            "disk",
            "blobs before",
            "blobs stored",
            "of the disk",
            "files before",
            "files stored",
            "of the disk",
        ],
        &rows,
    );
    println!();
}

fn stream(disk: &Disk) -> Vec<String> {
    let middle = disk.middle();
    let ratio = |turn: Option<&Turn>| turn.map(|turn| format!("{:.2}", turn.ratio())).unwrap_or_default();
    vec![
        size(disk.bytes),
        disk.fast(middle.ours.stream),
        disk.fast(middle.by_hand.stream),
        ratio(Some(middle)),
        ratio(disk.turns.first()),
        ratio(disk.turns.last()),
        disk.fast(middle.from_file.stream),
        format!("{:.2}", middle.to_file()),
        seconds(middle.ours.whole),
        disk.fast(disk.again.stream),
        disk.fast(disk.limit.time),
    ]
}

fn processor(disk: &Disk) -> Vec<Vec<String>> {
    let turn = disk.middle();
    let nothing = || "-".to_owned();
    let row = |(way, watched): (&str, &Watched)| {
        let only_ours = |time: Duration| if way == "ours" { seconds(time) } else { nothing() };
        vec![
            size(disk.bytes),
            way.to_owned(),
            only_ours(watched.program.processor),
            seconds(watched.restic.processor),
            seconds(watched.ssh.processor),
            only_ours(turn.vcenter),
            seconds(watched.unused.idle),
            seconds(watched.unused.stolen),
        ]
    };
    let (ours, vcenter) = (seconds(disk.limit.ours), seconds(disk.limit.vcenter));
    let way = "download and decoding".to_owned();
    let limit = vec![size(disk.bytes), way, ours, nothing(), nothing(), vcenter, nothing(), nothing()];
    turn.ways().into_iter().map(row).chain([limit]).collect()
}

fn memory(disk: &Disk) -> [Vec<String>; 2] {
    let most = |of: &dyn Fn(&Turn) -> u64| mebibytes(disk.turns.iter().map(of).max().unwrap_or_default());
    let row = |way: &str, of: &dyn Fn(&Turn) -> &Watched, program: String| {
        let (restic, ssh) = (most(&|turn| of(turn).restic.memory), most(&|turn| of(turn).ssh.memory));
        vec![size(disk.bytes), way.to_owned(), program, restic, ssh]
    };
    [
        row("ours", &|turn| &turn.ours, most(&|turn| turn.ours.program.memory)),
        row("by hand", &|turn| &turn.by_hand, "-".to_owned()),
    ]
}

fn stored(disk: &Disk) -> Vec<String> {
    let cells = |before: u64, after: u64| {
        let stored = after - before;
        [mebibytes(before / 1024), format!("{} KiB", stored.div_ceil(1024)), share(stored, disk.bytes)]
    };
    let (before, after) = (&disk.before, &disk.after);
    let cells = [cells(before.blobs, after.blobs), cells(before.files, after.files)];
    std::iter::once(size(disk.bytes)).chain(cells.concat()).collect()
}

impl Disk {
    fn middle(&self) -> &Turn {
        &self.turns[self.turns.len() / 2]
    }

    /// A time, and how much of the disk went by in a second.
    fn fast(&self, time: Duration) -> String {
        format!("{} ({} MiB/s)", seconds(time), u128::from(self.bytes >> 20) * 1000 / time.as_millis().max(1))
    }
}

fn size(bytes: u64) -> String {
    if bytes < GIB { format!("{} MiB", bytes >> 20) } else { format!("{} GiB", bytes >> 30) }
}

fn share(part: u64, whole: u64) -> String {
    let hundredths = part * 10_000 / whole.max(1);
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}
