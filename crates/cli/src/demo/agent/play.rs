//! The course of the demo.

use std::time::{Duration, Instant};

use bowline_agent::chunk::Chunk;
use bowline_agent::{RunOptions, RunOutput, StreamEvent};
use bowline_events::Topic;
use bowline_runtime::Bowline;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::cast::{AGENT, Cast, QUESTION};
use super::place::Place;
use super::reader::Reader;
use super::report::Report;
use super::worker::Worker;
use crate::demo::narrator::Narrator;
use crate::demo::scratch::Scratch;
use crate::outcome::Failure;

/// The run.
const RUN: &str = "demo";

/// The reader disconnects after this many pieces of the text, and the worker is killed after that many.
const DISCONNECT_AFTER: u64 = 15;
const KILL_AFTER: u64 = 60;

/// What a reader that is attached all along tells on its way. Far more than is told before somebody listens.
const UNHEARD: usize = 4096;

pub(in crate::demo) async fn play(narrator: &Narrator, cast: &Cast) -> Result<Report, Failure> {
    let scratch = Scratch::new()?;
    let place = Place::of(scratch.path());
    narrator.title("One run, three readers, kill -9.\n")?;
    narrator.tell(&format!(
        "a socket and a SQLite file in {}, and an agent with {} and a tool",
        place.folder().display(),
        cast.name()
    ))?;
    // It is the first on the bus, and has no workers: it begins the run and reads.
    let app = place.app()?.workers(false);
    let app = app.agent(cast.agent(&place.log())?).start().await?;
    let stage = Stage {
        narrator,
        cast,
        place,
        app: app.clone(),
    };
    let report = stage.play().await;
    let closed = app.close().await;
    let (report, worker) = report?;
    worker.leave().await;
    closed?;
    Ok(report)
}

struct Stage<'a> {
    narrator: &'a Narrator,
    cast: &'a Cast,
    place: Place,
    app: Bowline,
}

/// A reader that is attached all along: what it sees, and itself in the end.
struct Witness {
    sees: Receiver<StreamEvent>,
    reader: JoinHandle<Result<Reader, Failure>>,
    pieces: u64,
}

impl Stage<'_> {
    async fn play(&self) -> Result<(Report, Worker), Failure> {
        let worker = Worker::start(&self.place, self.cast).await?;
        let pid = worker.pid;
        self.narrator
            .tell(&format!("process {pid} works on the runs of the agent"))?;
        let mut witness = self.attach().await?;
        let mut reader = self.reader("that came back");
        reader.attach(self.app.bus()).await?;
        let options = RunOptions::new().run_id(RUN);
        self.app.agent(AGENT)?.start(QUESTION, options).await?;
        self.narrator.tell(&format!("asked: {QUESTION}"))?;

        self.until(&mut witness, |witness| witness.pieces >= DISCONNECT_AFTER)
            .await?;
        let next = self.disconnect(&mut reader).await?;
        self.narrator
            .tell(&format!("a reader disconnects before event {next}"))?;
        self.until(&mut witness, |witness| witness.pieces >= KILL_AFTER)
            .await?;
        worker.kill().await?;
        let killed = Instant::now();
        self.narrator.alarm(&format!(
            "process {pid} gets SIGKILL, in the middle of a sentence"
        ))?;

        let worker = Worker::start(&self.place, self.cast).await?;
        self.narrator
            .tell(&format!("process {} is started", worker.pid))?;
        reader.attach(self.app.bus()).await?;
        self.narrator
            .tell(&format!("the reader is back and asks for event {next}"))?;
        let (unheard, _) = channel(1);
        let reader = tokio::spawn(follow(reader, unheard));
        let recovery = self.recover(&mut witness, killed).await?;
        self.until(&mut witness, |_| false).await?;
        self.narrator.tell("the run has ended")?;
        let report = self.count(witness, reader, recovery).await?;
        Ok((report, worker))
    }

    fn reader(&self, name: &'static str) -> Reader {
        Reader::new(name, Topic::agent_stream(RUN))
    }

    async fn attach(&self) -> Result<Witness, Failure> {
        let mut reader = self.reader("attached all along");
        reader.attach(self.app.bus()).await?;
        let (tell, sees) = channel(UNHEARD);
        Ok(Witness {
            sees,
            reader: tokio::spawn(follow(reader, tell)),
            pieces: 0,
        })
    }

    /// Reads as far as the witness is, and goes.
    async fn disconnect(&self, reader: &mut Reader) -> Result<u64, Failure> {
        let read = async {
            while reader.pieces < DISCONNECT_AFTER && !reader.has_ended() {
                reader.next().await?;
            }
            Ok(reader.detach())
        };
        let read = timeout(self.cast.patience(), read).await;
        read.map_err(|_| self.in_vain("a reader to read"))?
    }

    /// Listens to the witness until `reached`, or the end of the run.
    async fn until(
        &self,
        witness: &mut Witness,
        reached: impl Fn(&Witness) -> bool,
    ) -> Result<(), Failure> {
        while !reached(witness) {
            let event = timeout(self.cast.patience(), witness.sees.recv()).await;
            let Some(event) = event.map_err(|_| self.in_vain("the run to go on"))? else {
                break;
            };
            self.tell(&event, witness)?;
        }
        Ok(())
    }

    fn in_vain(&self, what: &str) -> Failure {
        let seconds = self.cast.patience().as_secs();
        Failure::failed(format!("waited {seconds} s for {what}, in vain"))
    }

    fn tell(&self, event: &StreamEvent, witness: &mut Witness) -> Result<(), Failure> {
        let StreamEvent::Chunk { chunk, .. } = event else {
            return Ok(());
        };
        match chunk {
            Chunk::StepStart(_) => witness.pieces = 0,
            Chunk::TextDelta(_) => witness.pieces += 1,
            Chunk::ToolCall(call) => {
                let (tool, args) = (&call.call.name, &call.args);
                self.narrator
                    .tell(&format!("the model calls {tool}({args})"))?;
            }
            Chunk::ToolResult(result) => {
                let result = result.result.as_ref().map(ToString::to_string);
                let result = result.unwrap_or_default();
                self.narrator
                    .tell(&format!("the tool returns {result}; that is committed"))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Waits until the other process goes on; how long that took.
    async fn recover(&self, witness: &mut Witness, killed: Instant) -> Result<Duration, Failure> {
        loop {
            let event = timeout(self.cast.patience(), witness.sees.recv()).await;
            let Some(event) = event.map_err(|_| self.in_vain("another process to go on"))? else {
                // It had ended before; the report says so.
                return Ok(killed.elapsed());
            };
            self.tell(&event, witness)?;
            if matches!(event, StreamEvent::StepDiscarded { .. }) {
                let after = killed.elapsed();
                self.narrator.tell(&format!(
                    "it goes on after {} ms: the model is asked again, and readers are told to drop the half sentence",
                    after.as_millis()
                ))?;
                return Ok(after);
            }
        }
    }

    async fn count(
        &self,
        witness: Witness,
        reader: JoinHandle<Result<Reader, Failure>>,
        recovery: Duration,
    ) -> Result<Report, Failure> {
        let mut late = self.reader("that came at the end");
        late.attach(self.app.bus()).await?;
        let (unheard, _) = channel(1);
        let readers = async {
            let witness = joined(witness.reader).await?;
            let reader = joined(reader).await?;
            Ok::<_, Failure>([witness, reader, follow(late, unheard).await?])
        };
        let readers = timeout(self.cast.patience(), readers).await;
        let readers = readers.map_err(|_| self.in_vain("all readers to read to the end"))??;
        let events = readers.iter().map(Reader::end).max().unwrap_or_default();
        let discarded = readers[0].discarded;
        let accounts = readers.map(|reader| reader.account(events, self.cast.speech()));
        let output = accounts[0].1.clone();
        Ok(Report {
            events,
            readers: accounts.into_iter().map(|(account, _)| account).collect(),
            discarded,
            tool_calls: output.tool_calls().count() as u64,
            tool_done: self.place.calls(),
            recovery_ms: recovery.as_secs_f64() * 1000.0,
            error: error_of(&output),
            seconds: self.narrator.seconds(),
        })
    }
}

fn error_of(output: &RunOutput) -> Option<String> {
    let error = output.error.as_ref()?;
    Some(error.message.to_string())
}

/// Reads to the end of the run, and tells what it sees, if somebody listens.
async fn follow(mut reader: Reader, tell: Sender<StreamEvent>) -> Result<Reader, Failure> {
    while !reader.has_ended() {
        for event in reader.next().await? {
            // Nobody listens to most readers.
            let _ = tell.send(event).await;
        }
    }
    Ok(reader)
}

async fn joined(reader: JoinHandle<Result<Reader, Failure>>) -> Result<Reader, Failure> {
    let reader = reader.await;
    reader.map_err(|error| Failure::failed(format!("a reader broke down: {error}")))?
}
