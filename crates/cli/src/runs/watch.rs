//! `bowline runs watch`.

use std::time::Duration;

use bowline_events::{PubSubExt, StartFrom, SubscribeOptions, Subscription, Topic};
use bowline_workflow::{RunEvent, RunHistory, RunStatus};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::args::WatchArgs;
use super::event::Printer;
use super::info::{self, took, waits_for};
use super::merge::{Merge, Told};
use crate::bus::note;
use crate::outcome::{Failure, Outcome};
use crate::output::{Output, Written};
use crate::signals::Signals;
use crate::store::{Need, Workplace};

/// How often the journal is looked at, without and with a bus that tells when to look.
const LOOK: Duration = Duration::from_millis(500);
const LOOK_BESIDE_BUS: Duration = Duration::from_secs(2);

/// How often while journal and bus do not agree: what one of them tells, the other does a moment later.
const LOOK_SOON: Duration = Duration::from_millis(20);

/// How long that may last: then what the journal has is all there is.
const AGREE_WITHIN: Duration = Duration::from_millis(500);

/// How long the bus has to answer.
const BUS_WITHIN: Duration = Duration::from_secs(5);

/// Why watching ended.
enum End {
    Ended(RunStatus),
    /// A signal, or nobody reads.
    Stopped,
    TimedOut,
}

pub(crate) async fn run(args: WatchArgs) -> Result<Outcome, Failure> {
    let place = Workplace::open(&args.store, Need::Bus).await?;
    let run = place.engine.run(&args.run).await?;
    let bus = match place.is_shared {
        true => listen(&place, &args.run).await,
        false => None,
    };
    let output = Output::stdout()?;
    let mut signals = Signals::listen()?;
    let limit = args
        .timeout
        .and_then(|limit| Instant::now().checked_add(limit.0));
    let mut watch = Watch {
        history: run.history().await?,
        printer: Printer::new(&args, &output),
        bus,
        merge: Merge::new(),
        said: None,
    };
    let end = tokio::select! {
        end = watch.follow() => end,
        () = signals.end() => Ok(End::Stopped),
        () = output.closed() => Ok(End::Stopped),
        () = passed(limit) => Ok(End::TimedOut),
    };
    drop(watch);
    let closed = place.close().await;
    match end? {
        End::Ended(status) => closed.map(|()| info::outcome(status)),
        End::Stopped => Ok(Outcome::Done),
        End::TimedOut => Ok(Outcome::TimedOut),
    }
}

async fn passed(limit: Option<Instant>) {
    match limit {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// The events of the run on the bus from now on; what came before is in the journal. A bus that is away is done without.
async fn listen(place: &Workplace, run: &str) -> Option<Subscription> {
    let options = SubscribeOptions::new().start(StartFrom::Latest).skippable();
    let events = place.bus().subscribe(Topic::workflow_events(run), options);
    match timeout(BUS_WITHIN, events).await {
        Ok(Ok(events)) => return Some(events),
        Ok(Err(error)) => note(error),
        Err(_) => note(format_args!(
            "the bus did not answer within {} s",
            BUS_WITHIN.as_secs()
        )),
    }
    note("the events come from the journal alone, without what steps write");
    None
}

struct Watch<'a> {
    history: RunHistory,
    printer: Printer<'a>,
    bus: Option<Subscription>,
    merge: Merge<RunEvent>,
    /// The status that was told last.
    said: Option<RunStatus>,
}

impl Watch<'_> {
    /// Prints until the run has ended.
    async fn follow(&mut self) -> Result<End, Failure> {
        // What happened before the bus was listened to, it does not tell.
        let mut agree_by = Instant::now();
        loop {
            let events = self.history.take_events().into_iter();
            self.merge
                .happened(events.map(|event| (event.event.data.clone(), event)));
            let items = match self.bus.is_some() && Instant::now() < agree_by {
                true => self.merge.agreed(),
                false => self.merge.all(),
            };
            if self.printer.print(&items).await? == Written::Closed {
                return Ok(End::Stopped);
            }
            if let Some(end) = self.ended()? {
                return Ok(end);
            }
            let pause = match (&self.bus, self.merge.waits()) {
                (Some(_), true) => LOOK_SOON,
                (Some(_), false) => LOOK_BESIDE_BUS,
                (None, _) => LOOK,
            };
            if !items.is_empty() || !self.merge.waits() {
                // What comes next has this long to come from both sides.
                agree_by = Instant::now() + pause + AGREE_WITHIN;
            }
            tokio::select! {
                told = next(&mut self.bus) => self.merge.told(told),
                () = sleep(pause) => {}
            }
            match self.history.refresh().await {
                Err(error) if error.is_retryable() => note(error),
                refreshed => refreshed?,
            }
        }
    }

    /// How it ends, if all of it was printed.
    fn ended(&mut self) -> Result<Option<End>, Failure> {
        if let Some(problem) = self.history.problem() {
            return Err(Failure::failed(problem.to_string()));
        }
        if self.merge.waits() {
            return Ok(None);
        }
        let status = self.history.status();
        self.say(status);
        Ok(status.is_final().then_some(End::Ended(status)))
    }

    /// Tells what no event tells: that the run waits for somebody, or how it ended.
    fn say(&mut self, status: RunStatus) {
        let run = self.history.info();
        if self.said.replace(status) == Some(status) {
            return;
        }
        let now = bowline_events::Timestamp::now();
        match status {
            RunStatus::Suspended | RunStatus::Paused => {
                note(format_args!(
                    "the run is {status} and waits for {}",
                    waits_for(run, now)
                ));
            }
            _ if status.is_final() => {
                note(format_args!(
                    "the run ended after {}: {status}",
                    took(run, now)
                ));
            }
            _ => {}
        }
    }
}

/// The next that the bus tells; waits for ever where there is none.
async fn next(bus: &mut Option<Subscription>) -> Told {
    while let Some(events) = bus {
        match events.next().await {
            Some(Ok(event)) => {
                if let Some(told) = Told::read(&event) {
                    return told;
                }
            }
            // Something was missed, or the bus is away for a while; the journal has what matters.
            Some(Err(error)) => note(error),
            None => *bus = None,
        }
    }
    std::future::pending().await
}
