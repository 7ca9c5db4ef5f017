//! What we write QEMU reads, and what QEMU writes we read.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to stop")]

mod disk;

use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use disk::{Dice, Layout, packed, raw};
use vmdk::{Error, Reader};

/// Whether there is a QEMU; a run that must skip nothing fails without.
fn qemu_is_there() -> bool {
    let there = Command::new("qemu-img").arg("--version").output().is_ok();
    assert!(there || std::env::var_os("CI").is_none(), "nothing may be skipped here: run `make install`");
    if !there {
        eprintln!("skipped: qemu-img is missing (Debian's qemu-utils)");
    }
    there
}

fn qemu_img(arguments: &[&str], dir: &Path) -> String {
    let output = Command::new("qemu-img").args(arguments).current_dir(dir).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "qemu-img {arguments:?}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Disks of one table and of several, with holes within tables and whole tables of zeros.
fn disks() -> Vec<Vec<u8>> {
    let mut dice = Dice(7);
    let mut random = |grains: usize, zeros: usize| -> Vec<Layout> {
        (0..grains)
            .map(|_| match dice.below(zeros + 2) {
                0 => Layout::Text(u8::try_from(dice.below(256)).unwrap()),
                1 => Layout::Noise(dice.next()),
                _ => Layout::Zeros,
            })
            .collect()
    };
    let mut several = random(530, 20);
    several.extend(vec![Layout::Zeros; 1024]);
    several.extend(random(40, 2));
    [vec![Layout::Zeros], vec![Layout::Noise(1)], random(30, 2), random(512, 9), several]
        .map(|layout| raw(&layout))
        .into()
}

#[test]
fn qemu_reads_what_we_write() {
    if !qemu_is_there() {
        return;
    }
    for disk in disks() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ours.vmdk"), packed(&disk)).unwrap();
        let info = qemu_img(&["info", "--output=json", "ours.vmdk"], dir.path());
        assert!(
            info.contains("streamOptimized") && info.contains(&format!("\"virtual-size\": {}", disk.len())),
            "{info}"
        );
        qemu_img(&["check", "-f", "vmdk", "ours.vmdk"], dir.path());
        qemu_img(&["convert", "-f", "vmdk", "-O", "raw", "ours.vmdk", "theirs.raw"], dir.path());
        assert!(std::fs::read(dir.path().join("theirs.raw")).unwrap() == disk, "QEMU reads other bytes");
    }
}

#[test]
fn we_read_what_qemu_writes() {
    if !qemu_is_there() {
        return;
    }
    for disk in disks() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("theirs.raw"), &disk).unwrap();
        let convert = ["convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized"];
        qemu_img(&[&convert[..], &["theirs.raw", "theirs.vmdk"]].concat(), dir.path());
        let stream = std::fs::read(dir.path().join("theirs.vmdk")).unwrap();
        let mut reader = Reader::new(&*stream).unwrap();
        assert_eq!(reader.capacity(), disk.len() as u64);
        let mut ours = Vec::new();
        reader.read_to_end(&mut ours).unwrap();
        assert!(ours == disk, "we read other bytes");
        // A cut is found also where the tables in front tell the end, and not a marker. What may be
        // missing is padding.
        for cut in [1, 512, 513, 1024, stream.len() / 2] {
            let mut ours = Vec::new();
            let outcome = Reader::new(&stream[..stream.len() - cut])
                .map_err(std::io::Error::from)
                .and_then(|mut reader| reader.read_to_end(&mut ours));
            assert!(outcome.is_err() || ours == disk, "cut by {cut} of {}", stream.len());
        }
    }
}

#[test]
fn other_sorts_are_named() {
    if !qemu_is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (format, options) in [
        ("vmdk", "subformat=monolithicSparse"),
        ("vmdk", "subformat=monolithicFlat"),
        ("qcow2", "compat=1.1"),
    ] {
        qemu_img(&["create", "-f", format, "-o", options, "other", "1M"], dir.path());
        let error = Reader::new(std::fs::File::open(dir.path().join("other")).unwrap()).unwrap_err();
        assert!(
            matches!(error, Error::NotVmdk | Error::NotStreamOptimized(_) | Error::Truncated { .. }),
            "{options}: {error}"
        );
    }
}
