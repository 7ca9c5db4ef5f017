//! How fast a stream becomes a disk, and a disk a stream: `cargo run --release -p vmdk --example throughput`.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a measurement, for people"
)]

use std::io::{Read, Write as _};
use std::time::Instant;

const SIZE: u64 = 1 << 30;
const PIECE: usize = 1 << 20;

fn main() {
    println!("{:<26}{:>14}{:>14}{:>14}", "1 GiB of", "write MB/s", "read MB/s", "of the disk");
    for (name, fill) in [
        ("zeros", (|_, _| 0) as fn(u64, u64) -> u64),
        ("text", |at, _| u64::from_le_bytes(*b"munici 0") + (at & 0xFF)),
        ("noise", |_, noise| noise),
        ("half zeros, half mixed", |at, noise| match (at >> 14) & 7 {
            0 => noise,
            1 | 2 => noise & 0x0F0F_0F0F,
            3 => at,
            _ => 0,
        }),
    ] {
        let mut state = 1_u64;
        let mut writer = vmdk::Writer::new(Vec::new(), SIZE, "disk.vmdk").unwrap();
        let (mut piece, mut writing) = (vec![0; PIECE], 0.0);
        for start in (0..SIZE).step_by(PIECE) {
            for (at, word) in piece.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *word = fill(start / 8 + at as u64, state ^ (state >> 29)).to_le_bytes();
            }
            let begin = Instant::now();
            writer.write_all(&piece).unwrap();
            writing += begin.elapsed().as_secs_f64();
        }
        let stream = writer.finish().unwrap();
        let begin = Instant::now();
        let mut reader = vmdk::Reader::new(&*stream).unwrap();
        while reader.read(&mut piece).unwrap() > 0 {}
        let rate = |seconds: f64| SIZE as f64 / seconds / 1e6;
        let share = stream.len() as f64 * 100.0 / SIZE as f64;
        println!(
            "{name:<26}{:>14.0}{:>14.0}{share:>13.1}%",
            rate(writing),
            rate(begin.elapsed().as_secs_f64())
        );
    }
}
