use super::*;

use super::super::record::{RunCompleted, RunFailed, RunRef, RunRegistered, StreamPart};

fn registered(run: &str, stream: &str) -> ThreadRecord {
    ThreadRecord::Registered(RunRegistered {
        run_id: run.to_owned().into(),
        stream_id: stream.to_owned().into(),
        stream_seq: 1,
        source_id: None,
    })
}

fn part(run: &str, stream: &str, text: &str) -> ThreadRecord {
    ThreadRecord::Part(StreamPart {
        run_id: run.to_owned().into(),
        stream_id: stream.to_owned().into(),
        part: RawChunk::read(format!(r#"{{"type":"{text}"}}"#)).unwrap(),
        source_id: None,
    })
}

fn this(run: &str, stream: &str) -> RunRef {
    RunRef {
        run_id: run.to_owned().into(),
        stream_id: Some(stream.to_owned().into()),
    }
}

fn completed(run: &str, stream: &str, persisted: Option<bool>) -> ThreadRecord {
    let RunRef { run_id, stream_id } = this(run, stream);
    ThreadRecord::Completed(RunCompleted {
        run_id,
        stream_id,
        persisted,
    })
}

fn shown(timeline: &mut Timeline) -> Vec<String> {
    std::iter::from_fn(|| timeline.next())
        .map(|it| match it.event {
            ThreadEvent::Part(part) => format!("{} {}", it.run_id, part.kind()),
            event => format!("{} {event:?}", it.run_id),
        })
        .collect()
}

#[test]
fn runs_are_shown_whole_and_in_the_order_in_which_they_began() {
    let mut it = Timeline::default();
    for record in [
        registered("a", "1"),
        part("a", "1", "x"),
        registered("b", "2"),
        part("b", "2", "y"),
        completed("b", "2", Some(true)),
        part("a", "1", "z"),
    ] {
        it.take(record, Holds::Yes);
    }
    assert_eq!(shown(&mut it), ["a Began", "a x", "a z"]);
    it.take(completed("a", "1", Some(true)), Holds::Yes);
    let rest = ["a Completed", "b Began", "b y", "b Completed"];
    assert_eq!(shown(&mut it), rest);
    assert_eq!(it.bytes(), 0);
    it.take(part("a", "1", "late"), Holds::Yes);
    assert_eq!(shown(&mut it), [""; 0]);
}

#[test]
fn an_echo_of_the_past_is_shown_only_when_it_is_proved() {
    for (persisted, last, proved) in [
        (Some(true), "x", true),
        (Some(false), "finish", false),
        (None, "finish", true),
        (None, "x", false),
    ] {
        let mut it = Timeline::default();
        it.take(registered("a", "1"), Holds::No);
        it.take(part("a", "1", last), Holds::No);
        assert_eq!(shown(&mut it), [""; 0]);
        it.take(completed("a", "1", persisted), Holds::No);
        assert_eq!(!shown(&mut it).is_empty(), proved, "{persisted:?} {last}");
        assert_eq!(it.bytes(), 0);
    }
}

#[test]
fn a_run_that_waited_goes_on_in_the_same_telling() {
    let mut it = Timeline::default();
    it.take(registered("a", "1"), Holds::Yes);
    it.take(part("a", "1", "x"), Holds::Yes);
    it.take(ThreadRecord::Suspended(this("a", "1")), Holds::Yes);
    it.take(part("a", "1", "y"), Holds::Yes);
    it.take(completed("a", "1", Some(true)), Holds::Yes);
    let all = [
        "a Began",
        "a x",
        "a Suspended",
        "a Began",
        "a y",
        "a Completed",
    ];
    assert_eq!(shown(&mut it), all);
}

#[test]
fn the_end_of_a_run_that_waited_is_shown_though_it_holds_the_thread_no_more() {
    for with_part in [true, false] {
        let mut it = Timeline::default();
        it.take(registered("a", "1"), Holds::Yes);
        it.take(ThreadRecord::Suspended(this("a", "1")), Holds::Yes);
        assert_eq!(shown(&mut it), ["a Began", "a Suspended"]);
        if with_part {
            it.take(part("a", "1", "finish"), Holds::No);
        }
        it.take(ThreadRecord::Aborted(this("a", "1")), Holds::No);
        let told = shown(&mut it);
        assert_eq!(
            told.first().map(String::as_str),
            Some("a Began"),
            "{told:?}"
        );
        assert_eq!(
            told.last().map(String::as_str),
            Some("a Aborted"),
            "{told:?}"
        );
    }
}

#[test]
fn what_is_discarded_is_not_shown_or_taken_back() {
    let mut it = Timeline::default();
    it.take(registered("a", "1"), Holds::Yes);
    it.take(part("a", "1", "x"), Holds::Yes);
    it.take(ThreadRecord::Discarded(this("a", "1")), Holds::Yes);
    assert_eq!(shown(&mut it), [""; 0]);
    it.take(registered("a", "2"), Holds::Yes);
    it.take(part("a", "2", "x"), Holds::Yes);
    assert_eq!(shown(&mut it), ["a Began", "a x"]);
    it.take(ThreadRecord::Discarded(this("a", "2")), Holds::Yes);
    assert_eq!(shown(&mut it), ["a Discarded"]);
}

#[test]
fn a_run_whose_lease_is_gone_twice_in_a_row_is_lost() {
    let mut it = Timeline::default();
    it.take(registered("a", "1"), Holds::Yes);
    it.held_by(None);
    it.take(part("a", "1", "x"), Holds::Yes);
    it.held_by(None);
    it.held_by(Some(&"a".into()));
    it.held_by(Some(&"b".into()));
    assert_eq!(shown(&mut it), ["a Began", "a x"]);
    it.held_by(None);
    assert_eq!(shown(&mut it), ["a Lost"]);
    assert!(!it.wants_owner());
}

#[test]
fn a_run_that_was_lost_goes_on_when_it_is_told_again() {
    let lost = || {
        let mut it = Timeline::default();
        it.take(registered("a", "1"), Holds::Yes);
        it.take(part("a", "1", "x"), Holds::Yes);
        it.held_by(None);
        it.held_by(None);
        it
    };
    let mut it = lost();
    assert_eq!(shown(&mut it), ["a Began", "a x", "a Lost"]);
    it.take(part("a", "1", "y"), Holds::No);
    it.take(completed("a", "1", Some(true)), Holds::No);
    assert_eq!(shown(&mut it), ["a Began", "a y", "a Completed"]);
    // It comes back before its loss was read.
    let mut it = lost();
    it.take(part("a", "1", "y"), Holds::Yes);
    let all = ["a Began", "a x", "a Lost", "a Began", "a y"];
    assert_eq!(shown(&mut it), all);
    let mut it = lost();
    shown(&mut it);
    it.take(ThreadRecord::Discarded(this("a", "1")), Holds::No);
    it.take(part("a", "1", "late"), Holds::No);
    assert_eq!(shown(&mut it), ["a Discarded"]);
}

#[test]
fn a_run_that_never_held_a_lease_is_not_lost() {
    let mut it = Timeline::default();
    it.take(registered("a", "1"), Holds::Unknown);
    for _ in 0..3 {
        it.held_by(None);
    }
    assert_eq!(shown(&mut it), ["a Began"]);
}

#[test]
fn a_run_that_fails_before_it_is_told_is_shown() {
    let mut it = Timeline::default();
    let RunRef { run_id, stream_id } = this("a", "1");
    it.take(
        ThreadRecord::Failed(RunFailed {
            run_id,
            stream_id,
            error: "no".into(),
        }),
        Holds::Yes,
    );
    assert_eq!(shown(&mut it), ["a Began", "a Failed(\"no\")"]);
}
