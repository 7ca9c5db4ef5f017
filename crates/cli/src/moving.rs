//! Moving bytes while a person watches: backups that are taken and proofs that are made now.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use vertskommune_core::render::{self, size};
use vertskommune_core::transfer::{Transfer, Underway};
use vertskommune_engine::{Ended, Transferred};

use crate::carrying_out::Writer;
use crate::embedded::Embedded;
use crate::exit::Exit;
use crate::{interrupt, output, progress};

/// How often progress is looked at.
const BEAT: Duration = Duration::from_millis(500);

/// What was last said of each that runs, where every word stays: tenths of the way.
type Said = BTreeMap<Transfer, u8>;

/// Carries out these, as many at once as the endpoint's budget says, and tells what becomes of each.
pub(crate) async fn carry_out(
    embedded: &Embedded,
    writer: &Writer,
    wanted: Vec<Transfer>,
) -> anyhow::Result<Exit> {
    let interrupted = CancellationToken::new();
    let _listening = interrupt::listen(interrupted.clone())?;
    writer.take_over(embedded).await?;
    let exit = run(embedded, wanted, &interrupted).await;
    progress::clear();
    // Whatever happened, the next one need not wait for the end of our claims.
    progress::during("giving our claims back", embedded.engine.release_claims()).await;
    Ok(exit)
}

async fn run(embedded: &Embedded, mut wanted: Vec<Transfer>, interrupted: &CancellationToken) -> Exit {
    let (engine, world) = (&embedded.engine, &embedded.world);
    let mut running = FuturesUnordered::new();
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut exit, mut done, mut said) = (Exit::Success, 0, Said::new());
    loop {
        for turn in engine.turns(world, &mut wanted) {
            output::note(format_args!("{}: {}", turn.transfer().tenant, turn.transfer()));
            running.push(engine.transfer(world, turn));
        }
        tokio::select! {
            ended = running.next() => {
                let Some(ended) = ended else { break };
                output::note(line(&ended));
                said.remove(&ended.transfer);
                done += 1;
                if !matches!(ended.ended, Ended::Done(_)) {
                    exit = Exit::Failure;
                }
            }
            _ = beat.tick() => tell(engine.underway().values().flatten(), done, wanted.len(), &mut said),
            () = interrupted.cancelled(), if exit != Exit::Interrupted => {
                engine.end_transfers();
                exit = Exit::Interrupted;
            }
        }
    }
    if interrupted.is_cancelled() {
        return Exit::Interrupted;
    }
    for transfer in &wanted {
        // It could have been begun when it was asked for, and not any more.
        let why = engine.held(world, transfer).err().map(|held| held.to_string()).unwrap_or_default();
        output::note(format_args!("{}: {transfer}: not begun: {why}", transfer.tenant));
        exit = Exit::Failure;
    }
    exit
}

/// Tells how far they are: in place on a terminal, at every tenth elsewhere.
fn tell<'a>(running: impl Iterator<Item = &'a Underway>, done: usize, left: usize, said: &mut Said) {
    let mut all = Vec::new();
    for underway in running {
        let tenth = underway.percent().unwrap_or_default() / 10;
        let before = said.insert(underway.transfer.clone(), tenth).unwrap_or_default();
        if !progress::is_live() && tenth > before {
            output::note(format_args!("{}: {underway}", underway.transfer.tenant));
        }
        all.push(underway.to_string());
    }
    if !all.is_empty() {
        let left = left + all.len();
        progress::show(format!("{done} done, {left} to do · {}", render::capital(&all.join(", "))));
    }
}

/// What became of one, in one line.
fn line(transferred: &Transferred) -> String {
    let transfer = &transferred.transfer;
    let became = match &transferred.ended {
        Ended::Done(moved) if moved.stored > 0 => {
            format!("done: {} read, {} of it new", size(moved.bytes), size(moved.stored))
        }
        Ended::Done(moved) => format!("done: {} read", size(moved.bytes)),
        Ended::Damaged(_, what) => format!("damaged: {what}"),
        Ended::Stopped(why) => format!("stopped: {why}"),
        Ended::Failed { error, .. } => format!("failed: {error}"),
    };
    format!("{}: {transfer}: {became}", transfer.tenant)
}
