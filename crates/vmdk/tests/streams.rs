//! What is written is read again; what is cut off or damaged is found.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to stop")]

mod disk;

use std::io::Read;

use disk::{Dice, GRAIN, Layout, layout, packed, raw};
use proptest::prelude::*;
use vmdk::{Error, Piece, Reader};

/// Reads by calls of a given length, and returns the disk.
fn unpacked(stream: &[u8], step: usize) -> Result<Vec<u8>, std::io::Error> {
    let mut reader = Reader::new(stream)?;
    let (mut disk, mut part) = (Vec::new(), vec![0xAA; step]);
    loop {
        match reader.read(&mut part)? {
            0 => return Ok(disk),
            count => disk.extend_from_slice(&part[..count]),
        }
    }
}

/// The typed error of a stream that must fail, which is the same by pieces and by reads of any length.
fn refusal(stream: &[u8]) -> Error {
    let reader = match Reader::new(stream) {
        Ok(reader) => reader,
        Err(error) => return error,
    };
    let mut reader = reader;
    loop {
        match reader.piece() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a damaged stream was taken for a whole one"),
            Err(error) => {
                assert!(matches!(reader.piece(), Err(Error::Failed)), "after {error} there is more");
                for step in [GRAIN / 3, GRAIN, 3 * GRAIN] {
                    let read = unpacked(stream, step).unwrap_err();
                    assert_eq!(read.to_string(), error.to_string(), "by {step} bytes");
                }
                return error;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_again(layout in layout(40), step in 1_usize..200_000) {
        let disk = raw(&layout);
        prop_assert!(unpacked(&packed(&disk), step).unwrap() == disk);
    }

    #[test]
    fn a_stream_that_was_cut_off_is_never_whole(layout in layout(6), cut in 0_usize..10_000) {
        let stream = packed(&raw(&layout));
        let cut = stream.len() * cut / 10_000;
        let error = refusal(&stream[..cut]);
        let found = matches!(error, Error::Truncated { at } if at <= cut as u64);
        prop_assert!(found, "{}", error);
    }
}

#[test]
fn a_cut_at_every_sector_is_found() {
    let stream = packed(&raw(&[Layout::Noise(1), Layout::Zeros, Layout::Text(2), Layout::Zeros]));
    for cut in (0..stream.len()).step_by(512) {
        assert!(matches!(refusal(&stream[..cut]), Error::Truncated { .. }), "cut at {cut}");
    }
}

#[test]
fn what_cannot_be_compressed_does_not_grow() {
    let disk = raw(&(0..64).map(Layout::Noise).collect::<Vec<_>>());
    let stream = packed(&disk);
    assert!(stream.len() < disk.len() + disk.len() / 50 + (70 << 10), "{} of {}", stream.len(), disk.len());
}

#[test]
fn zeros_take_no_time_and_no_place() {
    // 4 GiB with something at three places far apart.
    let mut writer = vmdk::Writer::new(Vec::new(), 4 << 30, "large.vmdk").unwrap();
    let sevens = vec![7; 1 << 20];
    let zeros = vec![0; 1 << 20];
    for n in 0..4 << 10 {
        if n % 1500 == 3 {
            std::io::Write::write_all(&mut writer, &sevens).unwrap();
        } else {
            std::io::Write::write_all(&mut writer, &zeros).unwrap();
        }
    }
    let stream = writer.finish().unwrap();
    assert!(stream.len() < 200 << 10, "{} bytes", stream.len());
    let mut reader = Reader::new(&*stream).unwrap();
    let (mut zeros, mut data, mut pieces) = (0, 0, 0);
    while let Some(piece) = reader.piece().unwrap() {
        pieces += 1;
        match piece {
            Piece::Zeros(count) => zeros += count,
            Piece::Data(bytes) => {
                assert!(bytes.iter().all(|byte| *byte == 7));
                data += bytes.len() as u64;
            }
        }
    }
    assert_eq!((zeros + data, data, pieces), (4 << 30, 3 << 20, 3 * 16 + 4));
}

/// The places of the markers in a stream, with their value, size and type.
fn markers(stream: &[u8]) -> Vec<(usize, u64, u32, u32)> {
    let (mut at, mut found) = (128 * 512, vec![]);
    while at < stream.len() {
        let u32_at = |at: usize| u32::from_le_bytes(stream[at..at + 4].try_into().unwrap());
        let value = u64::from_le_bytes(stream[at..at + 8].try_into().unwrap());
        let (size, kind) = (u32_at(at + 8), u32_at(at + 12));
        found.push((at, value, size, if size > 0 { u32::MAX } else { kind }));
        at += if size > 0 {
            (12 + size as usize).next_multiple_of(512)
        } else {
            512 * (1 + usize::try_from(value).unwrap())
        };
    }
    found
}

/// Puts a part of a stream in again behind itself.
fn twice(stream: &mut Vec<u8>, part: std::ops::Range<usize>) {
    let copy = stream[part.clone()].to_vec();
    drop(stream.splice(part.end..part.end, copy));
}

#[test]
fn each_damage_has_its_error() {
    type Case = (&'static str, fn(&mut Vec<u8>, &[usize]), fn(&Error) -> bool);
    // Grains 0, 2 and 3, table, directory, footer, end.
    let whole = packed(&raw(&[Layout::Noise(1), Layout::Zeros, Layout::Text(2), Layout::Noise(3)]));
    let at: Vec<usize> = markers(&whole).iter().map(|marker| marker.0).collect();
    assert_eq!(at.len(), 7);
    let damages: &[Case] = &[
        ("no VMDK", |s, _| s[0] = b'k', |e| matches!(e, Error::NotVmdk)),
        ("another sort", |s, _| s[10] = 0, |e| matches!(e, Error::NotStreamOptimized(_))),
        ("empty", |s, _| s.clear(), |e| matches!(e, Error::Truncated { at: 0 })),
        ("a grain twice", |s, at| s[at[1] + 1] = 0, |e| matches!(e, Error::OutOfOrder { offset: 0, .. })),
        ("a grain of before", |s, at| s[at[2]..at[2] + 2].fill(0), |e| matches!(e, Error::OutOfOrder { .. })),
        ("between grains", |s, at| s[at[1]] = 1, |e| matches!(e, Error::Unaligned { .. })),
        ("behind the end", |s, at| s[at[2] + 2] = 1, |e| matches!(e, Error::BeyondCapacity { .. })),
        ("far behind the end", |s, at| s[at[2] + 7] = 255, |e| matches!(e, Error::BeyondCapacity { .. })),
        ("huge", |s, at| s[at[0] + 11] = 255, |e| matches!(e, Error::GrainTooLarge { .. })),
        ("another byte", |s, at| s[at[0] + 5000] ^= 1, |e| matches!(e, Error::Zlib { .. })),
        ("too short for zlib", |s, at| s[at[1] + 8] -= 1, |e| matches!(e, Error::Zlib { .. })),
        (
            "a grain taken out",
            |s, at| drop(s.drain(at[1]..at[2])),
            |e| matches!(e, Error::Tables { listed: 3, seen: 2 }),
        ),
        ("no table", |s, at| drop(s.drain(at[3]..at[4])), |e| matches!(e, Error::Tables { listed: 0, .. })),
        ("a table of another size", |s, at| s[at[3]] = 5, |e| matches!(e, Error::Marker { kind: 1, .. })),
        ("a table too many", |s, at| twice(s, at[3]..at[4]), |e| matches!(e, Error::Marker { kind: 1, .. })),
        (
            "a directory too many",
            |s, at| twice(s, at[4]..at[5]),
            |e| matches!(e, Error::Marker { kind: 2, .. }),
        ),
        ("an endless directory", |s, at| s[at[4] + 7] = 255, |e| matches!(e, Error::Marker { kind: 2, .. })),
        ("endless overhead", |s, _| s[70] = 1, |e| matches!(e, Error::Header { field: "overhead", .. })),
        ("no footer", |s, at| drop(s.drain(at[5]..at[6])), |e| matches!(e, Error::Footer)),
        ("another footer", |s, at| s[at[5] + 512 + 13] = 9, |e| matches!(e, Error::Footer)),
        ("a footer that is none", |s, at| s[at[5] + 512] = 0, |e| matches!(e, Error::Footer)),
        ("a table after the footer", |s, at| s[at[6] + 12] = 1, |e| matches!(e, Error::Marker { .. })),
        ("an unknown marker", |s, at| s[at[4] + 12] = 9, |e| matches!(e, Error::Marker { kind: 9, .. })),
        ("no end", |s, at| s.truncate(at[6]), |e| matches!(e, Error::Truncated { .. })),
        ("half an end", |s, _| s.truncate(s.len() - 1), |e| matches!(e, Error::Truncated { .. })),
        ("something after the end", |s, _| s.extend([1; 512]), |e| matches!(e, Error::AfterEnd { .. })),
        ("endless padding", |s, _| s.extend(vec![0; 1 << 20]), |e| matches!(e, Error::AfterEnd { .. })),
    ];
    for (name, damage, expected) in damages {
        let mut stream = whole.clone();
        damage(&mut stream, &at);
        let error = refusal(&stream);
        assert!(expected(&error), "{name}: {error:?}");
    }
    let mut padded = whole.clone();
    padded.extend([0; 512]);
    assert!(unpacked(&padded, 4096).is_ok(), "a little padding is borne");
}

#[test]
fn a_grain_has_exactly_its_size() {
    let deflated = |bytes: usize| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, &vec![1; bytes]).unwrap();
        encoder.finish().unwrap()
    };
    let whole = packed(&raw(&[Layout::Noise(1), Layout::Zeros]));
    let grain = markers(&whole)[0].0;
    for bytes in [1, GRAIN - 1, GRAIN + 1, 100 * GRAIN] {
        let mut stream = whole.clone();
        let packed = deflated(bytes);
        stream[grain + 8..grain + 12].copy_from_slice(&u32::try_from(packed.len()).unwrap().to_le_bytes());
        stream[grain + 12..grain + 12 + packed.len()].copy_from_slice(&packed);
        let error = refusal(&stream);
        assert!(matches!(error, Error::GrainSize { expected: 65536, .. }), "{bytes}: {error:?}");
    }
}

/// Damage anywhere: the reader ends, with an error or with a disk of the size that it said.
#[test]
fn a_mutated_stream_ends() {
    let whole = packed(&raw(&[
        Layout::Text(1),
        Layout::Zeros,
        Layout::Noise(2),
        Layout::Text(3),
        Layout::Zeros,
        Layout::Text(4),
    ]));
    let places: Vec<usize> = markers(&whole).iter().map(|marker| marker.0).collect();
    let mut dice = Dice(20_261_128);
    let (mut refused, mut borne) = (0, 0);
    for _ in 0..6000 {
        let mut stream = whole.clone();
        for _ in 0..=dice.below(3) {
            // Half of the damage to where it matters: header and markers.
            let at = match dice.below(4) {
                0 => dice.below(80),
                1 => places[dice.below(places.len())] + dice.below(16),
                _ => dice.below(stream.len()),
            };
            let at = at.min(stream.len() - 1);
            match dice.below(4) {
                0 => stream[at] ^= 1 << dice.below(8),
                1 => stream[at] = [0, 1, 127, 128, 255][dice.below(5)],
                2 => stream.truncate(at),
                _ => drop(stream.drain(at..(at + dice.below(2000)).min(stream.len()))),
            }
            if stream.is_empty() {
                break;
            }
        }
        let Ok(mut reader) = Reader::new(&*stream) else {
            refused += 1;
            continue;
        };
        let (capacity, mut length) = (reader.capacity(), 0);
        loop {
            match reader.piece() {
                Ok(Some(Piece::Zeros(count))) => length += count,
                Ok(Some(Piece::Data(bytes))) => length += bytes.len() as u64,
                Ok(None) => {
                    assert_eq!(length, capacity);
                    borne += 1;
                    break;
                }
                Err(_) => {
                    refused += 1;
                    break;
                }
            }
            assert!(length <= capacity);
        }
    }
    // What does no harm is damage to padding and to the text.
    assert!(refused > 3000 && borne > 100, "{refused} refused, {borne} borne");
}

#[test]
fn a_source_that_fails_gives_its_own_error() {
    struct Fails<'a>(&'a [u8]);
    impl Read for Fails<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            match self.0.read(out)? {
                0 => Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "the line is silent")),
                count => Ok(count),
            }
        }
    }
    let whole = packed(&raw(&[Layout::Noise(1), Layout::Noise(2)]));
    let mut reader = Reader::new(Fails(&whole[..100_000])).unwrap();
    let error = std::io::copy(&mut reader, &mut std::io::sink()).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (std::io::ErrorKind::TimedOut, "the line is silent")
    );
}

#[test]
fn a_disk_is_written_whole_or_not_at_all() {
    use std::io::Write as _;
    for bytes in [0, 511, 513, u64::MAX] {
        assert!(matches!(vmdk::Writer::new(Vec::new(), bytes, "a"), Err(Error::Capacity { .. })), "{bytes}");
    }
    let writer = || vmdk::Writer::new(Vec::new(), 1024, "a\"\nb.vmdk").unwrap();
    let mut short = writer();
    short.write_all(&[1; 1023]).unwrap();
    assert!(matches!(short.finish(), Err(Error::Written { written: 1023, capacity: 1024 })));
    assert!(writer().write_all(&[1; 1025]).is_err());
    let mut exact = writer();
    exact.write_all(&[1; 1024]).unwrap();
    let stream = exact.finish().unwrap();
    assert!(stream.windows(8).any(|w| w == b"\"ab.vmdk"), "the name cannot end its line");
    assert_eq!(unpacked(&stream, 100).unwrap(), vec![1; 1024]);
}
