//! What becomes of signals, with two processes.

use bowline_agent::ErrorKind;
use bowline_agent::agent::RunOptions;
use bowline_agent::memory::Memory;
use bowline_agent::message::{Message, prompt};
use bowline_agent::threads::{
    Accepted, IfActive, IfIdle, SendOptions, Signal, SignalKind, ThreadEvent, ThreadId,
    ThreadRecord,
};

use bowline_events::{PubSubExt, SubscribeOptions};

use crate::world::{AGENT, OTHER, World, run_of, thread};

#[tokio::test]
async fn a_signal_wakes_the_agent_and_every_process_reads_the_run() {
    let world = World::new();
    let (a, b) = (world.process().await, world.process().await);
    let mut readers = [a.read().await, b.read().await];
    let accepted = a.send("hello").await;
    assert!(matches!(accepted, Accepted::Wake { .. }));
    for reader in &mut readers {
        let (run, told, end) = reader.run().await;
        assert_eq!(run, run_of(&accepted));
        assert_eq!(end, ThreadEvent::Completed);
        assert_eq!(
            told,
            [
                "start",
                "data-user-message",
                "step-start",
                "response-metadata",
                "text-start",
                "heard hello",
                "text-end",
                "step-finish",
                "finish",
            ]
        );
    }
    assert_eq!(a.threads.active_run(thread()).await.unwrap(), None);
}

#[tokio::test]
async fn a_signal_reaches_the_run_at_work_from_another_process() {
    let world = World::new();
    let (a, b) = (world.process().await, world.process().await);
    let mut reader = b.read().await;
    let woken = a.send("work").await;
    world.until_working().await;
    let given = b.send("be quick").await;
    assert_eq!(
        given,
        Accepted::Deliver {
            run_id: run_of(&woken).to_owned().into()
        }
    );
    let active = b.threads.active_run(thread()).await.unwrap();
    assert_eq!(active.as_deref(), Some(run_of(&woken)));
    world.gate.add_permits(1);
    let (said, end) = reader.said().await;
    assert_eq!(
        (said.as_str(), end),
        ("heard work|be quick", ThreadEvent::Completed)
    );
}

#[tokio::test]
async fn a_signal_that_is_sent_again_is_not_given_again() {
    let world = World::new();
    let (a, b) = (world.process().await, world.process().await);
    let mut reader = a.read().await;
    let (first, second) = (Signal::user("work"), Signal::user("more"));
    a.send(first.clone()).await;
    world.until_working().await;
    b.send(second.clone()).await;
    for signal in [&first, &second] {
        assert_eq!(b.send(signal.clone()).await, Accepted::Before);
    }
    world.gate.add_permits(1);
    assert_eq!(reader.said().await.0, "heard work|more");
    for signal in [&first, &second] {
        assert_eq!(a.send(signal.clone()).await, Accepted::Before);
    }
    assert_eq!(world.heard.all(), ["work", "more"]);
}

#[tokio::test]
async fn queued_messages_are_answered_one_by_one_when_the_run_has_ended() {
    let world = World::new();
    let (a, b) = (world.process().await, world.process().await);
    let mut reader = a.read().await;
    a.send("work").await;
    world.until_working().await;
    let cancelled = Signal::user("never");
    assert_eq!(b.queue("two").await, Accepted::Queued);
    assert_eq!(a.queue(cancelled.clone()).await, Accepted::Queued);
    assert_eq!(a.queue("three").await, Accepted::Queued);
    let ids = [cancelled.id().clone(), "unknown".into()];
    let gone = b.threads.cancel_queued(thread(), &ids).await.unwrap();
    assert_eq!(gone, ids[..1]);
    world.gate.add_permits(1);
    for said in ["heard work", "heard two", "heard three"] {
        assert_eq!(
            reader.said().await,
            (said.to_owned(), ThreadEvent::Completed)
        );
    }
}

#[tokio::test]
async fn what_a_run_cannot_read_any_more_is_what_the_next_one_begins_with() {
    let world = World::new();
    let a = world.process_with(1, false).await;
    let mut reader = a.read().await;
    a.send("work").await;
    world.until_working().await;
    let given = a.send("too late").await;
    assert!(matches!(given, Accepted::Deliver { .. }));
    world.gate.add_permits(1);
    assert_eq!(reader.said().await, (String::new(), ThreadEvent::Completed));
    let next = ("heard too late".to_owned(), ThreadEvent::Completed);
    assert_eq!(reader.said().await, next);
}

#[tokio::test]
async fn a_thread_is_stopped_from_another_process() {
    for forget in [true, false] {
        let world = World::new();
        let (a, b) = (world.process().await, world.process().await);
        let mut reader = a.read().await;
        a.send("work").await;
        world.until_working().await;
        a.queue("next").await;
        assert!(b.threads.abort(thread(), forget).await.unwrap());
        world.gate.add_permits(1);
        assert_eq!(reader.run().await.2, ThreadEvent::Aborted);
        if forget {
            a.send("afterwards").await;
            assert_eq!(reader.said().await.0, "heard afterwards");
        } else {
            assert_eq!(reader.said().await.0, "heard next");
        }
    }
}

#[tokio::test]
async fn a_run_that_waits_for_somebody_blocks_signals_and_lets_messages_queue() {
    let world = World::new();
    let a = world.process_with(5, true).await;
    let mut reader = a.read().await;
    let woken = a.send("work").await;
    loop {
        if reader.next().await.event == ThreadEvent::Suspended {
            break;
        }
    }
    let run = run_of(&woken);
    let blocked = Accepted::Blocked {
        run_id: run.to_owned().into(),
    };
    assert_eq!(a.send("hello?").await, blocked);
    assert_eq!(a.queue("later").await, Accepted::Queued);
    let waits = a.agent.suspended(run).await.unwrap();
    world.gate.add_permits(1);
    a.agent.approve(run, &waits[0].tool_call_id).await.unwrap();
    assert_eq!(
        reader.said().await,
        ("heard work".to_owned(), ThreadEvent::Completed)
    );
    assert_eq!(reader.said().await.0, "heard later");
}

/// What was read is not given again, however the run ends that has read it.
#[tokio::test]
async fn what_a_run_has_read_ends_with_it() {
    for ends in ["stopped at work", "stopped while it waits", "failed"] {
        let world = World::new();
        let a = world
            .process_with(5, ends == "stopped while it waits")
            .await;
        let mut reader = a.read().await;
        a.send("work").await;
        match ends {
            "stopped at work" => {
                world.until_working().await;
                a.threads.abort(thread(), false).await.unwrap();
            }
            "stopped while it waits" => {
                while reader.next().await.event != ThreadEvent::Suspended {}
                a.threads.abort(thread(), false).await.unwrap();
            }
            _ => {
                world.until_working().await;
                a.send("fail").await;
                world.gate.add_permits(1);
            }
        }
        a.queue("afterwards").await;
        let ended = reader.run().await.2;
        assert_ne!(ended, ThreadEvent::Completed, "{ends}");
        assert_eq!(reader.said().await.0, "heard afterwards", "{ends}");
        assert_eq!(a.active().await, None, "{ends}");
    }
}

#[tokio::test]
async fn another_agent_has_its_turn_afterwards() {
    let world = World::new();
    let a = world.process().await;
    let mut reader = a.read().await;
    a.send("work").await;
    world.until_working().await;
    let poet = a.threads.send_message(OTHER, thread(), "rhyme").await;
    assert_eq!(poet.unwrap(), Accepted::Queued);
    let only = SendOptions::new().if_idle(IfIdle::Discard);
    let dropped = a.threads.send_signal(OTHER, thread(), "now", only).await;
    assert_eq!(dropped.unwrap(), Accepted::Discard);
    world.gate.add_permits(1);
    assert_eq!(reader.said().await.0, "heard work");
    assert_eq!(reader.said().await.0, "heard rhyme");
}

#[tokio::test]
async fn signals_are_dropped_where_that_is_wanted() {
    let world = World::new();
    let a = world.process().await;
    let active = SendOptions::new().if_idle(IfIdle::Discard);
    let idle = SendOptions::new().if_active(IfActive::Discard);
    let sent = a.threads.send_signal(AGENT, thread(), "a", active);
    assert_eq!(sent.await.unwrap(), Accepted::Discard);
    a.send("work").await;
    world.until_working().await;
    let sent = a.threads.send_signal(AGENT, thread(), "b", idle);
    assert_eq!(sent.await.unwrap(), Accepted::Discard);
    assert_eq!(world.heard.all(), ["work"]);
}

#[tokio::test]
async fn a_signal_for_an_agent_at_work_can_be_kept_for_later_and_is_not_shown_then() {
    let world = World::new();
    let (a, b) = (world.process().await, world.process().await);
    let mut reader = b.read().await;
    a.send("work").await;
    world.until_working().await;
    let later = Signal::user("later");
    let keep = SendOptions::new().if_active(IfActive::Persist);
    let sent = || {
        b.threads
            .send_signal(AGENT, thread(), later.clone(), keep.clone())
    };
    assert_eq!(sent().await.unwrap(), Accepted::Persist);
    assert_eq!(sent().await.unwrap(), Accepted::Before);
    world.gate.add_permits(1);
    assert_eq!(reader.said().await.0, "heard work");
    let memory = Memory::new(world.store.clone());
    let kept = memory.recent(thread().id(), 10).await.unwrap();
    let kept = kept.iter().filter_map(Signal::of_message);
    assert_eq!(kept.filter(|it| *it == later).count(), 1);
    // Nothing else was shown meanwhile.
    a.send("next").await;
    assert_eq!(reader.said().await.0, "heard next");
}

#[tokio::test]
async fn a_signal_gets_the_attributes_of_the_way_that_it_goes() {
    let world = World::new();
    let a = world.process().await;
    let mut reader = a.read().await;
    let options = SendOptions::new()
        .active_attribute("when", "now")
        .and_then(|it| it.idle_attribute("when", "first"))
        .unwrap();
    let send = |text| {
        let signal = Signal::user(text).with_attribute("when", "?").unwrap();
        let options = options.clone();
        a.threads.send_signal(AGENT, thread(), signal, options)
    };
    send("work").await.unwrap();
    world.until_working().await;
    send("more").await.unwrap();
    world.gate.add_permits(1);
    let (said, _) = reader.said().await;
    let both = r#"heard <user when="first">work</user>|<user when="now">more</user>"#;
    assert_eq!(said, both);
    assert!(SendOptions::new().active_attribute("a b", 1).is_err());
    assert!(SendOptions::new().idle_attribute("a", [1]).is_err());
}

#[tokio::test]
async fn a_run_is_begun_only_in_a_thread_that_is_free() {
    let world = World::new();
    let (a, b) = (world.process().await, world.process().await);
    let mut reader = b.read().await;
    let options = || RunOptions::new().run_id("run-1");
    let run = a.threads.run(AGENT, thread(), "work", options()).await;
    assert_eq!(run.unwrap(), "run-1");
    world.until_working().await;
    let second = b.threads.run(AGENT, thread(), "me too", RunOptions::new());
    assert_eq!(second.await.unwrap_err().kind(), ErrorKind::Conflict);
    world.gate.add_permits(1);
    assert_eq!(reader.said().await.0, "heard work");
    // The id is taken: the thread is free again at once.
    let again = a.threads.run(AGENT, thread(), "again", options()).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(a.threads.active_run(thread()).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_said_and_answered_is_remembered() {
    let world = World::new();
    let a = world.process().await;
    let mut reader = a.read().await;
    let mut signals = vec![Signal::user("hello"), Signal::user("and again")];
    for signal in &signals {
        a.send(signal.clone()).await;
        reader.said().await;
    }
    signals.push(Signal::new(SignalKind::Reactive, "the tide turns"));
    let keep = || {
        let keep = SendOptions::new().if_idle(IfIdle::Persist);
        a.threads
            .send_signal(AGENT, thread(), signals[2].clone(), keep)
    };
    assert_eq!(keep().await.unwrap(), Accepted::Persist);
    let (_, told, end) = reader.run().await;
    assert_eq!(end, ThreadEvent::Completed);
    assert_eq!(told, ["start", "data-signal", "finish"]);
    assert_eq!(keep().await.unwrap(), Accepted::Before);
    let messages = Memory::new(world.store)
        .recent(thread().id(), 10)
        .await
        .unwrap();
    let said: Vec<String> = messages.iter().map(|it| it.text()).collect();
    let all = [
        "hello",
        "heard hello",
        "and again",
        "heard and again",
        "the tide turns",
    ];
    assert_eq!(said, all);
    let kept: Vec<Signal> = messages.iter().filter_map(Signal::of_message).collect();
    assert_eq!(kept, signals);
}

/// The records of the topic, one a line, without the ids that differ each time.
fn masked(records: &[ThreadRecord], agent: &str) -> Vec<String> {
    let ThreadRecord::Registered(first) = &records[0] else {
        panic!("it begins: {records:?}");
    };
    let source = first.source_id.clone().unwrap();
    let lines = records.iter().map(|record| {
        let json = String::from_utf8(record.to_json().to_vec()).unwrap();
        let json = json
            .replace(first.run_id.as_str(), "RUN")
            .replace(agent, "AGENT-ID");
        let json = json.replace(first.stream_id.as_str(), "STREAM");
        json.replace(source.as_str(), "SOURCE")
    });
    lines.collect()
}

#[tokio::test]
async fn a_signal_that_is_kept_is_shown_as_the_reference_shows_it() {
    let theirs = crate::records::captured_in("persist");
    let signal = r#"{"type":"reactive","contents":"note","id":"b99159a1-6f9e-4cd8-9a20-da96ba92c9c0",
        "createdAt":"2026-11-20T03:12:35.110Z","acceptedAt":"2026-11-20T03:12:35.110Z"}"#;
    let signal: Signal = serde_json::from_str(signal).unwrap();
    let world = World::new();
    let a = world.process().await;
    let topic = thread().topic();
    let mut records = world
        .host
        .subscribe(topic, SubscribeOptions::new())
        .await
        .unwrap();
    let keep = SendOptions::new().if_idle(IfIdle::Persist);
    let kept = a.threads.send_signal(AGENT, thread(), signal, keep);
    assert_eq!(kept.await.unwrap(), Accepted::Persist);
    let mut ours = Vec::new();
    while ours.len() < theirs.len() {
        let record = records.next().await.unwrap().unwrap();
        ours.push(ThreadRecord::read(record.event()).unwrap().unwrap());
    }
    assert_eq!(masked(&ours, AGENT), masked(&theirs, "sig-agent"));
}

#[tokio::test]
async fn what_cannot_be_given_is_refused() {
    let world = World::new();
    let a = world.process().await;
    let send = a.threads.send_message("nobody", thread(), "hello").await;
    assert_eq!(send.unwrap_err().kind(), ErrorKind::NotFound);
    let large = "x".repeat(bowline_agent::threads::MAX_SIGNAL);
    let send = a.threads.send_message(AGENT, thread(), large).await;
    assert_eq!(send.unwrap_err().kind(), ErrorKind::TooLarge);
    let nameless = Signal::user("hello").with_id("");
    let send = a
        .threads
        .send_signal(AGENT, thread(), nameless, SendOptions::new());
    assert_eq!(send.await.unwrap_err().kind(), ErrorKind::InvalidInput);
    let long = ThreadId::new("x".repeat(2000));
    let send = a.threads.send_message(AGENT, &long, "hello").await;
    assert_eq!(send.unwrap_err().kind(), ErrorKind::TooLarge);
    a.send("hello").await;
    let theirs = ThreadId::new("thread-1").resource("somebody else");
    let send = a.threads.send_message(AGENT, &theirs, "hello").await;
    assert_eq!(send.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(a.threads.active_run(&theirs).await.unwrap(), None);
    let keep = SendOptions::new().if_idle(IfIdle::Persist);
    let keep = a.threads.send_signal(AGENT, &theirs, "hello", keep).await;
    assert_eq!(keep.unwrap_err().kind(), ErrorKind::AlreadyExists);
    a.threads.close().await;
    let send = a.threads.send_message(AGENT, thread(), "hello").await;
    assert_eq!(send.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_of_many_senders_are_heard_once_each() {
    const SENDERS: usize = 8;
    const SIGNALS: usize = 6;
    let world = World::new();
    let processes = [world.process().await, world.process().await];
    let mut reader = processes[0].read().await;
    let mut senders = Vec::new();
    for sender in 0..SENDERS {
        let threads = processes[sender % 2].threads.clone();
        senders.push(tokio::spawn(async move {
            for n in 0..SIGNALS {
                let text = format!("{sender}.{n}");
                let sent = threads.send_message(AGENT, thread(), text).await.unwrap();
                assert!(
                    !matches!(sent, Accepted::Before | Accepted::Discard),
                    "{sent:?}"
                );
            }
        }));
    }
    for sender in senders {
        sender.await.unwrap();
    }
    let mut wanted: Vec<String> = (0..SENDERS)
        .flat_map(|sender| (0..SIGNALS).map(move |n| format!("{sender}.{n}")))
        .collect();
    wanted.sort();
    let mut heard = Vec::new();
    while heard.len() < wanted.len() {
        let (said, end) = reader.said().await;
        assert_eq!(end, ThreadEvent::Completed);
        heard.extend(
            said.trim_start_matches("heard ")
                .split('|')
                .map(str::to_owned),
        );
    }
    heard.sort();
    assert_eq!(heard, wanted);
}

#[test]
fn a_model_sees_a_signal_as_what_it_is() {
    let message = Message::user("and now?");
    let signal = Signal::new(SignalKind::Reactive, "battery low").to_message(None, None);
    let prompt = prompt(&[message, signal], &[]);
    let told = format!("{prompt:?}");
    assert!(
        told.contains("and now?") && told.contains("battery low"),
        "{told}"
    );
    assert!(told.contains('<'), "the signal is in an element: {told}");
}
