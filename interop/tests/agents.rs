//! Runs of durable agents of ours and of real Mastra processes: each is read, answered and stopped by the other side.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use bowline_agent::model::{
    ChatModel, ChatRequest, FinishReason, ModelPart, ModelStream, PromptMessage, ToolInput, Usage,
};
use bowline_agent::stream::{AgentStream, Observe};
use bowline_agent::tool::ToolError;
use bowline_agent::{
    Agent, AgentHandle, BoxFuture, Chunk, DurableAgent, RunOptions, StreamEvent, StreamItem, tool,
};
use bowline_events::{CachingPubSub, PubSub};
use bowline_interop::roles::have_node;
use bowline_interop::{Bus, PATIENCE, Peer, Redis, eventually};
use bowline_redis::{RedisCache, RedisStreamsPubSub};
use bowline_store::{MemoryStore, Store};
use bowline_unix::UnixSocketPubSub;
use bowline_workflow::Engine;
use futures_util::{StreamExt, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::timeout;

const RUN: &str = "run-1";
/// What the models say before somebody opens the gate.
const BEGIN: &str = "one two three ";
const WHOLE: &str = "one two three four five";

/// Where the processes meet.
enum Ground {
    Unix(Bus),
    /// With a cache on the same server.
    Redis(Box<Redis>),
}

impl Ground {
    fn unix() -> Self {
        Self::Unix(bowline_interop::bus!())
    }

    fn redis() -> Option<Self> {
        Redis::start_server(env!("CARGO_BIN_EXE_bowline-interop-peer"))
            .map(|redis| Self::Redis(redis.into()))
    }

    /// Those that there are here; none without Node.
    fn all() -> Vec<Self> {
        match have_node() {
            true => [Some(Self::unix()), Self::redis()]
                .into_iter()
                .flatten()
                .collect(),
            false => Vec::new(),
        }
    }

    fn node(&self) -> Peer {
        match self {
            Self::Unix(bus) => bus.start_agents(),
            Self::Redis(redis) => redis.start_agents(),
        }
    }

    fn bus(&self) -> Arc<dyn PubSub> {
        match self {
            Self::Unix(bus) => Arc::new(UnixSocketPubSub::new(bus.socket()).unwrap()),
            Self::Redis(redis) => {
                let url = redis.server().url();
                let bus = Arc::new(RedisStreamsPubSub::new(&url).unwrap());
                let cache = Arc::new(RedisCache::new(&url).unwrap());
                Arc::new(CachingPubSub::new(bus, cache))
            }
        }
    }
}

/// Our side: a process with the agents of the Node peer.
struct Ours {
    runtime: Runtime,
    bus: Arc<dyn PubSub>,
    teller: AgentHandle,
    asker: AgentHandle,
    gate: watch::Sender<bool>,
}

impl Ours {
    fn start(ground: &Ground) -> Self {
        let runtime = Runtime::new().unwrap();
        let (gate, opened) = watch::channel(false);
        let start = async {
            let bus = ground.bus();
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
            let own = |agent| DurableAgent::new(agent, Arc::clone(&store), Arc::clone(&bus));
            let [teller, asker] = agents(&opened).map(own);
            let engine = Engine::builder(Arc::clone(&store), Arc::clone(&bus))
                .workflow(teller.workflow().unwrap())
                .workflow(asker.workflow().unwrap());
            let engine = engine.start().await.unwrap();
            (bus, teller.on(&engine).unwrap(), asker.on(&engine).unwrap())
        };
        let (bus, teller, asker) = runtime.block_on(start);
        Self {
            runtime,
            bus,
            teller,
            asker,
            gate,
        }
    }

    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        let limited = async { timeout(PATIENCE, work).await };
        self.runtime
            .block_on(limited)
            .unwrap_or_else(|_| panic!("not within {PATIENCE:?}"))
    }

    fn run(&self, agent: &AgentHandle) -> Reader {
        let options = RunOptions::new().run_id(RUN);
        let run = self.wait(agent.stream_with("hi", options)).unwrap();
        Reader::new(run.into_stream())
    }

    /// Reads a run that this process knows nothing of but its id.
    fn open(&self) -> Reader {
        let stream = AgentStream::open(&self.bus, RUN, Observe::new());
        Reader::new(self.wait(stream).unwrap())
    }

    fn observe(&self, agent: &AgentHandle, from: u64) -> Reader {
        let run = self.wait(async { agent.observe(RUN).from(from).await });
        Reader::new(run.unwrap().into_stream())
    }

    fn release(&self) {
        self.gate.send_replace(true);
    }

    fn read_until(&self, reader: &mut Reader, done: impl Fn(&Reader) -> bool) {
        self.wait(async {
            while !done(reader) {
                let item = reader.stream.next().await;
                reader.items.push(item.expect("the run goes on").unwrap());
            }
        });
    }

    fn read_to_end(&self, reader: &mut Reader) {
        self.wait(async {
            while let Some(item) = reader.stream.next().await {
                reader.items.push(item.unwrap());
            }
        });
    }

    fn close(self) {
        self.wait(self.teller.engine().close());
        self.wait(self.bus.close()).unwrap();
    }
}

/// A reader of ours, and what it has read.
struct Reader {
    stream: AgentStream,
    items: Vec<StreamItem>,
}

impl Reader {
    fn new(stream: AgentStream) -> Self {
        let items = Vec::new();
        Self { stream, items }
    }

    /// The types that a reader in Node sees of the events from `offset` on.
    fn types_from(&self, offset: u64) -> Vec<&str> {
        let items = self.items.iter().filter(|item| item.offset >= offset);
        types(items)
    }

    fn types(&self) -> Vec<&str> {
        types(&self.items)
    }

    fn text(&self) -> String {
        let texts = self.items.iter().map(|item| match &item.event {
            StreamEvent::Chunk {
                chunk: Chunk::TextDelta(delta),
                ..
            } => delta.text.as_str(),
            _ => "",
        });
        texts.collect()
    }

    fn is_suspended(&self) -> bool {
        let mut events = self.items.iter().map(|item| &item.event);
        events.any(|event| matches!(event, StreamEvent::Suspended(_)))
    }

    fn reason(&self) -> Option<FinishReason> {
        match &self.items.last()?.event {
            StreamEvent::Finished(finish) => Some(finish.step_result.reason),
            _ => None,
        }
    }
}

fn types<'a>(items: impl IntoIterator<Item = &'a StreamItem>) -> Vec<&'a str> {
    let shown = items.into_iter().filter_map(|item| match &item.event {
        StreamEvent::Chunk { raw, .. } => Some(raw.kind().as_str()),
        StreamEvent::Finished(_) => Some("finish"),
        StreamEvent::Suspended(_) | StreamEvent::IterationComplete(_) => None,
        other => panic!("{other:?}"),
    });
    shown.collect()
}

/// Waits until a reader in Node has read the text `text`.
fn read_in_node(node: &Peer, label: &str, text: &str) {
    eventually("the text is there in Node", || {
        let seen = node.call("seen", json!({ "as": label }));
        match seen["text"] == text {
            true => Ok(()),
            false => Err(seen.to_string()),
        }
    });
}

fn observe_in_node(node: &Peer, agent: &str, label: &str, offset: Option<u64>) {
    let mut members = json!({ "agent": agent, "runId": RUN, "as": label });
    if let Some(offset) = offset {
        members["offset"] = json!(offset);
    }
    node.call("observe", members);
}

fn start_in_node(node: &Peer, agent: &str) {
    node.call(
        "start",
        json!({ "agent": agent, "runId": RUN, "as": "own" }),
    );
}

/// What a reader in Node has read when its stream has ended.
fn ended_in_node(node: &Peer, label: &str) -> Value {
    let seen = node.call("ended", json!({ "as": label }));
    assert_eq!(seen["state"], "ended", "{seen}");
    seen
}

/// The model of both agents: it tells a text, with the gate in the middle, and asks for the tool first where there is one.
#[derive(Debug, Clone)]
struct Scripted {
    opened: watch::Receiver<bool>,
}

impl ChatModel for Scripted {
    fn provider(&self) -> &str {
        "mock"
    }

    fn model_id(&self) -> &str {
        "mock"
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, bowline_agent::Result<ModelStream>> {
        let told = |message: &PromptMessage| matches!(message, PromptMessage::Tool(_));
        let asks = !request.tools.is_empty() && !request.prompt.iter().any(told);
        let mut opened = self.opened.clone();
        let gate = stream::once(async move {
            let _ = opened.wait_for(|opened| *opened).await;
            delta("four ")
        });
        let parts = match asks {
            true => stream::iter(call()).boxed(),
            false => stream::iter(begin())
                .chain(gate)
                .chain(stream::iter(rest()))
                .boxed(),
        };
        Box::pin(async move { Ok(parts.map(Ok).boxed() as ModelStream) })
    }
}

fn delta(text: &str) -> ModelPart {
    ModelPart::TextDelta {
        id: "t".into(),
        text: text.into(),
        metadata: None,
    }
}

fn finish(reason: FinishReason) -> ModelPart {
    ModelPart::Finish {
        reason,
        usage: Usage::new(3, 5),
        metadata: None,
    }
}

fn begin() -> Vec<ModelPart> {
    let start = ModelPart::TextStart {
        id: "t".into(),
        metadata: None,
    };
    vec![
        ModelPart::ResponseMetadata(Default::default()),
        start,
        delta("one "),
        delta("two "),
        delta("three "),
    ]
}

fn rest() -> Vec<ModelPart> {
    let end = ModelPart::TextEnd {
        id: "t".into(),
        metadata: None,
    };
    vec![delta("five"), end, finish(FinishReason::Stop)]
}

fn call() -> Vec<ModelPart> {
    let call = ToolInput {
        id: "call-1".into(),
        name: "danger".into(),
        ..ToolInput::default()
    };
    let args = json!({ "x": 1 }).into();
    vec![
        ModelPart::ResponseMetadata(Default::default()),
        ModelPart::ToolCall { call, args },
        finish(FinishReason::ToolCalls),
    ]
}

#[derive(Deserialize, JsonSchema)]
struct Number {
    x: i64,
}

#[derive(Serialize)]
struct Done {
    done: i64,
}

fn agents(opened: &watch::Receiver<bool>) -> [Agent; 2] {
    let opened = opened.clone();
    let danger = tool("danger", |args: Number| async move {
        Ok::<_, ToolError>(Done { done: args.x })
    });
    let danger = danger.requires_approval().build().unwrap();
    let agent = |id: &'static str| {
        let model = Scripted {
            opened: opened.clone(),
        };
        Agent::builder(id).instructions("x").model(model)
    };
    [agent("teller"), agent("asker").tool(danger)].map(|agent| agent.build().unwrap())
}

#[test]
fn node_reads_a_run_of_ours_live_over_the_socket() {
    if !have_node() {
        return;
    }
    for node_is_the_broker in [true, false] {
        let ground = Ground::unix();
        let node = ground.node();
        let begin = || observe_in_node(&node, "teller", "whole", None);
        let ours = if node_is_the_broker {
            begin();
            Ours::start(&ground)
        } else {
            let ours = Ours::start(&ground);
            begin();
            ours
        };
        let mut run = ours.run(&ours.teller);
        ours.read_until(&mut run, |run| run.text() == BEGIN);
        read_in_node(&node, "whole", BEGIN);
        observe_in_node(&node, "teller", "rest", None);
        let so_far = run.types().len();
        ours.release();
        ours.read_to_end(&mut run);

        let whole = ended_in_node(&node, "whole");
        assert_eq!(whole["types"], json!(run.types()));
        assert_eq!(whole["text"], WHOLE);
        assert_eq!(whole["reason"], "stop");
        let rest = ended_in_node(&node, "rest");
        assert_eq!(rest["types"], json!(run.types()[so_far..]));
        ours.close();
    }
}

#[test]
fn node_reads_a_run_of_ours_from_any_position_over_redis() {
    let Some(ground) = have_node().then(Ground::redis).flatten() else {
        return;
    };
    let node = ground.node();
    let ours = Ours::start(&ground);
    let mut run = ours.run(&ours.teller);
    ours.read_until(&mut run, |run| run.text() == BEGIN);
    let offsets = [None, Some(0), Some(3), Some(6), Some(9)];
    let label = |offset: Option<u64>, when: &str| format!("{when} {offset:?}");
    for offset in offsets {
        observe_in_node(&node, "teller", &label(offset, "live"), offset);
    }
    ours.release();
    ours.read_to_end(&mut run);
    for offset in offsets {
        observe_in_node(&node, "teller", &label(offset, "late"), offset);
    }
    assert_eq!(run.text(), WHOLE);
    for (offset, when) in offsets.iter().flat_map(|at| [(at, "live"), (at, "late")]) {
        let seen = ended_in_node(&node, &label(*offset, when));
        let expected = run.types_from(offset.unwrap_or(0));
        assert_eq!(seen["types"], json!(expected), "{when} from {offset:?}");
    }
    ours.close();
}

#[test]
fn we_read_a_run_of_node_live_over_the_socket() {
    if !have_node() {
        return;
    }
    for node_is_the_broker in [true, false] {
        let ground = Ground::unix();
        let node = ground.node();
        if node_is_the_broker {
            // Whoever touches the socket first.
            observe_in_node(&node, "teller", "early", None);
        }
        let ours = Ours::start(&ground);
        let mut whole = ours.open();
        start_in_node(&node, "teller");
        ours.read_until(&mut whole, |whole| whole.text() == BEGIN);
        let so_far = whole.types().len();
        let mut rest = ours.open();
        node.call("release", json!({}));
        ours.read_to_end(&mut whole);
        ours.read_to_end(&mut rest);

        let own = ended_in_node(&node, "own");
        assert_eq!(json!(whole.types()), own["types"]);
        assert_eq!(whole.text(), WHOLE);
        assert_eq!(whole.reason(), Some(FinishReason::Stop));
        assert_eq!(rest.types(), whole.types()[so_far..]);
        ours.close();
    }
}

#[test]
fn we_read_a_run_of_node_from_any_position_over_redis() {
    let Some(ground) = have_node().then(Ground::redis).flatten() else {
        return;
    };
    let node = ground.node();
    let ours = Ours::start(&ground);
    start_in_node(&node, "teller");
    read_in_node(&node, "own", BEGIN);
    let offsets = [0, 3, 6, 9];
    let mut live = offsets.map(|offset| ours.observe(&ours.teller, offset));
    node.call("release", json!({}));
    let own = ended_in_node(&node, "own");
    let mut late = offsets.map(|offset| ours.observe(&ours.teller, offset));
    for reader in live.iter_mut().chain(&mut late) {
        ours.read_to_end(reader);
    }
    assert_eq!(json!(live[0].types()), own["types"]);
    assert_eq!(live[0].text(), WHOLE);
    for (at, offset) in offsets.into_iter().enumerate() {
        let expected = live[0].types_from(offset);
        assert_eq!(live[at].types(), expected, "live from {offset}");
        assert_eq!(late[at].types(), expected, "late from {offset}");
    }
    ours.close();
}

#[test]
fn node_stops_a_run_of_ours() {
    for ground in Ground::all() {
        let node = ground.node();
        let ours = Ours::start(&ground);
        observe_in_node(&node, "teller", "whole", None);
        let mut run = ours.run(&ours.teller);
        read_in_node(&node, "whole", BEGIN);
        node.call("abort", json!({ "as": "whole" }));
        ours.read_to_end(&mut run);
        assert_eq!(run.reason(), Some(FinishReason::Abort));
        let whole = ended_in_node(&node, "whole");
        assert_eq!(whole["reason"], "abort");
        assert_eq!(whole["types"], json!(run.types()));
        assert_eq!(whole["text"], BEGIN);
        ours.close();
    }
}

#[test]
fn we_stop_a_run_of_node() {
    for ground in Ground::all() {
        let node = ground.node();
        let ours = Ours::start(&ground);
        let mut run = ours.open();
        start_in_node(&node, "teller");
        ours.read_until(&mut run, |run| run.text() == BEGIN);
        ours.wait(run.stream.request_abort()).unwrap();
        ours.read_to_end(&mut run);
        assert_eq!(run.reason(), Some(FinishReason::Abort));
        let own = ended_in_node(&node, "own");
        assert_eq!(own["reason"], "abort");
        assert_eq!(own["types"], json!(run.types()));
        ours.close();
    }
}

#[test]
fn node_sees_that_a_run_of_ours_waits_and_goes_on() {
    for ground in Ground::all() {
        let node = ground.node();
        let ours = Ours::start(&ground);
        ours.release();
        observe_in_node(&node, "asker", "whole", None);
        let mut run = ours.run(&ours.asker);
        ours.read_until(&mut run, Reader::is_suspended);
        let waiting = json!([{ "toolCallId": "call-1", "toolName": "danger", "type": "approval" }]);
        eventually("Node sees that it waits", || {
            let seen = node.call("seen", json!({ "as": "whole" }));
            match seen["suspended"] == waiting && seen["state"] == "open" {
                true => Ok(()),
                false => Err(seen.to_string()),
            }
        });
        ours.wait(ours.asker.approve(RUN, "call-1")).unwrap();
        ours.read_to_end(&mut run);
        let whole = ended_in_node(&node, "whole");
        assert_eq!(whole["types"], json!(run.types()));
        assert!(run.types().contains(&"tool-result"), "{:?}", run.types());
        assert_eq!(whole["text"], WHOLE);
        assert_eq!(whole["suspended"], waiting);
        ours.close();
    }
}

#[test]
fn we_see_that_a_run_of_node_waits_and_goes_on() {
    for ground in Ground::all() {
        let node = ground.node();
        let ours = Ours::start(&ground);
        let mut run = ours.open();
        node.call("release", json!({}));
        start_in_node(&node, "asker");
        ours.read_until(&mut run, Reader::is_suspended);
        let answer =
            json!({ "agent": "asker", "runId": RUN, "toolCallId": "call-1", "as": "second" });
        node.call("approve", answer);
        ours.read_to_end(&mut run);
        let own = ended_in_node(&node, "own");
        assert_eq!(json!(run.types()), own["types"]);
        assert!(run.types().contains(&"tool-result"), "{:?}", run.types());
        assert_eq!(run.text(), own["text"].as_str().unwrap());
        assert_eq!(run.reason(), Some(FinishReason::Stop));
        ours.close();
    }
}
