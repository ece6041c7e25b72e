//! Readers on real buses.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bowline_agent::chunk::event::{Failed, Finish};
use bowline_agent::chunk::{Chunk, Delta, Encoder, Failure, StepStart};
use bowline_agent::model::FinishReason;
use bowline_agent::stream::Observe;
use bowline_agent::{AgentStream, Error, ErrorKind, StreamEvent, StreamItem};
use bowline_events::{
    CachingPubSub, InProcessPubSub, MemoryCache, NewEvent, PubSub, PubSubExt, Topic, Truncated,
};

use super::fold::events;

const RUN: &str = "run";
/// Longer than anything in these tests takes that is not broken.
const PATIENCE: Duration = Duration::from_secs(30);

fn buses() -> [(&'static str, Arc<dyn PubSub>); 2] {
    [
        ("in-process", Arc::new(InProcessPubSub::new())),
        ("caching", Arc::new(CachingPubSub::in_process())),
    ]
}

async fn publish(bus: &Arc<dyn PubSub>, event: NewEvent) {
    bus.publish(Topic::agent_stream(RUN), event)
        .await
        .expect("published");
}

fn delta(number: usize) -> NewEvent {
    let encoder = Encoder::new(RUN);
    let delta = Delta {
        id: "t".into(),
        text: format!("{number} "),
        metadata: None,
    };
    encoder.event(encoder.chunk(&Chunk::TextDelta(delta)))
}

fn finish(text: &str) -> NewEvent {
    let mut finish = Finish::default();
    finish.output.text = Some(text.to_owned());
    finish.step_result.reason = FinishReason::Stop;
    finish.to_event(&RUN.into())
}

async fn open(bus: &Arc<dyn PubSub>, options: Observe) -> AgentStream {
    AgentStream::open(bus, RUN, options).await.expect("opened")
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

async fn next(stream: &mut AgentStream) -> StreamItem {
    soon(stream.next()).await.expect("open").expect("no error")
}

async fn failure(stream: &mut AgentStream) -> Error {
    soon(stream.next())
        .await
        .expect("open")
        .expect_err("an error")
}

/// The numbers of the deltas that `stream` shows until it ends.
async fn rest(stream: &mut AgentStream) -> Vec<usize> {
    let mut numbers = Vec::new();
    while let Some(item) = soon(stream.next()).await {
        numbers.extend(number(&item.expect("no error")));
    }
    numbers
}

fn number(item: &StreamItem) -> Option<usize> {
    match &item.event {
        StreamEvent::Chunk {
            chunk: Chunk::TextDelta(delta),
            ..
        } => Some(delta.text.trim().parse().expect("a number")),
        _ => None,
    }
}

#[tokio::test]
async fn a_reader_sees_what_was_told_before_it_came_and_what_is_told_after() {
    for (name, bus) in buses() {
        let events = events("durable-tool");
        let (before, after) = events.split_at(5);
        for event in before {
            publish(&bus, event.to_new()).await;
        }
        let mut stream = open(&bus, Observe::new()).await;
        let mut late = open(&bus, Observe::new().from_offset(3)).await;
        let mut live = open(&bus, Observe::new().live()).await;
        for event in after {
            publish(&bus, event.to_new()).await;
        }
        for (stream, from) in [(&mut stream, 0), (&mut late, 3), (&mut live, 5)] {
            let mut offsets = Vec::new();
            while let Some(item) = soon(stream.next()).await {
                offsets.push(item.expect("no error").offset);
            }
            assert_eq!(offsets, (from..18).collect::<Vec<u64>>(), "{name}");
            assert!(!stream.is_open());
        }
        assert_eq!(stream.into_output().text, "It is 21", "{name}");
        // So does one that comes after the end.
        let last = open(&bus, Observe::new().from_offset(17)).await;
        assert_eq!(
            soon(last.collect()).await.expect("ended").steps.len(),
            2,
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_comes_back_twenty_times_misses_nothing_and_sees_nothing_twice() {
    const EACH: usize = 40;
    const RECONNECTS: usize = 20;
    for (name, bus) in buses() {
        let publisher = tokio::spawn({
            let bus = Arc::clone(&bus);
            async move {
                for number in 0..EACH * (RECONNECTS + 1) {
                    publish(&bus, delta(number)).await;
                    if number % 16 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                publish(&bus, finish("all")).await;
            }
        });
        let mut numbers = Vec::new();
        let mut offset = 0;
        for _ in 0..RECONNECTS {
            let mut stream = open(&bus, Observe::new().from_offset(offset)).await;
            for _ in 0..EACH {
                let item = next(&mut stream).await;
                offset = item.offset + 1;
                numbers.extend(number(&item));
            }
            assert_eq!(stream.next_offset().min(offset), offset, "{name}");
        }
        let mut stream = open(&bus, Observe::new().from_offset(offset)).await;
        numbers.extend(rest(&mut stream).await);
        assert_eq!(
            numbers,
            (0..EACH * (RECONNECTS + 1)).collect::<Vec<_>>(),
            "{name}"
        );
        soon(publisher).await.expect("published");
    }
}

#[tokio::test]
async fn one_stream_goes_on_where_it_was_when_it_is_opened_again() {
    for (name, bus) in buses() {
        for number in 0..10 {
            publish(&bus, delta(number)).await;
        }
        let mut stream = open(&bus, Observe::new()).await;
        for _ in 0..4 {
            next(&mut stream).await;
            stream.reopen().await.expect("opened");
        }
        publish(&bus, finish("end")).await;
        assert_eq!(
            rest(&mut stream).await,
            (4..10).collect::<Vec<_>>(),
            "{name}"
        );
        stream.reopen().await.expect("nothing to do");
        assert!(soon(stream.next()).await.is_none());
        assert_eq!(stream.into_output().text, "end");
    }
}

#[tokio::test]
async fn readers_do_not_notice_each_other() {
    for (name, bus) in buses() {
        let mut slow = open(&bus, Observe::new()).await;
        let dropped = open(&bus, Observe::new()).await;
        let mut fast = open(&bus, Observe::new().discard_output()).await;
        for number in 0..300 {
            publish(&bus, delta(number)).await;
            assert_eq!(
                super::bus::number(&next(&mut fast).await),
                Some(number),
                "{name}"
            );
        }
        drop(dropped);
        assert_eq!(number(&next(&mut slow).await), Some(0), "{name}");
        publish(&bus, finish("end")).await;
        assert!(rest(&mut fast).await.is_empty());
        drop(fast);
        assert_eq!(
            rest(&mut slow).await,
            (1..300).collect::<Vec<_>>(),
            "{name}"
        );
    }
}

#[tokio::test]
async fn giving_up_to_wait_for_an_item_loses_none() {
    for (name, bus) in buses() {
        let mut stream = open(&bus, Observe::new()).await;
        for number in 0..20 {
            let given_up = tokio::time::timeout(Duration::ZERO, stream.next()).await;
            assert!(given_up.is_err(), "{name}");
            publish(&bus, delta(number)).await;
            assert_eq!(
                super::bus::number(&next(&mut stream).await),
                Some(number),
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn what_was_trimmed_is_told_and_reading_goes_on() {
    for (name, bus) in buses() {
        for number in 0..10 {
            publish(&bus, delta(number)).await;
        }
        let trimmed = bus.trim_topic(&Topic::agent_stream(RUN), 6).await;
        trimmed.expect("trimmed");
        let mut stream = open(&bus, Observe::new().from_offset(2)).await;
        let error = failure(&mut stream).await;
        assert_eq!(error.kind(), ErrorKind::NotFound, "{name}");
        let gap = AgentStream::truncated(&error).expect("events are missing");
        assert_eq!(
            gap,
            Truncated {
                wanted: 2,
                first: 6
            }
        );
        assert!(error.to_string().contains("goes on at offset 6"), "{error}");
        assert!(stream.is_open());
        assert_eq!(number(&next(&mut stream).await), Some(6));
        // Without its end, what the run made is not known.
        let suspends = open(&bus, Observe::new().from_offset(2).close_on_suspend()).await;
        publish(
            &bus,
            bowline_agent::chunk::event::Suspended::default().to_event(&RUN.into()),
        )
        .await;
        let error = soon(suspends.collect())
            .await
            .expect_err("something is missing");
        assert!(AgentStream::truncated(&error).is_some());
        publish(&bus, finish("end")).await;
        assert_eq!(
            soon(stream.collect())
                .await
                .expect("the end tells all")
                .text,
            "end"
        );
    }
}

#[tokio::test]
async fn a_stream_that_was_cleared_is_over() {
    for (name, bus) in buses() {
        publish(&bus, delta(0)).await;
        let mut stream = open(&bus, Observe::new()).await;
        next(&mut stream).await;
        bus.clear_topic(&Topic::agent_stream(RUN))
            .await
            .expect("cleared");
        let error = failure(&mut stream).await;
        assert_eq!(error.kind(), ErrorKind::NotFound, "{name}");
        assert_eq!(AgentStream::truncated(&error), None);
        assert!(!stream.is_open());
        assert!(soon(stream.next()).await.is_none());
    }
}

#[tokio::test]
async fn a_bus_that_closes_is_not_the_end_of_the_run() {
    for (name, bus) in buses() {
        publish(&bus, delta(0)).await;
        let mut stream = open(&bus, Observe::new()).await;
        next(&mut stream).await;
        let collecting = open(&bus, Observe::new()).await;
        bus.close().await.expect("closed");
        let error = failure(&mut stream).await;
        assert_eq!(error.kind(), ErrorKind::Closed, "{name}");
        assert!(error.message().contains("offset 1"), "{error}");
        assert!(soon(stream.next()).await.is_none());
        soon(collecting.collect()).await.expect_err("no end");
        let refused = AgentStream::open(&bus, RUN, Observe::new())
            .await
            .expect_err("closed");
        assert_eq!(refused.kind(), ErrorKind::Bus);
        assert_eq!(refused.subject(), Some(RUN));
    }
}

#[tokio::test]
async fn a_reader_may_end_where_the_run_waits() {
    for (name, bus) in buses() {
        let events = events("durable-tool-suspend");
        let (before, after) = events.split_at(9);
        for event in before {
            publish(&bus, event.to_new()).await;
        }
        let stream = open(&bus, Observe::new().close_on_suspend()).await;
        let output = soon(stream.collect()).await.expect("it waits");
        assert!(output.is_suspended(), "{name}");
        let mut resumed = open(&bus, Observe::new().from_offset(9).close_on_suspend()).await;
        let mut stays = open(&bus, Observe::new()).await;
        for _ in 0..9 {
            next(&mut stays).await;
        }
        for event in after {
            publish(&bus, event.to_new()).await;
        }
        assert_eq!(next(&mut resumed).await.offset, 9, "{name}");
        for stream in [stays, resumed] {
            assert_eq!(
                soon(stream.collect()).await.expect("ended").text,
                "hi Bob",
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn a_failure_of_the_run_ends_the_stream() {
    let bus: Arc<dyn PubSub> = Arc::new(CachingPubSub::in_process());
    let failed = Failed {
        error: Failure::new("Error", "no room"),
    };
    publish(&bus, failed.to_event(&RUN.into())).await;
    let output = soon(open(&bus, Observe::new()).await.collect())
        .await
        .expect("ended");
    assert_eq!(output.error, Some(failed.error));
    assert_eq!(output.finish_reason, Some(FinishReason::Error));
    assert_eq!(output.run_id, RUN);
}

#[tokio::test]
async fn an_event_that_makes_no_sense_is_skipped() {
    for (name, bus) in buses() {
        let mut stream = open(&bus, Observe::new()).await;
        publish(
            &bus,
            NewEvent::new("chunk", RUN).with_json("[]").expect("JSON"),
        )
        .await;
        publish(&bus, delta(1)).await;
        assert_eq!(
            failure(&mut stream).await.kind(),
            ErrorKind::Corrupt,
            "{name}"
        );
        assert_eq!(number(&next(&mut stream).await), Some(1));
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_stream_that_nobody_drives() {
    let idle = Duration::from_millis(250);
    let bus: Arc<dyn PubSub> = Arc::new(InProcessPubSub::new());
    let options = [
        Observe::new().idle_timeout(idle),
        Observe::new()
            .idle_timeout(idle)
            .is_alive(|| async { Ok(false) }),
    ];
    for options in options {
        let mut stream = open(&bus, options).await;
        let item = next(&mut stream).await;
        let StreamEvent::Failed(failure) = item.event else {
            panic!("nobody drives it");
        };
        assert_eq!(
            failure.message,
            "Durable agent stream idle for 250ms with no live producer"
        );
        assert!(soon(stream.next()).await.is_none());
        assert_eq!(stream.into_output().error, Some(failure));
    }
}

#[tokio::test(start_paused = true)]
async fn silence_of_a_run_that_is_driven_is_borne() {
    let bus: Arc<dyn PubSub> = Arc::new(InProcessPubSub::new());
    let asked = Arc::new(AtomicUsize::new(0));
    // Alive, unknown, alive, unknown, ... and at last dead.
    let count = Arc::clone(&asked);
    let alive = move || {
        let asked = count.fetch_add(1, Ordering::SeqCst);
        async move {
            match asked {
                10 => Ok(false),
                even if even % 2 == 0 => Ok(true),
                _ => Err(Error::new(ErrorKind::Store, "probe", "away")),
            }
        }
    };
    let options = Observe::new()
        .idle_timeout(Duration::from_secs(1))
        .is_alive(alive);
    let mut stream = open(&bus, options).await;
    let item = next(&mut stream).await;
    assert!(matches!(item.event, StreamEvent::Failed(_)));
    assert_eq!(asked.load(Ordering::SeqCst), 11);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_after_an_event_is_not_heard() {
    let bus: Arc<dyn PubSub> = Arc::new(InProcessPubSub::new());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    // It takes longer to say no than the next event takes to come.
    let alive = move || {
        count.fetch_add(1, Ordering::SeqCst);
        async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Ok(false)
        }
    };
    let options = Observe::new()
        .idle_timeout(Duration::from_secs(1))
        .is_alive(alive);
    let mut stream = open(&bus, options).await;
    for number in 0..3 {
        // It is silent for longer than the timeout, and a probe is under way.
        let waited = tokio::time::timeout(Duration::from_secs(3), stream.next()).await;
        assert!(waited.is_err());
        publish(&bus, delta(number)).await;
        assert_eq!(super::bus::number(&next(&mut stream).await), Some(number));
        assert_eq!(asked.load(Ordering::SeqCst), number + 1);
    }
    publish(&bus, finish("end")).await;
    assert!(next(&mut stream).await.event.is_last());
    assert!(soon(stream.next()).await.is_none());
}

#[tokio::test]
async fn a_bus_that_keeps_nothing_shows_what_is_live() {
    let bus: Arc<dyn PubSub> = Arc::new(InProcessPubSub::builder().no_replay().build());
    publish(&bus, delta(0)).await;
    let mut stream = open(&bus, Observe::new()).await;
    publish(&bus, delta(1)).await;
    publish(&bus, finish("end")).await;
    assert_eq!(rest(&mut stream).await, [1]);
}

#[tokio::test]
async fn a_step_that_is_made_again_is_told_to_every_reader() {
    for (name, bus) in buses() {
        let encoder = Encoder::new(RUN);
        let step = |message: &'static str| {
            encoder.step_start_event(&StepStart {
                message_id: message.into(),
                started_at: None,
                iteration: Some(1),
            })
        };
        let mut early = open(&bus, Observe::new()).await;
        for event in [step("a"), delta(1), step("b"), delta(2), finish("2 ")] {
            publish(&bus, event).await;
        }
        let mut late = open(&bus, Observe::new().from_offset(1)).await;
        for (stream, message) in [(&mut early, Some("a")), (&mut late, None)] {
            let mut void = None;
            while let Some(item) = soon(stream.next()).await {
                if let StreamEvent::StepDiscarded { message_id, .. } = item.expect("no error").event
                {
                    void = Some(message_id);
                }
            }
            assert_eq!(void, Some(message.map(Into::into)), "{name}");
        }
        assert_eq!(early.into_output().text, "2 ");
    }
}

#[tokio::test]
async fn a_reader_asks_whoever_works_on_the_run_to_stop_it() {
    for (name, bus) in buses() {
        let topic = Topic::agent_control(RUN);
        let options = bowline_events::SubscribeOptions::new();
        let mut heard = bus.subscribe(topic, options).await.expect("subscribed");
        let stream = open(&bus, Observe::new()).await;
        stream.request_abort().await.expect("told");
        let word = soon(heard.next()).await.expect("open").expect("an event");
        assert_eq!(word.event_type, "abort-request", "{name}");
        assert_eq!(word.run_id, RUN, "{name}");
        assert!(stream.is_open(), "{name}: the run tells its end itself");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_bus_did_not_bring_is_read_before_a_run_is_given_up() {
    let cache = Arc::new(MemoryCache::new());
    let on = |bus: InProcessPubSub| CachingPubSub::new(Arc::new(bus), Arc::clone(&cache) as _);
    let live = InProcessPubSub::builder().no_replay().build();
    let bus: Arc<dyn PubSub> = Arc::new(on(live));
    // The same history, without a word to those who listen.
    let silent: Arc<dyn PubSub> = Arc::new(on(InProcessPubSub::new()));
    let options = Observe::new()
        .idle_timeout(Duration::from_secs(30))
        .is_alive(|| async { Ok(false) });
    let mut stream = open(&bus, options).await;
    publish(&bus, delta(0)).await;
    assert_eq!(number(&next(&mut stream).await), Some(0));
    publish(&silent, delta(1)).await;
    assert_eq!(number(&next(&mut stream).await), Some(1));
    publish(&silent, delta(2)).await;
    assert_eq!(number(&next(&mut stream).await), Some(2));
    let item = next(&mut stream).await;
    assert!(matches!(item.event, StreamEvent::Failed(_)), "{item:?}");
}
