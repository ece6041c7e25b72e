//! `bowline runs watch`.

use std::time::Duration;

use bowline_events::{PubSubExt, StartFrom, SubscribeOptions, Subscription, Topic};
use bowline_workflow::{Data, RunEvent, RunHistory, RunStatus};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, sleep_until};

use super::args::WatchArgs;
use super::info::{self, took, waits_for};
use super::merge::{ENGINE, Item, Merge, Told};
use super::shorten;
use crate::bus::note;
use crate::colour::{Colour, Painter, visible};
use crate::json;
use crate::outcome::{Failure, Outcome};
use crate::output::{Output, Written};
use crate::signals::Signals;
use crate::store::{Need, Workplace};
use crate::time::iso;

/// How often the journal is looked at, without and with a bus that tells when to look.
const LOOK: Duration = Duration::from_millis(500);
const LOOK_BESIDE_BUS: Duration = Duration::from_secs(2);

/// How often while journal and bus do not agree: what one of them tells, the other does a moment later.
const LOOK_SOON: Duration = Duration::from_millis(20);

/// How long that may last: then what the journal has is all there is.
const AGREE_WITHIN: Duration = Duration::from_millis(500);

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
        true => listen(&place, &args.run).await?,
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

/// The events of the run on the bus from now on. What came before is in the journal.
async fn listen(place: &Workplace, run: &str) -> Result<Option<Subscription>, Failure> {
    let options = SubscribeOptions::new().start(StartFrom::Latest).skippable();
    let events = place
        .bus()
        .subscribe(Topic::workflow_events(run), options)
        .await?;
    Ok(Some(events))
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
            self.history.refresh().await?;
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

/// An event in JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    run_id: &'a str,
    event: &'a Data,
}

struct Printer<'a> {
    args: &'a WatchArgs,
    output: &'a Output,
    painter: Painter,
    buffer: Vec<u8>,
}

impl<'a> Printer<'a> {
    fn new(args: &'a WatchArgs, output: &'a Output) -> Self {
        Self {
            args,
            output,
            painter: Painter::for_stream(&std::io::stdout()),
            buffer: Vec::new(),
        }
    }

    async fn print(&mut self, items: &[Item<RunEvent>]) -> Result<Written, Failure> {
        for item in items {
            match item {
                Item::Event(event) => self.put_event(event)?,
                Item::Chunk(chunk) => {
                    let line = Line {
                        at: iso(chunk.at),
                        index: None,
                        run_id: &self.args.run,
                        event: &chunk.data,
                    };
                    self.put(&line, &chunk.kind, chunk.step.as_deref())?;
                }
            }
        }
        self.output.write(&mut self.buffer).await
    }

    fn put_event(&mut self, event: &RunEvent) -> Result<(), Failure> {
        let index = event.event.index;
        if index.is_some_and(|index| index < self.args.from) {
            return Ok(());
        }
        let line = Line {
            at: iso(event.at),
            index,
            run_id: &event.run_id,
            event: &event.event.data,
        };
        self.put(&line, &event.event.kind, event.event.step.as_deref())
    }

    fn put(&mut self, line: &Line<'_>, kind: &str, step: Option<&str>) -> Result<(), Failure> {
        if self.args.store.json {
            return json::line(line, &mut self.buffer);
        }
        let painter = self.painter;
        let mut text = painter.paint(Colour::Dim, &line.at);
        if let Some(index) = line.index {
            text.push(' ');
            painter.put(&mut text, Colour::Dim, &format!("#{index}"));
        }
        if line.run_id != self.args.run {
            text.push(' ');
            painter.put(&mut text, Colour::Dim, line.run_id);
        }
        text.push(' ');
        painter.put(&mut text, Colour::Cyan, kind);
        if let Some(step) = step {
            text.push(' ');
            painter.put(&mut text, Colour::Green, step);
        }
        let told = told(line.event, kind);
        if !told.is_empty() {
            text.push(' ');
            visible(&mut text, &shorten(&told, self.args.full));
        }
        text.push('\n');
        self.buffer.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// What is worth telling of an event beside its type and its step: how it ended, with what. All of it for an event of a step.
fn told(event: &Data, kind: &str) -> String {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Payload {
        status: Option<String>,
        workflow_status: Option<String>,
        iteration_status: Option<String>,
        completed_count: Option<u64>,
        total_count: Option<u64>,
        output: Option<Data>,
        error: Option<Data>,
        suspend_payload: Option<Data>,
        final_workflow_result: Option<Data>,
    }
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        payload: Payload,
    }
    if !kind.starts_with(ENGINE) {
        return event.to_string();
    }
    let Ok(Body { payload }) = event.parse::<Body>() else {
        return event.to_string();
    };
    let count = payload.completed_count.zip(payload.total_count);
    let words = [
        count.map(|(done, all)| format!("{done} of {all}")),
        payload.iteration_status,
        // That it runs is what its start says.
        payload.status.filter(|status| status != "running"),
        payload.workflow_status,
        payload.error.as_ref().map(super::tree::message),
        payload.suspend_payload.as_ref().map(suspended_with),
        payload
            .output
            .or(payload.final_workflow_result)
            .map(|data| data.to_string()),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    words.join(" ")
}

/// What a step suspended with, without what the engine added for those who resume it.
fn suspended_with(payload: &Data) -> String {
    const META: &str = "__workflow_meta";
    // What is no object was made the one member of one.
    const BARE: &str = "value";
    let Ok(mut members) = payload.parse::<serde_json::Map<String, serde_json::Value>>() else {
        return payload.to_string();
    };
    members.remove(META);
    match (members.len(), members.remove(BARE)) {
        (1, Some(value)) => value.to_string(),
        (_, value) => {
            members.extend(value.map(|value| (BARE.to_owned(), value)));
            serde_json::Value::Object(members).to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspend_payload_is_told_without_its_meta() {
        for (payload, told) in [
            (r#"{"n":1,"__workflow_meta":{}}"#, r#"{"n":1}"#),
            (r#"{"value":"a?","__workflow_meta":{}}"#, r#""a?""#),
            (r#"{"value":1,"z":2}"#, r#"{"value":1,"z":2}"#),
            (r#"{"__workflow_meta":{}}"#, "{}"),
            ("[1]", "[1]"),
        ] {
            assert_eq!(suspended_with(&Data::from_json(payload).unwrap()), told);
        }
    }

    #[test]
    fn an_event_is_told_in_a_few_words() {
        for (event, words) in [
            (r#"{"type":"workflow-start","payload":{"runId":"r"}}"#, ""),
            (r#"{"type":"workflow-paused","payload":{}}"#, ""),
            (
                r#"{"type":"workflow-step-result","payload":{"id":"s","status":"success","output":[1]}}"#,
                "success [1]",
            ),
            (
                r#"{"type":"workflow-step-progress","payload":{"id":"s","completedCount":1,"totalCount":2,"iterationStatus":"failed"}}"#,
                "1 of 2 failed",
            ),
            (
                r#"{"type":"workflow-step-output","payload":{"output":"hi"}}"#,
                r#""hi""#,
            ),
            (
                r#"{"type":"data-progress","data":1}"#,
                r#"{"type":"data-progress","data":1}"#,
            ),
            (
                r#"{"type":"workflow-finish","payload":7}"#,
                r#"{"type":"workflow-finish","payload":7}"#,
            ),
        ] {
            let data = Data::from_json(event).unwrap();
            let head: serde_json::Value = data.parse().unwrap();
            assert_eq!(
                told(&data, head["type"].as_str().unwrap()),
                words,
                "{event}"
            );
        }
    }
}
