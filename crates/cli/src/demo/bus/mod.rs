//! `bowline demo bus`: four processes on one bus, and the broker is killed in the middle.

mod peer;
mod process;
mod report;
mod stage;
mod tally;
mod wire;

pub(super) use self::peer::run as run_peer;
use self::process::Who;
pub(super) use self::report::Report;
use self::stage::Stage;
use self::tally::{Crash, LateInbox};
use self::wire::{Order, now};
use super::narrator::Narrator;
use super::scratch::Scratch;
use crate::outcome::Failure;

/// Events of the stream, and how many a second.
const EVENTS: u64 = 2_000;
const PER_SECOND: u64 = 500;

/// The broker is killed when this many are published.
const KILL_AFTER: u64 = 700;

/// The late reader joins when this many are published, and asks for everything from this one on.
const LATE_AFTER: u64 = 1_400;
const LATE_FROM: u64 = 500;

pub(super) async fn play(narrator: &Narrator) -> Result<Report, Failure> {
    let scratch = Scratch::new()?;
    narrator.title("One bus, four processes, one crash.\n")?;
    narrator.tell(&format!("a scratch socket: {}", scratch.socket().display()))?;
    let mut stage = Stage::set(scratch, |who, pid| {
        narrator.tell(&format!("{:<12} {}", who.name(), introduce(who, pid)))
    })
    .await?;
    let stream = Order::Stream {
        events: EVENTS,
        per_second: PER_SECOND,
    };
    stage.order(Who::Publisher, stream).await?;
    let crash = kill_the_broker(&mut stage, narrator).await?;
    let brokers_after = recover(&mut stage, narrator, crash).await?;
    join_late(&mut stage, narrator).await?;
    let accounts = finish(&mut stage, narrator, crash).await;
    let report = accounts.map(|(subscribers, late_reader)| Report {
        published: stage.calls.len() as u64,
        refused: stage.refused.len() as u64,
        subscribers,
        late_reader,
        brokers_after,
        seconds: narrator.seconds(),
    });
    stage.clear().await;
    report
}

fn introduce(who: Who, pid: u32) -> String {
    match who {
        Who::Broker => {
            format!("process {pid} is the first on the socket, which makes it the broker")
        }
        Who::First | Who::Second => format!("process {pid} listens"),
        Who::Publisher => {
            format!(
                "process {pid} publishes {EVENTS} events, {PER_SECOND} a second, and keeps their history"
            )
        }
    }
}

async fn kill_the_broker(stage: &mut Stage, narrator: &Narrator) -> Result<Crash, Failure> {
    stage
        .until("the stream to flow", |stage| {
            [
                stage.calls.len() as u64,
                stage.first.len(),
                stage.second.len(),
            ]
            .iter()
            .all(|events| *events >= KILL_AFTER)
        })
        .await?;
    narrator.tell(&format!(
        "{} events are published, A has {}, B has {}",
        stage.calls.len(),
        stage.first.len(),
        stage.second.len()
    ))?;
    let killed = now();
    stage.kill(Who::Broker).await?;
    let crash = Crash {
        killed,
        gone: now(),
    };
    narrator.alarm("the broker gets SIGKILL, in the middle of the stream")?;
    Ok(crash)
}

/// Waits until both subscribers hear events of after the crash; returns how many brokers there are.
async fn recover(stage: &mut Stage, narrator: &Narrator, crash: Crash) -> Result<u64, Failure> {
    stage
        .until("the stream to go on after the crash", |stage| {
            let back = |inbox: &tally::Inbox| inbox.recovery(&stage.calls, crash).is_some();
            back(&stage.first) && back(&stage.second)
        })
        .await?;
    let after = |inbox: &tally::Inbox| {
        inbox.recovery(&stage.calls, crash).unwrap_or_default() as f64 / 1_000_000.0
    };
    let (first, second) = (after(&stage.first), after(&stage.second));
    narrator.tell(&format!(
        "the stream goes on: the first new event reached A after {first:.1} ms, B after {second:.1} ms"
    ))?;
    let brokers = stage.brokers().await?;
    for (who, pid) in &brokers {
        narrator.tell(&format!(
            "{} (process {pid}) was elected as the new broker",
            who.name()
        ))?;
    }
    Ok(brokers.len() as u64)
}

async fn join_late(stage: &mut Stage, narrator: &Narrator) -> Result<(), Failure> {
    stage
        .until("more of the stream", |stage| {
            stage.calls.len() as u64 >= LATE_AFTER
        })
        .await?;
    stage.late = LateInbox::new(LATE_FROM);
    stage
        .order(Who::Publisher, Order::Replay { from: LATE_FROM })
        .await?;
    narrator.tell(&format!(
        "a late reader joins after {} events and asks for everything from event {LATE_FROM} on",
        stage.calls.len()
    ))
}

type Accounts = (Vec<tally::Account>, tally::LateAccount);

async fn finish(stage: &mut Stage, narrator: &Narrator, crash: Crash) -> Result<Accounts, Failure> {
    stage
        .until("the end of the stream", |stage| stage.streamed)
        .await?;
    narrator.tell(&format!("all {} events are published", stage.calls.len()))?;
    if let Some((n, error)) = stage.refused.first() {
        let count = stage.refused.len();
        narrator.alarm(&format!(
            "{count} publishes were refused, the first is event {n}: {error}"
        ))?;
    }
    let last = EVENTS - 1;
    let complete = stage
        .until("the last event to arrive everywhere", |stage| {
            stage.first.has(last) && stage.second.has(last) && stage.late.ends_with(last)
        })
        .await;
    if let Err(failure) = complete {
        // The account tells what is missing.
        narrator.alarm(&failure.to_string())?;
    }
    let account = |who: Who, inbox: &tally::Inbox| inbox.account(who.name(), &stage.calls, crash);
    let subscribers = vec![
        account(Who::First, &stage.first),
        account(Who::Second, &stage.second),
    ];
    Ok((subscribers, stage.late.account(EVENTS)))
}
