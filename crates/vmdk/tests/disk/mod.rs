//! Disks to test with: each grain of zeros, of text that can be compressed, or of noise.

#![allow(dead_code, reason = "not each test needs all of it")]

use std::io::Write as _;

use proptest::prelude::*;

pub(crate) const GRAIN: usize = 64 << 10;

/// What a grain holds.
#[derive(Clone, Debug)]
pub(crate) enum Layout {
    Zeros,
    Text(u8),
    Noise(u64),
    /// The last one, of so many sectors.
    Part(usize),
}

/// Random disks of up to so many grains, half of them zeros, some with an end within a grain.
pub(crate) fn layout(grains: usize) -> impl Strategy<Value = Vec<Layout>> {
    let grain = prop_oneof![
        2 => Just(Layout::Zeros),
        1 => any::<u8>().prop_map(Layout::Text),
        1 => any::<u64>().prop_map(Layout::Noise),
    ];
    let part = prop_oneof![Just(None), (1_usize..128).prop_map(|sectors| Some(Layout::Part(sectors)))];
    (prop::collection::vec(grain, 1..grains), part).prop_map(|(mut layout, part)| {
        layout.extend(part);
        layout
    })
}

/// The raw bytes of a disk.
pub(crate) fn raw(layout: &[Layout]) -> Vec<u8> {
    let mut disk = Vec::new();
    for grain in layout {
        match grain {
            Layout::Zeros => disk.resize(disk.len() + GRAIN, 0),
            Layout::Text(n) => disk.extend((0..GRAIN).map(|at| b"municipality "[at % 13] ^ (n & 31))),
            Layout::Noise(seed) => {
                let mut dice = Dice(*seed);
                disk.extend(std::iter::repeat_with(|| dice.next().to_le_bytes()).take(GRAIN / 8).flatten());
            }
            Layout::Part(sectors) => disk.extend(std::iter::repeat_n(0x5A, sectors * 512)),
        }
    }
    disk
}

/// A disk as our writer packs it.
pub(crate) fn packed(disk: &[u8]) -> Vec<u8> {
    let mut writer = vmdk::Writer::new(Vec::new(), disk.len() as u64, "disk.vmdk").unwrap();
    writer.write_all(disk).unwrap();
    writer.finish().unwrap()
}

/// Numbers that look random and are the same in each run (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}
