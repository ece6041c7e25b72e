//! W9: wall time and footprint of fresh processes up to their first delivered event.

use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bowline_events::{InProcessPubSub, NewEvent, PubSub, PublishOptions, SubscribeOptions, Topic};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::clock::{self, now_ns, round, seconds};
use crate::line::{Members, Outcome, Subject};
use crate::measurement::Measurement;
use crate::settings::Flavor;
use crate::subject::run;

const ROUNDS: usize = 11;
const KINDS: [&str; 2] = ["bare", "bus"];

/// What a fresh process tells when it is done.
#[derive(Serialize, Deserialize)]
struct Started {
    now_ns: u64,
    rss_mb: Option<f64>,
}

/// Does in this process what `kind` names and returns the line to print.
pub(crate) fn child(kind: &str) -> Result<String> {
    match kind {
        "bare" => {}
        "bus" => run(Flavor::CurrentThread, deliver_one())?,
        other => return Err(format!("there is no start {other:?}; use one of {KINDS:?}").into()),
    }
    let started = Started {
        now_ns: now_ns(),
        rss_mb: clock::rss_mb(),
    };
    Ok(serde_json::to_string(&started)?)
}

async fn deliver_one() -> Result<()> {
    let bus: Arc<dyn PubSub> = Arc::new(InProcessPubSub::new());
    let topic = Topic::new("t");
    let mut subscription = bus.subscribe_with(&topic, SubscribeOptions::new()).await?;
    let event = NewEvent::new("first", "r").with_json("{}")?;
    bus.publish_with(&topic, event, PublishOptions::default())
        .await?;
    let delivery = subscription
        .next()
        .await
        .ok_or("the subscription ended")??;
    delivery.ack().await?;
    Ok(())
}

fn start_one(program: &[OsString], kind: &str) -> Result<(u64, Option<f64>)> {
    let (executable, prefix) = program.split_first().ok_or("the program has no name")?;
    let start = now_ns();
    let output = Command::new(executable)
        .args(prefix)
        .args(["--start", kind])
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("the process for {kind} ended with {}", output.status).into());
    }
    let started: Started = serde_json::from_slice(&output.stdout)?;
    Ok((started.now_ns - start, started.rss_mb))
}

fn start_many(program: &[OsString], kind: &str) -> Result<Outcome> {
    let mut times = Vec::new();
    let mut footprints = Vec::new();
    for _ in 0..ROUNDS {
        let (ns, rss_mb) = start_one(program, kind)?;
        times.push(ns);
        footprints.extend(rss_mb);
    }
    times.sort_unstable();
    footprints.sort_by(f64::total_cmp);
    let us = |ns: u64| round(ns as f64 / 1e3, 3);
    Ok(Outcome {
        p50_us: Some(us(times[ROUNDS / 2])),
        p99_us: Some(us(times[ROUNDS - 1])),
        rss_mb: footprints.get(footprints.len() / 2).copied(),
        ..Outcome::new(ROUNDS as u64, seconds(times.iter().sum()))
    })
}

pub(crate) fn measurements(program: &[OsString]) -> Vec<Measurement> {
    KINDS
        .map(|kind| {
            let params = Members::new().with("kind", kind).with("rounds", ROUNDS);
            let program = program.to_vec();
            Measurement::one(Subject::new("W9.startup", params), move |_| {
                start_many(&program, kind)
            })
        })
        .into()
}
