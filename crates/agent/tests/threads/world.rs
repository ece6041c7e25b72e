//! Processes with one store and one bus, and an agent that waits for permission.

use std::fmt;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use bowline_agent::memory::MemoryOptions;
use bowline_agent::model::{ChatRequest, PromptContent, PromptMessage};
use bowline_agent::processor::{Processed, Processor, RunInput};
use bowline_agent::scripted::{Answer, ScriptedModel};
use bowline_agent::threads::{
    Accepted, Ownership, Signal, ThreadEvent, ThreadId, ThreadItem, ThreadStream, Threads,
};
use bowline_agent::tool::{ToolContext, ToolError, tool};
use bowline_agent::{Agent, AgentHandle, BoxFuture, DurableAgent, ErrorKind, RunOptions};
use bowline_events::{CachingPubSub, InProcessPubSub, MemoryCache, PubSub, Text};
use bowline_store::{MemoryStore, Store};
use bowline_workflow::{Engine, RunQuery};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::Semaphore;

pub(crate) const AGENT: &str = "analyst";
pub(crate) const OTHER: &str = "poet";

pub(crate) fn thread() -> &'static ThreadId {
    static THREAD: LazyLock<ThreadId> =
        LazyLock::new(|| ThreadId::new("thread-1").resource("user-1"));
    &THREAD
}

/// Of a run in the thread.
pub(crate) fn in_thread() -> RunOptions {
    RunOptions::new().thread("thread-1").resource("user-1")
}

/// What processes share.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) bus: Arc<dyn PubSub>,
    /// Below the cache.
    pub(crate) host: Arc<dyn PubSub>,
    /// A tool call that works is done with a permit of it.
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) working: Arc<Semaphore>,
    pub(crate) heard: Heard,
    /// How long it is asked who has claimed a thread.
    pub(crate) discovery: Duration,
    /// How long a claimed owner has to take a signal.
    pub(crate) acceptance: Duration,
}

/// What the models were told, run by run: the last and longest request of each.
#[derive(Clone, Default)]
pub(crate) struct Heard {
    runs: Arc<Mutex<Vec<Vec<String>>>>,
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

/// Lets a run begin that is told to begin slowly when there is a permit, and one that is told never to begin never.
#[derive(Debug)]
struct Doorkeeper {
    gate: Arc<Semaphore>,
    working: Arc<Semaphore>,
}

impl Processor for Doorkeeper {
    fn id(&self) -> &str {
        "doorkeeper"
    }

    fn process_input<'a>(&'a self, input: &'a mut RunInput) -> BoxFuture<'a, Processed> {
        Box::pin(async move {
            let said: String = input.messages.iter().map(|it| it.text()).collect();
            if said.contains("slowly") {
                self.working.add_permits(1);
                self.gate.acquire().await.unwrap().forget();
            }
            match said.contains("never") {
                true => Err(std::io::Error::other("it does not begin").into()),
                false => Ok(()),
            }
        })
    }
}

/// A process: an engine with the agents, and their threads.
pub(crate) struct Process {
    pub(crate) threads: Threads,
    pub(crate) agent: AgentHandle,
    pub(crate) engine: Engine,
}

impl World {
    pub(crate) fn new() -> Self {
        let host: Arc<dyn PubSub> = Arc::new(InProcessPubSub::new());
        Self::on(host)
    }

    pub(crate) fn on(host: Arc<dyn PubSub>) -> Self {
        let cache = Arc::new(MemoryCache::new());
        Self {
            store: Arc::new(MemoryStore::new()),
            bus: Arc::new(CachingPubSub::new(Arc::clone(&host), cache)),
            host,
            gate: Arc::new(Semaphore::new(0)),
            working: Arc::new(Semaphore::new(0)),
            heard: Heard::default(),
            discovery: Duration::from_millis(20),
            acceptance: Duration::from_secs(60),
        }
    }

    /// The same, for processes that wait until they are answered.
    pub(crate) fn patient(&self) -> Self {
        Self {
            discovery: Duration::from_secs(60),
            ..self.clone()
        }
    }

    /// An agent that works first, if it is told to work, and then says what it has heard.
    fn agent(&self, id: &'static str, steps: u32, approve: bool) -> Agent {
        let (gate, working) = (Arc::clone(&self.gate), Arc::clone(&self.working));
        let work = tool("work", move |_: ToolContext, _: Nothing| {
            let (gate, working) = (Arc::clone(&gate), Arc::clone(&working));
            async move {
                working.add_permits(1);
                gate.acquire().await.unwrap().forget();
                Ok::<_, ToolError>("done")
            }
        });
        let heard = self.heard.clone();
        let model = ScriptedModel::new(move |request| {
            let told = told(request);
            let works = told.iter().any(|it| it.contains("work"));
            heard.note(&told);
            if works && ScriptedModel::position(request) == 0 {
                return Answer::calls("work", &serde_json::json!({}));
            }
            if told.iter().any(|it| it.contains("fail")) {
                return Answer::fails(ErrorKind::Model, "it is to fail");
            }
            Answer::says(format!("heard {}", told.join("|")))
        });
        let doorkeeper: Arc<dyn Processor> = Arc::new(Doorkeeper {
            gate: Arc::clone(&self.gate),
            working: Arc::clone(&self.working),
        });
        Agent::builder(id)
            .model(model)
            .processors([doorkeeper])
            .tool(work.build().unwrap())
            .max_steps(steps)
            // What a run says is what was said to it, and nothing from before.
            .memory(MemoryOptions {
                last_messages: 0,
                ..MemoryOptions::default()
            })
            .require_approval(approve)
            .build()
            .unwrap()
    }

    pub(crate) async fn process(&self) -> Process {
        self.process_with(5, false).await
    }

    /// A process whose agents ask their models `steps` times at most, and whether calls have to be approved.
    pub(crate) async fn process_with(&self, steps: u32, approve: bool) -> Process {
        let durable = |id| {
            let agent = self.agent(id, steps, approve);
            DurableAgent::new(agent, Arc::clone(&self.store), Arc::clone(&self.bus))
        };
        let (agent, other) = (durable(AGENT), durable(OTHER));
        let engine = Engine::builder(Arc::clone(&self.store), Arc::clone(&self.bus))
            .lease(Duration::from_millis(1500))
            .poll(Duration::from_millis(20))
            .workflow(agent.workflow().unwrap())
            .workflow(other.workflow().unwrap())
            .start()
            .await
            .unwrap();
        let agent = agent.on(&engine).unwrap();
        let threads = Threads::builder(Arc::clone(&self.store), Arc::clone(&self.bus))
            .thread_bus(Arc::clone(&self.host))
            .agent(agent.clone())
            .agent(other.on(&engine).unwrap())
            .lease(Duration::from_millis(600))
            .owner_discovery(self.discovery)
            .owner_acceptance(self.acceptance)
            .start();
        Process {
            threads,
            agent,
            engine,
        }
    }

    /// A handle that was given to no threads.
    pub(crate) async fn by_hand(&self) -> AgentHandle {
        let agent = self.agent(AGENT, 5, false);
        let agent = DurableAgent::new(agent, Arc::clone(&self.store), Arc::clone(&self.bus));
        let engine = Engine::builder(Arc::clone(&self.store), Arc::clone(&self.bus));
        let engine = engine.workflow(agent.workflow().unwrap());
        agent.on(&engine.start().await.unwrap()).unwrap()
    }

    /// Waits until a tool works.
    pub(crate) async fn until_working(&self) {
        self.working.acquire().await.unwrap().forget();
    }
}

impl Process {
    pub(crate) async fn send(&self, signal: impl Into<Signal>) -> Accepted {
        let options = Default::default();
        let sent = self.threads.send_signal(AGENT, thread(), signal, options);
        sent.await.unwrap()
    }

    pub(crate) async fn queue(&self, signal: impl Into<Signal>) -> Accepted {
        let options = RunOptions::new();
        let queued = self.threads.queue_message(AGENT, thread(), signal, options);
        queued.await.unwrap()
    }

    /// What all runs say that they have heard, as it is in the store, whatever a reader could be told of them.
    pub(crate) async fn heard(&self) -> String {
        let mut heard = String::new();
        let runs = self.agent.runs(RunQuery::new()).await.unwrap().runs;
        for run in runs {
            let result = run.result.map(|it| it.to_string());
            heard.push_str(&result.unwrap_or_default());
        }
        heard
    }

    pub(crate) async fn claim(&self) -> Ownership {
        let claim = self
            .threads
            .claim_ownership(AGENT, thread(), RunOptions::new());
        claim.await.unwrap()
    }

    /// Begins a run in the thread by the handle of the agent.
    pub(crate) async fn start(&self, text: &str) -> bowline_agent::Result<Text> {
        self.agent.start(text, in_thread()).await
    }

    pub(crate) async fn active(&self) -> Option<Text> {
        self.threads.active_run(thread()).await.unwrap()
    }

    pub(crate) async fn read(&self) -> Reader {
        Reader(self.threads.subscribe(thread()).await.unwrap())
    }
}

/// Reads a thread.
pub(crate) struct Reader(pub(crate) ThreadStream);

impl Reader {
    pub(crate) async fn next(&mut self) -> ThreadItem {
        let item = tokio::time::timeout(Duration::from_secs(60), self.0.next());
        item.await
            .expect("nothing happens in the thread")
            .expect("the stream of a thread does not end")
            .unwrap()
    }

    /// The next run, as it is told, up to its end: its id, the types of its pieces with the words of its answer, and how it ended.
    pub(crate) async fn run(&mut self) -> (String, Vec<String>, ThreadEvent) {
        let mut told = Vec::new();
        let mut text = String::new();
        loop {
            let item = self.next().await;
            match item.event {
                ThreadEvent::Began => {}
                ThreadEvent::Part(part) => {
                    if let bowline_agent::Chunk::TextDelta(delta) = bowline_agent::Chunk::of(&part)
                    {
                        text.push_str(&delta.text);
                        continue;
                    }
                    if !text.is_empty() {
                        told.push(std::mem::take(&mut text));
                    }
                    told.push(part.kind().to_string());
                }
                ThreadEvent::Suspended => told.push("suspended".into()),
                event => return (item.run_id.to_string(), told, event),
            }
        }
    }

    /// The next run; what it said last, and how it ended.
    pub(crate) async fn said(&mut self) -> (String, ThreadEvent) {
        let (_, told, end) = self.run().await;
        let said = told.iter().rfind(|it| it.starts_with("heard "));
        (said.cloned().unwrap_or_default(), end)
    }
}

/// Asserts that each of `texts`, which were said before, is heard by one run, when everything is done; `when` says in which case.
pub(crate) async fn heard_once(
    process: &Process,
    reader: &mut Reader,
    texts: &[String],
    when: impl fmt::Display,
) {
    process.queue("last").await;
    let mut shown = String::new();
    while !shown.contains("last") {
        let (said, end) = reader.said().await;
        shown.push_str(&format!("[{said} {end:?}]"));
    }
    let heard = process.heard().await;
    for text in texts {
        let times = heard.matches(text.as_str()).count();
        assert_eq!(times, 1, "{text} {when}: {heard} {shown}");
    }
}

fn told(request: &ChatRequest) -> Vec<String> {
    let mut told = Vec::new();
    for message in &request.prompt {
        if let PromptMessage::User(contents) = message {
            for content in contents {
                if let PromptContent::Text { text, .. } = content {
                    told.push(text.clone());
                }
            }
        }
    }
    told
}

impl Heard {
    fn note(&self, told: &[String]) {
        let mut runs = self.runs.lock().unwrap();
        match runs.iter_mut().find(|it| told.starts_with(it)) {
            Some(run) => *run = told.to_vec(),
            None => runs.push(told.to_vec()),
        }
    }

    /// What was said to all runs.
    pub(crate) fn all(&self) -> Vec<String> {
        self.runs.lock().unwrap().concat()
    }
}

/// Ends what was taken for a run id.
pub(crate) fn run_of(accepted: &Accepted) -> &str {
    match accepted {
        Accepted::Wake { run_id } | Accepted::Deliver { run_id } | Accepted::Blocked { run_id } => {
            run_id
        }
        other => panic!("no run: {other:?}"),
    }
}
