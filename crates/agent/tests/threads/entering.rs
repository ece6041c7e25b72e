//! Who is let into a thread: one run at a time, whoever begins it, until it has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bowline_agent::threads::{Accepted, ThreadEvent, ThreadId, Threads};
use bowline_agent::{AgentHandle, Error, ErrorKind, Result, RunOptions};
use bowline_events::Text;
use bowline_store::{
    Commit, Committed, Expect, MemoryStore, Operation, Stats, Store, StoreFuture, StoreLayer,
};
use bowline_workflow::RunStatus;

use crate::failures::Mortal;
use crate::world::{AGENT, OTHER, Process, World, in_thread, thread};

/// Every way to begin a run in a thread.
async fn begin(way: &str, process: &Process, text: &'static str) -> Result<Text> {
    let agent = &process.agent;
    match way {
        "start" => agent.start(text, in_thread()).await,
        "stream" => {
            let run = agent.stream_with(text, in_thread()).await?;
            Ok(run.id().clone())
        }
        "generate" => Ok(agent.generate_with(text, in_thread()).await?.run_id),
        _ => {
            process
                .threads
                .run(AGENT, thread(), text, RunOptions::new())
                .await
        }
    }
}

const WAYS: [&str; 4] = ["start", "stream", "generate", "run"];

/// It is refused because this run is at work.
fn assert_busy<T>(refused: Result<T>, run: &str, what: &str) {
    let Err(error) = refused else {
        panic!("{what}: it has begun");
    };
    assert_eq!(error.kind(), ErrorKind::Conflict, "{what}: {error}");
    let told = error.to_string();
    for part in [run, "thread-1", "send it a signal", "queue the message"] {
        assert!(told.contains(part), "{what}: {told}");
    }
}

/// Tries until nobody is at work; what is refused meanwhile is refused for that.
async fn insist(process: &Process, text: &str) -> Text {
    loop {
        match process.start(text).await {
            Ok(run) => return run,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
        }
    }
}

#[tokio::test]
async fn nobody_begins_a_run_where_one_is_at_work_and_all_are_told_on_the_thread() {
    for way in WAYS {
        let world = World::new();
        let (a, b) = (world.process().await, world.process().await);
        let mut reader = b.read().await;
        let first = begin("start", &a, "work").await.unwrap();
        world.until_working().await;
        assert_eq!(b.active().await, Some(first.clone()), "{way}");
        for process in [&a, &b] {
            assert_busy(begin(way, process, "me too").await, &first, way);
        }
        let other = a.threads.agent(OTHER).unwrap();
        assert_busy(other.start("me too", in_thread()).await, &first, way);
        // Elsewhere nobody is.
        let elsewhere = in_thread().resource("user-2").thread("thread-2");
        b.agent.generate_with("elsewhere", elsewhere).await.unwrap();
        b.agent.generate("nowhere").await.unwrap();
        world.gate.add_permits(1);
        assert_eq!(reader.said().await.0, "heard work");
        let second = begin(way, &b, "now me").await.unwrap();
        let (run, told, end) = reader.run().await;
        assert_eq!(
            (run.as_str(), end),
            (second.as_str(), ThreadEvent::Completed)
        );
        assert!(told.contains(&"heard now me".to_owned()), "{way}: {told:?}");
    }
}

#[tokio::test]
async fn a_run_that_has_ended_is_in_nobodys_way() {
    let world = World::new();
    let processes = [world.process().await, world.process().await];
    let mut reader = processes[0].read().await;
    for n in 0..20 {
        let process = &processes[n % 2];
        let output = process
            .agent
            .generate_with(n.to_string(), in_thread())
            .await;
        assert_eq!(output.unwrap().text, format!("heard {n}"));
    }
    for n in 0..20 {
        let said = (format!("heard {n}"), ThreadEvent::Completed);
        assert_eq!(reader.said().await, said);
    }
}

#[tokio::test]
async fn what_waits_comes_before_a_run_that_is_to_begin() {
    let world = World::new();
    let (a, b) = (world.process().await, world.process().await);
    let mut reader = b.read().await;
    a.start("work").await.unwrap();
    world.until_working().await;
    assert_eq!(a.queue("next").await, Accepted::Queued);
    world.gate.add_permits(1);
    insist(&b, "then me").await;
    for said in ["heard work", "heard next", "heard then me"] {
        assert_eq!(reader.said().await.0, said);
    }
}

#[tokio::test]
async fn a_run_that_waits_for_somebody_keeps_its_thread_until_it_has_ended() {
    for (end, wanted) in [
        ("approve", ThreadEvent::Completed),
        ("decline", ThreadEvent::Completed),
        ("abort", ThreadEvent::Aborted),
        ("abort the thread", ThreadEvent::Aborted),
    ] {
        let world = World::new();
        world.gate.add_permits(1);
        let a = world.process_with(5, true).await;
        let b = world.process_with(5, true).await;
        let mut reader = b.read().await;
        let halted = a.agent.generate_with("work", in_thread()).await.unwrap();
        let run = &halted.run_id;
        assert_eq!(a.agent.status(run).await.unwrap(), RunStatus::Suspended);
        assert_busy(b.start("me too").await, run, end);
        let call = a.agent.suspended(run).await.unwrap().remove(0).tool_call_id;
        match end {
            "approve" => b.agent.approve(run, &call).await.unwrap(),
            "decline" => b.agent.decline(run, &call, None).await.unwrap(),
            "abort" => b.agent.abort(run).await.unwrap(),
            _ => assert!(b.threads.abort(thread(), false).await.unwrap()),
        }
        assert_eq!(reader.run().await.2, wanted, "{end}");
        b.start("now me").await.unwrap();
        assert_eq!(reader.said().await.0, "heard now me", "{end}");
    }
}

#[tokio::test]
async fn a_run_that_fails_or_is_stopped_leaves_its_thread() {
    for (text, wanted) in [
        ("fail", "Failed"),
        ("work and fail", "Failed"),
        ("work", "Aborted"),
    ] {
        let world = World::new();
        let (a, b) = (world.process().await, world.process().await);
        let mut reader = b.read().await;
        let run = a.start(text).await.unwrap();
        if text.contains("work") {
            world.until_working().await;
        }
        if wanted == "Aborted" {
            b.agent.abort(&run).await.unwrap();
        }
        world.gate.add_permits(1);
        let (_, _, end) = reader.run().await;
        assert!(format!("{end:?}").starts_with(wanted), "{end:?}");
        b.start("now me").await.unwrap();
        assert_eq!(reader.said().await.0, "heard now me");
    }
}

#[tokio::test]
async fn a_run_that_does_not_begin_leaves_its_thread_at_once() {
    let world = World::new();
    let a = world.process().await;
    a.agent
        .generate_with("first", in_thread().run_id("taken"))
        .await
        .unwrap();
    let large = "x".repeat(9 * 1024 * 1024);
    let theirs = in_thread().resource("somebody else");
    let cases = [
        ("never", in_thread(), None),
        (large.as_str(), in_thread(), Some(ErrorKind::TooLarge)),
        (
            "again",
            in_thread().run_id("taken"),
            Some(ErrorKind::AlreadyExists),
        ),
        ("theirs", theirs, Some(ErrorKind::AlreadyExists)),
        (
            "no id",
            in_thread().run_id(""),
            Some(ErrorKind::InvalidInput),
        ),
        (
            "no steps",
            in_thread().max_steps(0),
            Some(ErrorKind::InvalidInput),
        ),
    ];
    for (text, options, kind) in cases {
        let what = &text[..text.len().min(10)];
        let resource = options.clone();
        let error = a.agent.stream_with(text, options).await.unwrap_err();
        assert!(
            kind.is_none_or(|kind| error.kind() == kind),
            "{what}: {error}"
        );
        for id in [
            thread(),
            &ThreadId::new("thread-1").resource("somebody else"),
        ] {
            let active = a.threads.active_run(id).await.unwrap();
            assert_eq!(active, None, "{what}: {resource:?}");
        }
    }
}

#[tokio::test]
async fn what_is_said_to_a_run_that_does_not_begin_is_heard_by_the_next() {
    for (text, cancelled) in [("slowly never", false), ("slowly", true)] {
        let world = World::new();
        let (a, b) = (Arc::new(world.process().await), world.process().await);
        let mut reader = b.read().await;
        let beginning = Arc::clone(&a);
        let beginning = tokio::spawn(async move { beginning.start(text).await });
        world.until_working().await;
        let given = b.send("hello?").await;
        assert!(matches!(given, Accepted::Deliver { .. }), "{given:?}");
        assert_eq!(b.queue("and me").await, Accepted::Queued);
        if cancelled {
            beginning.abort();
            assert!(beginning.await.unwrap_err().is_cancelled());
        } else {
            world.gate.add_permits(1);
            beginning.await.unwrap().unwrap_err();
        }
        for said in ["heard hello?", "heard and me"] {
            assert_eq!(reader.said().await.0, said, "{text}");
        }
    }
}

#[tokio::test]
async fn a_run_is_at_work_while_it_is_prepared_however_long_that_takes() {
    let world = World::new();
    let (a, b) = (Arc::new(world.process().await), world.process().await);
    let mut reader = b.read().await;
    let options = || in_thread().run_id("slow-1");
    let beginning = Arc::clone(&a);
    let beginning = tokio::spawn(async move { beginning.agent.start("slowly", options()).await });
    world.until_working().await;
    // Several times as long as a process may be silent.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for again in [
        b.start("me too").await,
        b.agent.start("again", options()).await,
    ] {
        assert_busy(again, "slow-1", "it is prepared");
    }
    world.gate.add_permits(1);
    assert_eq!(beginning.await.unwrap().unwrap(), "slow-1");
    assert_eq!(reader.said().await.0, "heard slowly");
}

/// Begins a run in a process that is killed then.
async fn killed(world: &World, text: &'static str) {
    let mortal = Mortal::born(world).await;
    let process = Arc::clone(&mortal.process);
    let begun = mortal
        .runtime
        .spawn(async move { process.start(text).await });
    world.until_working().await;
    if !text.contains("slowly") {
        begun.await.unwrap().unwrap();
    }
    mortal.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_thread_of_a_process_that_is_killed_is_free_when_its_run_has_ended() {
    let world = World::new();
    let b = world.process().await;
    let mut reader = b.read().await;
    killed(&world, "work").await;
    let run = b.active().await.unwrap();
    assert_busy(b.start("me too").await, &run, "it goes on");
    world.gate.add_permits(10);
    insist(&b, "now me").await;
    let mut said = Vec::new();
    while said.last().is_none_or(|said| said != "heard now me") {
        let (text, end) = reader.said().await;
        if end == ThreadEvent::Completed {
            said.push(text);
        }
    }
    assert_eq!(said, ["heard work", "heard now me"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_before_its_run_begins_leaves_nothing_behind() {
    let world = World::new();
    let b = world.process().await;
    let mut reader = b.read().await;
    killed(&world, "slowly").await;
    let given = b.send("hello?").await;
    assert!(matches!(given, Accepted::Deliver { .. }), "{given:?}");
    insist(&b, "now me").await;
    for said in ["heard hello?", "heard now me"] {
        assert_eq!(reader.said().await.0, said);
    }
}

#[tokio::test]
async fn a_run_that_ends_when_nobody_keeps_it_is_told_by_whoever_comes_next() {
    let world = World::new();
    let (a, b) = (world.process().await, world.process().await);
    let mut reader = b.read().await;
    let run = a.start("work").await.unwrap();
    world.until_working().await;
    a.threads.close().await;
    let closed = a.start("closed").await.unwrap_err();
    assert_eq!(closed.kind(), ErrorKind::Closed, "{closed}");
    world.gate.add_permits(1);
    let run = a.engine.run(&run).await.unwrap();
    assert_eq!(run.result().await.unwrap().status(), RunStatus::Success);
    b.start("now me").await.unwrap();
    let mut ends = Vec::new();
    loop {
        let (said, end) = reader.said().await;
        if said == "heard now me" {
            break;
        }
        ends.push((said, end));
    }
    let whole = ("heard work".to_owned(), ThreadEvent::Completed);
    assert_eq!(ends.last(), Some(&whole), "{ends:?}");
}

#[tokio::test]
async fn threads_are_open_as_long_as_a_handle_of_theirs_is_there() {
    let world = World::new();
    let Process {
        threads,
        agent,
        engine: _engine,
    } = world.process().await;
    let keeps = threads.agent(AGENT).unwrap();
    assert_eq!(
        threads.agent("nobody").unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let begin = async |agent: &AgentHandle| agent.generate_with("hello", in_thread()).await;
    drop(threads);
    assert_eq!(begin(&keeps).await.unwrap().text, "heard hello");
    assert_eq!(begin(&agent).await.unwrap().text, "heard hello");
    let threads: Threads = agent.threads().unwrap();
    assert_eq!(threads.active_run(thread()).await.unwrap(), None);
    drop((threads, keeps));
    for error in [
        begin(&agent).await.unwrap_err(),
        agent.threads().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
    assert_eq!(agent.generate("alone").await.unwrap().text, "heard alone");
}

#[tokio::test]
async fn an_agent_without_threads_begins_runs_beside_each_other() {
    let world = World::new();
    let agent = world.by_hand().await;
    assert_eq!(agent.threads().unwrap_err().kind(), ErrorKind::NotFound);
    for _ in 0..2 {
        agent.start("work", in_thread()).await.unwrap();
        world.until_working().await;
    }
    world.gate.add_permits(2);
}

/// A store that commits the next run that begins without saying so.
#[derive(Debug, Default)]
struct Mute {
    inner: MemoryStore,
    armed: AtomicBool,
}

impl StoreLayer for Mute {
    fn inner(&self) -> &dyn Store {
        &self.inner
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        let begins = commit.operations().iter().any(|it| {
            matches!(it, Operation::Put { table, expect: Expect::Absent, .. } if table.as_str() == "runs")
        });
        if !begins || !self.armed.swap(false, Ordering::SeqCst) {
            return self.inner.commit(commit);
        }
        StoreFuture::new(async {
            self.inner.commit(commit).await?;
            let message = "the test wants a failure";
            Err(bowline_store::Error::new(
                bowline_store::ErrorKind::Timeout,
                "test",
                message,
            ))
        })
    }

    fn stats(&self) -> StoreFuture<'_, Stats> {
        self.inner.stats()
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        self.inner.close()
    }
}

#[tokio::test]
async fn a_run_of_which_the_store_does_not_say_that_it_has_begun_is_at_work() {
    let store = Arc::new(Mute::default());
    let mut world = World::new();
    world.store = store.clone();
    let (a, b) = (world.process().await, world.process().await);
    let mut reader = b.read().await;
    store.armed.store(true, Ordering::SeqCst);
    let begun: Result<Text, Error> = a.agent.start("work", in_thread().run_id("run-1")).await;
    if let Err(error) = begun {
        assert!(
            matches!(error.kind(), ErrorKind::Store | ErrorKind::Timeout),
            "{error}"
        );
    }
    world.until_working().await;
    assert_busy(b.start("me too").await, "run-1", "it has begun");
    let again = b.agent.start("work", in_thread().run_id("run-1")).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
    world.gate.add_permits(1);
    assert_eq!(
        reader.said().await,
        ("heard work".to_owned(), ThreadEvent::Completed)
    );
    b.start("now me").await.unwrap();
    assert_eq!(reader.said().await.0, "heard now me");
}
