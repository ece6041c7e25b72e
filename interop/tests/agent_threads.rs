//! Threads that agents of ours and of a real Mastra process share.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bowline_agent::memory::MemoryOptions;
use bowline_agent::model::{ChatRequest, PromptContent, PromptMessage};
use bowline_agent::scripted::{Answer, ScriptedModel};
use bowline_agent::threads::{
    Accepted, Ownership, PeerDetails, SendOptions, Signal, ThreadEvent, ThreadId, ThreadPeer,
    ThreadStream, Threads,
};
use bowline_agent::tool::{ToolContext, ToolError, tool};
use bowline_agent::{Agent, Chunk, DurableAgent, ErrorKind, RunOptions};
use bowline_events::{CachingPubSub, MemoryCache, PubSub};
use bowline_interop::{PATIENCE, roles::have_node};
use bowline_redis::RedisStreamsPubSub;
use bowline_store::{MemoryStore, Store, Table};
use bowline_testkit::{RedisServer, Reply, skips_redis};
use bowline_unix::UnixSocketPubSub;
use bowline_workflow::Engine;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Semaphore;

const AGENT: &str = "analyst";

/// A Node process with an agent; killed when dropped.
struct Node {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Node {
    async fn start(options: Value) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("thread-peer.mjs");
        let mut child = Command::new("node")
            .arg(script)
            .arg(options.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut node = Self {
            _child: child,
            input,
            output,
        };
        assert_eq!(node.line().await["ready"], true);
        node
    }

    async fn line(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.output.next_line());
        let line = line.await.expect("the Node process does not answer");
        serde_json::from_str(&line.unwrap().expect("the Node process has ended")).unwrap()
    }

    /// The reply to a command that succeeds.
    async fn call(&mut self, command: &str, members: Value) -> Value {
        let reply = self.ask(command, members).await;
        assert_eq!(reply["ok"], true, "{command}: {reply}");
        reply
    }

    /// Says the same until the reply is `enough`: the processes wait a short time only for each other.
    async fn until(
        &mut self,
        command: &str,
        members: Value,
        enough: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut last = Value::Null;
        let asking = async {
            loop {
                last = self.ask(command, members.clone()).await;
                if enough(&last) {
                    return;
                }
            }
        };
        let asked = tokio::time::timeout(PATIENCE, asking).await;
        assert!(asked.is_ok(), "{command}: {last}");
        last
    }

    async fn ask(&mut self, command: &str, mut members: Value) -> Value {
        members["id"] = json!(1);
        members["cmd"] = json!(command);
        members["thread"] = json!("thread-1");
        members["resource"] = json!("user-1");
        let line = format!("{members}\n");
        self.input.write_all(line.as_bytes()).await.unwrap();
        self.line().await
    }

    /// What its subscriber has seen, once that is `enough`.
    async fn seen(&mut self, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let looking = async {
            loop {
                let seen = self.call("seen", json!({})).await;
                let parts = seen["parts"].as_array().unwrap().clone();
                if enough(&parts) {
                    return parts;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let seen = tokio::time::timeout(PATIENCE, looking).await;
        seen.expect("the Node process has not seen it")
    }
}

/// Our side: an agent on the same bus, which works with a tool as long as it is not allowed to go on.
struct Ours {
    threads: Threads,
    store: Arc<dyn Store>,
    _engine: Engine,
    working: Arc<Semaphore>,
    gate: Arc<Semaphore>,
}

fn told(request: &ChatRequest) -> Vec<String> {
    let users = request.prompt.iter().filter_map(|it| match it {
        PromptMessage::User(contents) => Some(contents),
        _ => None,
    });
    let texts = users.flatten().filter_map(|it| match it {
        PromptContent::Text { text, .. } => Some(text.clone()),
        _ => None,
    });
    texts.collect()
}

impl Ours {
    async fn start(host: Arc<dyn PubSub>) -> Self {
        Self::on(host, Arc::new(MemoryStore::new())).await
    }

    async fn on(host: Arc<dyn PubSub>, store: Arc<dyn Store>) -> Self {
        let (working, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (works, goes) = (Arc::clone(&working), Arc::clone(&gate));
        let work = tool("work", move |_: ToolContext, _: Value| {
            let (works, goes) = (Arc::clone(&works), Arc::clone(&goes));
            async move {
                works.add_permits(1);
                goes.acquire().await.unwrap().forget();
                Ok::<_, ToolError>("done")
            }
        });
        let model = ScriptedModel::new(|request| {
            let told = told(request);
            match told.iter().any(|it| it == "work") && ScriptedModel::position(request) == 0 {
                true => Answer::calls("work", &json!({})),
                false => Answer::says(format!("heard {}", told.join("|"))),
            }
        });
        let agent = Agent::builder(AGENT)
            .model(model)
            .tool(work.build().unwrap())
            .memory(MemoryOptions {
                last_messages: 0,
                ..MemoryOptions::default()
            })
            .build()
            .unwrap();
        let cache = Arc::new(MemoryCache::new());
        let bus: Arc<dyn PubSub> = Arc::new(CachingPubSub::new(Arc::clone(&host), cache));
        let agent = DurableAgent::new(agent, Arc::clone(&store), Arc::clone(&bus));
        let engine = Engine::builder(Arc::clone(&store), Arc::clone(&bus))
            .workflow(agent.workflow().unwrap())
            .start()
            .await
            .unwrap();
        let threads = Threads::builder(Arc::clone(&store), bus)
            .thread_bus(host)
            .agent(agent.on(&engine).unwrap())
            .start();
        Self {
            threads,
            store,
            _engine: engine,
            working,
            gate,
        }
    }

    /// Gives a signal to the owner of the thread, as soon as that is found.
    async fn to_owner(&self, text: &str) -> Accepted {
        let signal = Signal::user(text);
        until(async || {
            let options = SendOptions::new().require_claimed_owner();
            let sent = self
                .threads
                .send_signal(AGENT, thread(), signal.clone(), options);
            match sent.await {
                Ok(accepted) => Some(accepted),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => panic!("{error}"),
            }
        })
        .await
    }

    async fn claim(&self) -> bowline_agent::Result<Ownership> {
        let options = RunOptions::new();
        self.threads.claim_ownership(AGENT, thread(), options).await
    }

    /// The peers that are found, once they are `enough`.
    async fn peers(&self, enough: impl Fn(&[ThreadPeer]) -> bool) -> Vec<ThreadPeer> {
        until(async || {
            let peers = self.threads.discover_peers(Duration::from_millis(100));
            Some(peers.await.unwrap()).filter(|it| enough(it))
        })
        .await
    }

    async fn send(&self, text: &str) -> Accepted {
        let sent = self.threads.send_message(AGENT, thread(), text).await;
        sent.unwrap()
    }
}

fn thread() -> &'static ThreadId {
    static THREAD: std::sync::LazyLock<ThreadId> =
        std::sync::LazyLock::new(|| ThreadId::new("thread-1").resource("user-1"));
    &THREAD
}

/// What the next run says, and how it ends.
async fn said(stream: &mut ThreadStream) -> (String, ThreadEvent) {
    let mut text = String::new();
    loop {
        let item = tokio::time::timeout(PATIENCE, stream.next());
        let item = item.await.expect("nothing happens in the thread");
        match item.unwrap().unwrap().event {
            ThreadEvent::Part(part) => {
                if let Chunk::TextDelta(delta) = Chunk::of(&part) {
                    text.push_str(&delta.text);
                }
            }
            event if event.is_end() => return (text, event),
            _ => {}
        }
    }
}

/// What `look` finds in the end: the processes wait a short time only for each other.
async fn until<T>(look: impl AsyncFn() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
        }
    };
    let found = tokio::time::timeout(PATIENCE, looking).await;
    found.expect("it does not happen")
}

fn types(parts: &[Value]) -> Vec<&str> {
    let types = parts.iter().map(|part| part["type"].as_str().unwrap());
    // How the answer is cut into pieces is the business of the model.
    let mut types: Vec<&str> = types.collect();
    types.dedup();
    types
}

fn text(parts: &[Value]) -> String {
    let texts = parts.iter().filter(|part| part["type"] == "text-delta");
    let texts = texts.map(|part| part["payload"]["text"].as_str().unwrap());
    texts.collect()
}

fn finished(times: usize) -> impl Fn(&[Value]) -> bool {
    move |parts| parts.iter().filter(|part| part["type"] == "finish").count() == times
}

/// Each side sees the runs of the other, and a signal from Node reaches our run.
async fn share(node: &mut Node, ours: &Ours, node_leases: bool) {
    node.call("subscribe", json!({})).await;
    let mut stream = ours.threads.subscribe(thread()).await.unwrap();

    assert!(matches!(ours.send("hello").await, Accepted::Wake { .. }));
    let done = ("heard hello".to_owned(), ThreadEvent::Completed);
    assert_eq!(said(&mut stream).await, done);
    let parts = node.seen(finished(1)).await;
    assert_eq!(text(&parts), "heard hello");
    let wanted = [
        "start",
        "data-user-message",
        "step-start",
        "response-metadata",
        "text-start",
        "text-delta",
        "text-end",
        "step-finish",
        "finish",
    ];
    assert_eq!(types(&parts), wanted);

    node.call("stream", json!({ "text": "hi", "runId": "theirs" }))
        .await;
    let done = ("heard hi".to_owned(), ThreadEvent::Completed);
    assert_eq!(said(&mut stream).await, done);
    node.seen(finished(2)).await;

    if !node_leases {
        // It takes every thread for one in which nobody is at work.
        return;
    }
    let woken = ours.send("work").await;
    let Accepted::Wake { run_id } = &woken else {
        panic!("{woken:?}");
    };
    ours.working.acquire().await.unwrap().forget();
    let is_active = |seen: &Value| seen["active"] == run_id.as_str();
    while !is_active(&node.call("seen", json!({})).await) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let signal = json!({ "text": "from Node", "signal": "signal-1" });
    let given = node.call("send", signal).await;
    let to_ours = (&json!("deliver"), &json!(run_id.as_str()));
    assert_eq!((&given["action"], &given["given"]), to_ours);
    // It is in the mailbox of the run when that has a second letter.
    let mail = Table::new("agent_mail").log(run_id.clone());
    while ours
        .store
        .read_log(&mail, 0, 10)
        .await
        .unwrap()
        .entries
        .len()
        < 2
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ours.gate.add_permits(1);
    let done = ("heard work|from Node".to_owned(), ThreadEvent::Completed);
    assert_eq!(said(&mut stream).await, done);
    node.seen(finished(3)).await;
}

/// Both sides on a socket, in a folder that goes in the end.
async fn on_unix() -> (TempDir, Ours, Node) {
    let folder = tempfile::Builder::new().prefix("bl-").tempdir().unwrap();
    let path = folder.path().join("bus.sock");
    let ours = Ours::start(Arc::new(UnixSocketPubSub::new(&path).unwrap())).await;
    let node = Node::start(json!({ "address": path, "bus": "unix" })).await;
    (folder, ours, node)
}

/// Both sides on a server.
async fn on_redis() -> (RedisServer, Ours, Node) {
    let server = RedisServer::start().await.unwrap();
    let ours = Ours::start(Arc::new(RedisStreamsPubSub::new(server.url()).unwrap())).await;
    let options = json!({ "address": server.url(), "bus": "redis", "blockMs": 100 });
    let node = Node::start(options).await;
    (server, ours, node)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_is_shared_over_the_unix_socket() {
    if !have_node() {
        return;
    }
    let (_folder, ours, mut node) = on_unix().await;
    share(&mut node, &ours, false).await;
}

/// Each side finds the owner and the peers of the other.
async fn find_each_other(node: &mut Node, ours: &Ours) {
    let mut stream = ours.threads.subscribe(thread()).await.unwrap();
    let desk = json!({ "peer": { "label": "desk", "metadata": { "port": 7 } } });
    let claimed = node.call("claim", desk.clone()).await;
    assert_eq!(claimed["claimed"], true);
    let peers = ours.peers(|it| it.len() == 1).await;
    assert_eq!(peers[0].id, "analyst:user-1:thread-1");
    assert_eq!(peers[0].label.as_deref(), Some("desk"));
    assert_eq!(
        peers[0].metadata.as_ref().unwrap().as_str(),
        r#"{"port":7}"#
    );
    let given = ours.to_owner("from Rust").await;
    assert!(matches!(given, Accepted::Deliver { .. }), "{given:?}");
    let done = ("heard from Rust".to_owned(), ThreadEvent::Completed);
    assert_eq!(said(&mut stream).await, done);
    let refused = async || ours.claim().await.err();
    assert_eq!(until(refused).await.kind(), ErrorKind::Conflict);

    node.call("unclaim", json!({})).await;
    let claim = until(async || ours.claim().await.ok()).await;
    // It takes the thread if it does not hear of us in time.
    while node.call("claim", desk.clone()).await["claimed"] == true {
        node.call("unclaim", json!({})).await;
    }
    let signal = json!({ "text": "from Node", "signal": "signal-1", "owned": true });
    let given = node.until("send", signal, |it| it["ok"] == true).await;
    assert_eq!(given["action"], "deliver");
    let done = ("heard from Node".to_owned(), ThreadEvent::Completed);
    assert_eq!(said(&mut stream).await, done);
    drop(claim);

    let details = PeerDetails::new().label("harbour");
    let peer = ours.threads.advertise(AGENT, thread(), details.clone());
    let peer = peer.await.unwrap();
    let labelled = |it: &Value| it["peers"][0]["label"] == "harbour";
    let found = node.until("peers", json!({}), labelled).await;
    assert_eq!(
        found["peers"][0]["sourceId"],
        ours.threads.source_id().as_str()
    );
    peer.update(details.title("Ships")).unwrap();
    let titled = |it: &Value| it["peers"][0]["title"] == "Ships";
    node.until("peers", json!({}), titled).await;
    drop(peer);
    let nobody = |it: &Value| it["peers"] == json!([]);
    node.until("peers", json!({}), nobody).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_and_peers_find_each_other_over_the_unix_socket() {
    if !have_node() {
        return;
    }
    let (_folder, ours, mut node) = on_unix().await;
    find_each_other(&mut node, &ours).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_and_peers_find_each_other_over_redis() {
    if !have_node() || skips_redis() {
        return;
    }
    let (server, ours, mut node) = on_redis().await;
    find_each_other(&mut node, &ours).await;
    // What was asked leaves nothing behind.
    until(async || {
        for pattern in ["*-discovery.*", "*.idle-acceptance.*"] {
            let keys = server.command(&["KEYS", pattern]).await.unwrap();
            if keys != Reply::Array(Vec::new()) {
                return None;
            }
        }
        Some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_of_ours_with_stores_of_their_own_find_each_other_over_the_unix_socket() {
    let folder = tempfile::Builder::new().prefix("bl-").tempdir().unwrap();
    let path = folder.path().join("bus.sock");
    let bus = || Arc::new(UnixSocketPubSub::new(&path).unwrap());
    let (a, b) = (Ours::start(bus()).await, Ours::start(bus()).await);
    let mut stream = b.threads.subscribe(thread()).await.unwrap();
    let claim = a.claim().await.unwrap();
    let details = PeerDetails::new().label("desk");
    let peer = a.threads.advertise(AGENT, thread(), details).await.unwrap();
    let refused = async || b.claim().await.err();
    assert_eq!(until(refused).await.kind(), ErrorKind::Conflict);
    assert_eq!(b.peers(|it| !it.is_empty()).await, [peer.peer()]);
    let given = b.to_owner("hello").await;
    assert!(matches!(given, Accepted::Deliver { .. }), "{given:?}");
    let done = ("heard hello".to_owned(), ThreadEvent::Completed);
    assert_eq!(said(&mut stream).await, done);
    drop((claim, peer));
    b.peers(|it| it.is_empty()).await;
    let _claim = until(async || b.claim().await.ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_of_ours_share_a_thread_over_the_unix_socket() {
    let folder = tempfile::Builder::new().prefix("bl-").tempdir().unwrap();
    let path = folder.path().join("bus.sock");
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let bus = || Arc::new(UnixSocketPubSub::new(&path).unwrap());
    let a = Ours::on(bus(), Arc::clone(&store)).await;
    let b = Ours::on(bus(), store).await;
    let mut stream = b.threads.subscribe(thread()).await.unwrap();
    let woken = a.send("work").await;
    let Accepted::Wake { run_id } = woken else {
        panic!("{woken:?}");
    };
    // Either of them works on it.
    tokio::select! {
        permit = a.working.acquire() => permit.unwrap().forget(),
        permit = b.working.acquire() => permit.unwrap().forget(),
    }
    assert_eq!(b.send("be quick").await, Accepted::Deliver { run_id });
    let queued = b
        .threads
        .queue_message(AGENT, thread(), "next", RunOptions::new());
    assert_eq!(queued.await.unwrap(), Accepted::Queued);
    for ours in [&a, &b] {
        ours.gate.add_permits(1);
    }
    for words in ["heard work|be quick", "heard next"] {
        let done = (words.to_owned(), ThreadEvent::Completed);
        assert_eq!(said(&mut stream).await, done);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_is_shared_over_redis() {
    if !have_node() || skips_redis() {
        return;
    }
    let (_server, ours, mut node) = on_redis().await;
    share(&mut node, &ours, true).await;

    // Their run holds the thread: ours does not begin, and what is said here reaches theirs.
    let mut stream = ours.threads.subscribe(thread()).await.unwrap();
    node.call("stream", json!({ "text": "wait", "runId": "theirs-2" }))
        .await;
    let given = ours.send("from Rust").await;
    let run_id = "theirs-2".into();
    assert_eq!(given, Accepted::Deliver { run_id });
    node.call("release", json!({})).await;
    // Theirs hears it, or has ended before it came, and then one of ours does.
    let mut heard = Vec::new();
    while !heard.iter().any(|it: &String| it.contains("from Rust")) {
        heard.push(said(&mut stream).await.0);
    }
    assert!(heard[0].starts_with("heard wait"), "{heard:?}");
    assert_eq!(heard.concat().matches("from Rust").count(), 1, "{heard:?}");
    let next = ours.send("next").await;
    assert!(matches!(next, Accepted::Wake { .. }), "{next:?}");
    assert_eq!(said(&mut stream).await.0, "heard next");
}
