//! A process that is stopped in mid-stream for longer than its lease, and wakes up when another one has taken its run.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use bowline_agent::agent::RunOptions;
use bowline_agent::model::{ChatModel, ChatRequest, FinishReason, ModelPart, ModelStream, Usage};
use bowline_agent::{Agent, BoxFuture};
use bowline_events::{PubSubExt, SubscribeOptions, Subscription, Topic};
use bowline_store::{Commit, Expect, Index, Table};
use futures_util::stream::unfold;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::child::{Place, Process, process_with, telling};
use crate::line::Line;

/// Times that a process is stopped.
const ROUNDS: usize = 20;
/// Words before the model waits.
const BEFORE: u32 = 3;
/// How often files are looked for, and a model says something.
const PACE: Duration = Duration::from_millis(2);
/// How long a store is asked that a stopped process may have locked.
const LOCKED: Duration = Duration::from_millis(500);
/// Nothing here takes this long.
const FOREVER: Duration = Duration::from_secs(60);

/// Says its process id, and waits in between until it is let go on.
#[derive(Debug)]
struct Story {
    folder: Arc<Path>,
}

/// A story that is being told.
struct Telling {
    folder: Arc<Path>,
    run: String,
    said: u32,
    over: bool,
}

fn file(folder: &Path, what: &str, run: &str) -> PathBuf {
    folder.join(format!("{what} {run}"))
}

fn own(folder: &Path, what: &str, run: &str, pid: u32) -> PathBuf {
    file(folder, what, &format!("{run} {pid}"))
}

async fn appears(path: &Path) {
    while !path.exists() {
        sleep(PACE).await;
    }
}

impl Telling {
    fn says_that_it(&self, what: &str) {
        let path = own(&self.folder, what, &self.run, std::process::id());
        std::fs::write(path, "").unwrap();
    }

    async fn next(&mut self) -> Option<ModelPart> {
        let (id, metadata) = ("t".into(), None);
        if self.over {
            return None;
        }
        if self.said > BEFORE {
            sleep(PACE).await;
        }
        if self.said == BEFORE {
            self.says_that_it("waits");
            appears(&file(&self.folder, "go", &self.run)).await;
            self.says_that_it("goes on");
        }
        self.over = file(&self.folder, "end", &self.run).exists();
        self.said += 1;
        Some(match (self.over, self.said) {
            (true, _) => ModelPart::Finish {
                reason: FinishReason::Stop,
                usage: Usage::default(),
                metadata,
            },
            (false, said) => ModelPart::TextDelta {
                id,
                text: word(std::process::id(), said),
                metadata,
            },
        })
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.says_that_it("is over");
    }
}

fn word(pid: u32, n: u32) -> String {
    format!("{pid}:{n} ")
}

impl ChatModel for Story {
    fn provider(&self) -> &str {
        "test"
    }

    fn model_id(&self) -> &str {
        "story"
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, bowline_agent::Result<ModelStream>> {
        let prompt = format!("{:?}", request.prompt);
        let (_, rest) = prompt.split_once("Tell of ").unwrap();
        let telling = Telling {
            folder: Arc::clone(&self.folder),
            run: rest.split_once('.').unwrap().0.to_owned(),
            said: 0,
            over: false,
        };
        let parts = unfold(telling, |mut telling| async {
            let part = telling.next().await?;
            Some((Ok(part), telling))
        });
        Box::pin(async { Ok(Box::pin(parts) as ModelStream) })
    }
}

pub(crate) fn agent(folder: &Path) -> Agent {
    let folder = folder.into();
    let agent = Agent::builder("teller").model(Story { folder });
    agent.build().unwrap()
}

/// A process that is killed when it is dropped.
struct Worker(Child);

impl Worker {
    fn start(folder: &Path) -> Self {
        Self(telling(folder).spawn().unwrap())
    }

    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

/// What is heard of a run.
struct Heard {
    events: Subscription,
    all: Vec<(String, Value)>,
}

impl Heard {
    async fn until(&mut self, wanted: impl Fn(&str, &Value) -> bool) {
        loop {
            let event = self.events.next().await.unwrap().unwrap();
            let data = event.data.parse().unwrap();
            let found = wanted(&event.event_type, &data);
            self.all.push((event.event_type.to_string(), data));
            if found {
                return;
            }
        }
    }

    /// What was said behind the event after which somebody else tells the run.
    fn said_later(&self) -> String {
        let is_start = |(_, (kind, _)): &(usize, &(String, Value))| kind == "step-start";
        let mut starts = self.all.iter().enumerate().filter(is_start);
        let (place, _) = starts.nth(1).expect("another process tells it");
        let texts = self.all[place..].iter().map(|(_, data)| text(data));
        texts.collect()
    }
}

fn text(data: &Value) -> &str {
    data["payload"]["text"].as_str().unwrap_or_default()
}

struct Scene {
    asks: Process,
    workers: [Worker; 2],
    folder: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Place::socket(folder.path()).tell(folder.path());
        let line = Arc::new(Line::new(None));
        // It has the socket first, so that nobody loses the broker who does not lose himself.
        let asks = process_with(folder.path(), &line, false, agent(folder.path())).await;
        let topic = Topic::new("is there");
        let hears = asks.bus.subscribe(topic, SubscribeOptions::new()).await;
        drop(hears.unwrap());
        let workers = [(); 2].map(|()| Worker::start(folder.path()));
        Self {
            asks,
            workers,
            folder,
        }
    }

    /// Stops a process while it does nothing to the store.
    async fn stop(&self, worker: &Worker, run: &str) {
        for n in 0.. {
            worker.send(Signal::STOP);
            let index = Index::new(bowline_events::Timestamp::now());
            let key = format!("{run} {n}");
            let probe = Commit::new().put(Table::new("probes"), key, Expect::Absent, index, "");
            if timeout(LOCKED, self.asks.store.commit(probe)).await.is_ok() {
                return;
            }
            worker.send(Signal::CONT);
            sleep(PACE).await;
        }
    }

    /// The process that tells the run, and waits.
    async fn teller(&self, run: &str) -> (&Worker, u32) {
        loop {
            for worker in &self.workers {
                let pid = worker.0.id();
                if own(self.folder.path(), "waits", run, pid).exists() {
                    return (worker, pid);
                }
            }
            sleep(PACE).await;
        }
    }

    /// Whether the process said something when it woke up, or would have.
    async fn round(&self, run: &str) -> bool {
        let folder = self.folder.path();
        let topic = Topic::agent_stream(run);
        let events = self.asks.bus.subscribe(topic, SubscribeOptions::new());
        let events = events.await.unwrap();
        let all = Vec::new();
        let mut heard = Heard { events, all };
        let options = RunOptions::new().run_id(run.to_owned());
        let question = format!("Tell of {run}.");
        self.asks.agent.start(question, options).await.unwrap();
        let (worker, pid) = self.teller(run).await;
        let last = word(pid, BEFORE);
        heard.until(|_, data| text(data) == last).await;

        self.stop(worker, run).await;
        std::fs::write(file(folder, "go", run), "").unwrap();
        heard.until(|kind, _| kind == "step-start").await;
        worker.send(Signal::CONT);
        appears(&own(folder, "is over", run, pid)).await;
        std::fs::write(file(folder, "end", run), "").unwrap();
        heard.until(|kind, _| kind == "finish").await;

        let later = heard.said_later();
        let old = format!("{pid}:");
        assert!(
            !later.contains(&old),
            "{pid} still speaks in {run}: {later}"
        );
        own(folder, "goes on", run, pid).exists()
    }
}

pub(crate) fn is_silent() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let scene = Scene::new().await;
        let mut woke = 0;
        for n in 0..ROUNDS {
            let run = format!("run-{n}");
            let round = timeout(FOREVER, scene.round(&run)).await;
            woke += usize::from(round.unwrap_or_else(|_| panic!("{run} hangs")));
        }
        // Otherwise nothing kept it from speaking but that it had nothing to say.
        assert!(woke >= ROUNDS / 2, "only {woke} went on where they were");
        scene.asks.agent.engine().close().await;
    });
}
