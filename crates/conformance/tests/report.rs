//! The report of `run_all`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bowline_conformance::{CLAUSES, Fixture, Participants, run_all};
use bowline_events::{
    Capabilities, Error, ErrorKind, InProcessPubSub, NewEvent, OpFuture, PubSub, PublishOptions,
    Published, SubscribeOptions, Subscription, Topic,
};

/// A fixture whose connecting is the given function.
struct Connects(fn() -> OpFuture<'static, Participants>);

impl Fixture for Connects {
    fn name(&self) -> &str {
        "connects"
    }

    fn connect(&self) -> OpFuture<'_, Participants> {
        (self.0)()
    }
}

/// A bus that can do nothing but what every bus can.
struct Bare(InProcessPubSub);

impl PubSub for Bare {
    fn publish_with<'a>(
        &'a self,
        topic: &'a Topic,
        event: NewEvent,
        options: PublishOptions,
    ) -> OpFuture<'a, Published> {
        self.0.publish_with(topic, event, options)
    }

    fn subscribe_with<'a>(
        &'a self,
        topic: &'a Topic,
        options: SubscribeOptions,
    ) -> OpFuture<'a, Subscription> {
        self.0.subscribe_with(topic, options)
    }

    fn flush(&self) -> OpFuture<'_, ()> {
        self.0.flush()
    }

    fn close(&self) -> OpFuture<'_, ()> {
        self.0.close()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            name: "bare",
            replay: false,
            groups: false,
            group_redelivery: false,
            group_redelivery_moves: false,
            leases: false,
            local_only: false,
            batching: false,
            clear: false,
            list_topics: false,
            ..self.0.capabilities()
        }
    }
}

impl fmt::Debug for Bare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bare")
    }
}

#[tokio::test]
async fn a_backend_that_does_not_start_violates_everything() {
    let report = run_all(&Connects(|| {
        let down = Error::new(ErrorKind::Unavailable, "connect", "the server is down");
        OpFuture::ready(Err(down))
    }))
    .await;
    assert!(!report.is_conformant());
    assert_eq!(report.violations().count(), CLAUSES.len());
    assert!(
        report
            .violations()
            .all(|(_, message)| message.contains("the server is down"))
    );
    let text = report.to_string();
    assert!(text.ends_with(&format!(
        "connects: 0 fulfilled, {} violated, 0 not applicable",
        CLAUSES.len()
    )));
    assert!(text.contains("FAIL  fan_out::fan_out_reaches_every_subscriber: "));
}

#[tokio::test]
async fn a_panic_is_a_violation_and_the_suite_goes_on() {
    let report = run_all(&Connects(|| std::panic::resume_unwind(Box::new("boom")))).await;
    assert_eq!(report.violations().count(), CLAUSES.len());
    assert!(
        report
            .violations()
            .all(|(_, message)| message == "panicked: boom")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_declared_is_not_counted_as_fulfilled() {
    let report = run_all(&Connects(|| {
        let bus = Bare(InProcessPubSub::new());
        OpFuture::ready(Ok(Participants::one(Arc::new(bus))))
    }))
    .await;
    assert!(report.is_conformant(), "{report}");
    let missing: BTreeMap<_, _> = report.not_applicable().collect();
    for (clause, capability) in [
        ("start::an_offset_begins_there", "replay"),
        ("groups::every_group_gets_every_event", "groups"),
        ("leases::one_of_many_wins", "leases"),
        ("batching::size_hands_over", "batching"),
        ("retention::an_attached_reader_is_told_of_a_clear", "clear"),
        ("topics::topics_are_listed", "list_topics"),
        ("local::local_only_reaches_this_process", "local_only"),
        ("local::local_only_stays_in_the_process", "local_only"),
    ] {
        assert_eq!(missing.get(clause), Some(&capability), "{clause}");
    }
    assert_eq!(report.fulfilled().count() + missing.len(), CLAUSES.len());
    assert!(
        report
            .fulfilled()
            .any(|name| name == "retention::without_replay_there_is_no_history")
    );
    assert!(
        report
            .to_string()
            .contains("-     leases::one_of_many_wins: not applicable: leases")
    );
}
