//! What becomes of a thread when the processes that look after it end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline_agent::threads::{Accepted, SendOptions, ThreadEvent, ThreadRecord};
use bowline_events::{PubSubExt, SubscribeOptions};
use tokio::runtime::Runtime;

use crate::world::{AGENT, Process, World, heard_once, run_of, thread};

/// A process that can be killed: everything that it does ends at once.
pub(crate) struct Mortal {
    pub(crate) process: Arc<Process>,
    pub(crate) runtime: Runtime,
}

impl Mortal {
    pub(crate) async fn born(world: &World) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let world = world.clone();
        let process = runtime.spawn(async move { world.process().await });
        let process = Arc::new(process.await.unwrap());
        Self { process, runtime }
    }

    /// What the process sends, it sends itself.
    async fn send(&self, text: &'static str) -> Accepted {
        let process = Arc::clone(&self.process);
        let sent = self.runtime.spawn(async move { process.send(text).await });
        sent.await.unwrap()
    }

    async fn queue(&self, text: &'static str) -> Accepted {
        let process = Arc::clone(&self.process);
        let queued = self.runtime.spawn(async move { process.queue(text).await });
        queued.await.unwrap()
    }

    pub(crate) async fn kill(self) {
        let runtime = self.runtime;
        let ended = tokio::task::spawn_blocking(move || {
            runtime.shutdown_timeout(Duration::from_secs(60));
        });
        ended.await.unwrap();
        // What its handles would still do as they are dropped does not happen either.
        std::mem::forget(self.process);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_goes_on_with_a_run_and_tells_of_it_anew() {
    let world = World::new();
    let (mortal, b) = (Mortal::born(&world).await, world.process().await);
    let mut reader = b.read().await;
    let woken = mortal.send("work").await;
    world.until_working().await;
    let queued = mortal.queue("next").await;
    assert_eq!(queued, Accepted::Queued);
    mortal.kill().await;
    world.gate.add_permits(10);
    let given = b.send("still there?").await;
    assert_eq!(run_of(&given), run_of(&woken));
    // The tool works again, as another process cannot know how far it was.
    let mut ends = Vec::new();
    while ends.last() != Some(&ThreadEvent::Completed) {
        let (run, told, end) = reader.run().await;
        assert_eq!(run, run_of(&woken));
        let whole = told.iter().any(|it| it == "heard work|still there?");
        assert_eq!(whole, end == ThreadEvent::Completed, "{told:?}");
        ends.push(end);
    }
    // The reader may miss the first process before the second does.
    ends.retain(|end| *end != ThreadEvent::Lost);
    assert_eq!(ends, [ThreadEvent::Discarded, ThreadEvent::Completed]);
    assert_eq!(reader.said().await.0, "heard next");
    assert_eq!(world.heard.all(), ["work", "still there?", "next"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_begins_when_some_process_lives() {
    let world = World::new();
    let mortal = Mortal::born(&world).await;
    mortal.send("work").await;
    world.until_working().await;
    mortal.queue("one").await;
    mortal.queue("two").await;
    mortal.kill().await;
    world.gate.add_permits(10);
    let b = world.process().await;
    let mut reader = b.read().await;
    for said in ["heard work", "heard one", "heard two"] {
        let (heard, end) = reader.said().await;
        assert_eq!((heard.as_str(), end), (said, ThreadEvent::Completed));
    }
}

#[tokio::test]
async fn who_reads_late_sees_the_run_at_work_from_its_beginning() {
    let world = World::new();
    let (a, b) = (world.process().await, world.process().await);
    let mut early = a.read().await;
    let woken = a.send("work").await;
    world.until_working().await;
    let mut late = b.read().await;
    a.queue("next").await;
    world.gate.add_permits(1);
    for reader in [&mut early, &mut late] {
        let (run, told, end) = reader.run().await;
        assert_eq!(
            (run.as_str(), end),
            (run_of(&woken), ThreadEvent::Completed)
        );
        assert_eq!(told[..2], ["start", "data-user-message"]);
        assert_eq!(reader.said().await.0, "heard next");
    }
}

#[tokio::test]
async fn what_was_said_can_be_hidden() {
    let world = World::new();
    let a = world.process().await;
    let mut reader = a.read().await;
    reader.0 = reader.0.hide_signals();
    a.send("hello").await;
    let (_, told, _) = reader.run().await;
    assert_eq!(told[..2], ["start", "step-start"]);
}

#[tokio::test]
async fn a_run_whose_lease_is_lost_stops_and_what_it_did_not_read_waits() {
    let world = World::new();
    let a = world.process().await;
    let mut reader = a.read().await;
    let topic = thread().topic();
    let mut records = world
        .host
        .subscribe(topic, SubscribeOptions::new())
        .await
        .unwrap();
    let woken = a.send("work").await;
    world.until_working().await;
    let leases = world.host.lease_provider().unwrap();
    let key = thread().key();
    leases.release(&key, run_of(&woken)).await.unwrap();
    let hour = Duration::from_secs(3600);
    let taken = leases.acquire(&key, "theirs", hour).await.unwrap();
    assert!(taken.acquired, "{taken:?}");
    assert!(matches!(a.send("unread").await, Accepted::Deliver { .. }));
    assert_eq!(reader.run().await.2, ThreadEvent::Aborted);
    // The tool returns, and the run ends without another word.
    world.gate.add_permits(1);
    let given = loop {
        let record = records.next().await.unwrap().unwrap();
        match ThreadRecord::read(record.event()).unwrap() {
            Some(ThreadRecord::SignalEnqueued(it)) if it.run_id == "theirs" => break it,
            _ => {}
        }
    };
    assert_eq!(given.signal.contents(), &"unread".into());
    leases.release(&key, "theirs").await.unwrap();
    assert_eq!(reader.said().await.0, "heard unread");
    assert_eq!(world.heard.all(), ["work", "unread"]);
}

/// Lets a sender come so far that what is `taken`, and the way to the next one, are those of `steps`.
pub(crate) async fn reach(taken: &Mutex<Vec<String>>, steps: usize) {
    while taken.lock().unwrap().len() < steps / 10 {
        tokio::task::yield_now().await;
    }
    for _ in 0..(steps % 10) * 20 {
        tokio::task::yield_now().await;
    }
}

/// A process takes signals and is killed somewhere on the way; whatever it has taken is heard by one run of the other.
async fn killed_after(steps: usize) {
    let world = World::new();
    let (mortal, b) = (Mortal::born(&world).await, world.process().await);
    let mut reader = b.read().await;
    let taken = Arc::new(Mutex::new(Vec::new()));
    let (process, note) = (Arc::clone(&mortal.process), Arc::clone(&taken));
    mortal.runtime.spawn(async move {
        for n in 0.. {
            let text = format!("signal-{n}.");
            let sent = match n % 3 {
                2 => process.queue(text.as_str()).await,
                _ => process.send(text.as_str()).await,
            };
            assert!(
                !matches!(sent, Accepted::Before | Accepted::Discard),
                "{sent:?}"
            );
            note.lock().unwrap().push(text);
        }
    });
    reach(&taken, steps).await;
    mortal.kill().await;
    let taken = taken.lock().unwrap().clone();
    heard_once(&b, &mut reader, &taken, format!("after {steps}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_has_taken_is_heard_once_wherever_it_is_killed() {
    futures_util::future::join_all((0..40).map(killed_after)).await;
}

/// The owner of a thread takes signals of a program with another store and is killed somewhere on the way.
async fn owner_killed_after(steps: usize) {
    let world = World::new();
    let theirs = World::on(Arc::clone(&world.host)).patient();
    let (mortal, b) = (Mortal::born(&world).await, world.process().await);
    let stranger = theirs.process().await;
    let process = Arc::clone(&mortal.process);
    let claimed = mortal.runtime.spawn(async move { process.claim().await });
    let claim = claimed.await.unwrap();
    let mut reader = b.read().await;
    let taken = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&taken);
    let sender = tokio::spawn(async move {
        for n in 0.. {
            let text = format!("signal-{n}.");
            let options = SendOptions::new().require_claimed_owner();
            let sent = stranger
                .threads
                .send_signal(AGENT, thread(), text.as_str(), options);
            let sent = sent.await.unwrap();
            assert!(matches!(sent, Accepted::Deliver { .. }), "{sent:?}");
            note.lock().unwrap().push(text);
        }
    });
    reach(&taken, steps).await;
    mortal.kill().await;
    std::mem::forget(claim);
    sender.abort();
    let taken = taken.lock().unwrap().clone();
    heard_once(&b, &mut reader, &taken, format!("after {steps}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_owner_has_taken_is_heard_once_wherever_it_is_killed() {
    futures_util::future::join_all((0..20).map(owner_killed_after)).await;
}
