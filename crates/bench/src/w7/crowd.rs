//! A run that many read, some of them slowly.

use std::sync::Arc;
use std::time::Duration;

use bowline_agent::{AgentStream, Strategy};
use tokio::task::JoinSet;

use super::bed::Bed;
use super::model::Stamping;
use super::{DELTAS, Reads};
use crate::Result;
use crate::clock::round;
use crate::line::{Members, Outcome, Subject};
use crate::measurement::Measurement;
use crate::subject::run;

/// Readers of the run, besides the one that has begun it.
const OBSERVERS: usize = 1000;
/// How many of them take their time.
const SLOW: [usize; 2] = [0, 200];
/// How long a slow one waits after each event.
const PAUSE: Duration = Duration::from_millis(20);
const ROUNDS: usize = 5;

/// A run with its readers: how long the one that has begun it has read.
async fn once(bed: &Arc<Bed>, slow: usize, reads: &mut Reads) -> Result<()> {
    let id = format!("crowd-{}-{}", slow, reads.runs);
    let mut readers = JoinSet::new();
    for n in 0..OBSERVERS {
        let stream = bed.attach(&id).await?;
        readers.spawn(follow(stream, (n < slow).then_some(PAUSE)));
    }
    let read = bed.run_as(&id).await?;
    reads.add(&read, DELTAS);
    // The slow ones have not read it all yet; they are not waited for.
    readers.shutdown().await;
    Ok(())
}

/// Reads to the end, with a `pause` after each event.
async fn follow(mut stream: AgentStream, pause: Option<Duration>) {
    while stream.next().await.is_some() {
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
    }
}

async fn measure(slow: usize) -> Result<Outcome> {
    let model = Stamping {
        deltas: DELTAS,
        gap: None,
    };
    let bed = Arc::new(Bed::make(model, true, Strategy::Durable).await?);
    bed.run().await?;
    let mut reads = Reads::default();
    for _ in 0..ROUNDS {
        once(&bed, slow, &mut reads).await?;
    }
    let run_ms = reads.lengths.quantile_us(0.5).map(|us| round(us / 1e3, 3));
    let extras = Members::new()
        .with("run_p50_ms", run_ms)
        .with("lost", reads.lost)
        .with("misordered", reads.misordered)
        .with("without_finish", reads.without_finish);
    bed.close().await?;
    let took = reads.lengths.quantile_us(0.5).unwrap_or_default() / 1e6;
    let per_run = reads.deltas / ROUNDS as u64;
    Ok(Outcome::new(per_run, took).extras(extras))
}

pub(super) fn measurements() -> impl Iterator<Item = Measurement> {
    SLOW.into_iter().map(|slow| {
        let params = Members::new()
            .with("observers", OBSERVERS)
            .with("slow", slow)
            .with("chunks", DELTAS);
        Measurement::one(Subject::new("W7.crowd", params), move |settings| {
            run(settings.flavor, measure(slow))
        })
    })
}
