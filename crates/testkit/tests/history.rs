//! The history checker accepts what a bus may do, and names each thing that it may not.

use bowline_testkit::{Audience, History, Message, Report, Violation};

const TOPIC: &str = "t";
const GROUP: Option<&str> = Some("g");

fn publish(history: &History, numbers: impl IntoIterator<Item = u64>) {
    for n in numbers {
        history.publishing("p", TOPIC, n).resolved();
    }
}

/// A reader without a group is handed messages.
fn read(history: &History, reader: &str, numbers: impl IntoIterator<Item = u64>) {
    for n in numbers {
        history.taken(reader, None, TOPIC, "p", n, 1).acked();
    }
}

fn message(n: u64) -> Message {
    Message {
        topic: TOPIC.into(),
        publisher: "p".into(),
        n,
    }
}

/// A history in which `1..=3` are resolved and expected by the reader `r`.
fn three() -> History {
    let history = History::new();
    history.expect(TOPIC, Audience::reader("r"));
    publish(&history, 1..=3);
    history
}

/// A history in which 1 is resolved and expected by the group `g`.
fn grouped() -> History {
    let history = History::new();
    history.expect(TOPIC, Audience::group("g"));
    publish(&history, [1]);
    history
}

#[track_caller]
fn only(history: &History, violation: Violation) -> Report {
    let report = history.check();
    assert_eq!(report.violations, [violation], "{report}");
    report
}

#[test]
fn everything_in_order_is_clean() {
    let history = three();
    history.expect(TOPIC, Audience::group("g"));
    history.publishing("q", "another", 1).resolved();
    read(&history, "r", 1..=3);
    for n in 1..=3 {
        history.taken("w", GROUP, TOPIC, "p", n, 1).acked();
    }
    let report = history.check();
    report.assert_clean();
    assert_eq!((report.expected, report.lost, report.doubled), (6, 0, 0));
}

#[test]
fn a_resolved_message_that_never_comes_is_lost() {
    let history = three();
    // What comes to another reader does not count.
    read(&history, "other", [2]);
    read(&history, "r", [1, 3]);
    let lost = Violation::Lost {
        message: message(2),
        audience: Audience::reader("r"),
    };
    assert_eq!(only(&history, lost).lost, 1);
    history.allow_losses();
    let report = history.check();
    report.assert_clean();
    assert_eq!((report.expected, report.lost), (3, 1));
}

#[test]
fn a_message_of_unknown_fate_may_come_or_not_and_at_any_time() {
    let history = three();
    for n in 4..=6 {
        history.publishing("p", TOPIC, n).unknown();
    }
    // Its outcome was never told.
    drop(history.publishing("p", TOPIC, 7));
    publish(&history, [8]);
    read(&history, "r", [1, 2, 3, 8, 5, 4, 5]);
    let report = history.check();
    report.assert_clean();
    assert_eq!((report.lost, report.doubled), (0, 1));
}

#[test]
fn a_publish_that_is_repeated_until_it_is_resolved_must_arrive() {
    let history = three();
    history.publishing("p", TOPIC, 4).unknown();
    history.publishing("p", TOPIC, 4).failed();
    history.publishing("p", TOPIC, 4).resolved();
    history.publishing("p", TOPIC, 4).failed();
    read(&history, "r", 1..=3);
    let lost = Violation::Lost {
        message: message(4),
        audience: Audience::reader("r"),
    };
    only(&history, lost);
    // The attempt of unknown fate may have left a copy.
    read(&history, "r", [4, 4]);
    let report = history.check();
    report.assert_clean();
    assert_eq!(report.doubled, 1);
}

#[test]
fn what_was_refused_or_never_published_is_a_phantom() {
    for refused in [true, false] {
        let history = three();
        if refused {
            history.publishing("p", TOPIC, 9).failed();
        }
        read(&history, "r", [1, 2, 3, 9]);
        let phantom = Violation::Phantom {
            message: message(9),
            reader: "r".into(),
        };
        only(&history, phantom);
    }
}

#[test]
fn an_earlier_message_after_a_later_one_is_out_of_order() {
    let history = three();
    read(&history, "r", [1, 3, 2]);
    let violation = Violation::OutOfOrder {
        message: message(2),
        after: 3,
        reader: "r".into(),
    };
    only(&history, violation);
}

#[test]
fn members_of_a_group_are_in_order_each_for_itself_and_on_the_first_attempt() {
    let history = History::new();
    publish(&history, 1..=4);
    for (reader, n, attempt) in [("a", 2, 1), ("b", 1, 1), ("b", 4, 1), ("b", 3, 2)] {
        history.taken(reader, GROUP, TOPIC, "p", n, attempt).acked();
    }
    history.check().assert_clean();
    history.taken("b", GROUP, TOPIC, "p", 3, 1).acked();
    history.check().assert_clean();
    history.taken("a", GROUP, TOPIC, "p", 1, 2).acked();
    history.check().assert_clean();
    publish(&history, [0]);
    history.taken("b", GROUP, TOPIC, "p", 0, 1).acked();
    let violation = Violation::OutOfOrder {
        message: message(0),
        after: 4,
        reader: "b".into(),
    };
    only(&history, violation);
}

#[test]
fn topics_and_publishers_have_orders_of_their_own() {
    let history = History::new();
    for (publisher, topic, n) in [("p", "t", 2), ("q", "t", 1), ("p", "u", 1)] {
        history.publishing(publisher, topic, n).resolved();
        history.taken("r", None, topic, publisher, n, 1).acked();
    }
    history.check().assert_clean();
}

#[test]
fn a_first_attempt_that_comes_twice_is_a_duplicate_unless_that_is_allowed() {
    let history = three();
    read(&history, "r", [1, 2, 1, 3]);
    let duplicate = Violation::Duplicate {
        message: message(1),
        audience: Audience::reader("r"),
    };
    assert_eq!(only(&history, duplicate).doubled, 1);
    history.allow_duplicates();
    let report = history.check();
    report.assert_clean();
    assert_eq!(report.doubled, 1);
}

#[test]
fn a_later_attempt_is_no_duplicate_and_is_counted() {
    let history = grouped();
    history.taken("a", GROUP, TOPIC, "p", 1, 1).released();
    history.taken("b", GROUP, TOPIC, "p", 1, 2).acked();
    let report = history.check();
    report.assert_clean();
    assert_eq!(report.doubled, 1);
}

#[test]
fn a_message_of_a_group_must_be_acknowledged_in_the_end() {
    let history = grouped();
    history.taken("a", GROUP, TOPIC, "p", 1, 1).released();
    let unsettled = Violation::Unsettled {
        message: message(1),
        audience: Audience::group("g"),
    };
    only(&history, unsettled);
}

#[test]
fn no_message_is_in_two_live_hands() {
    let history = grouped();
    let first = history.taken("a", GROUP, TOPIC, "p", 1, 1);
    // This one is in nobody's way: it belongs to another group.
    history.taken("x", Some("h"), TOPIC, "p", 1, 1).acked();
    let second = history.taken("b", GROUP, TOPIC, "p", 1, 2);
    second.acked();
    // The first hand outlives the second, and is in the way of the third as well.
    let third = history.taken("c", GROUP, TOPIC, "p", 1, 3);
    first.acked();
    third.acked();
    let two_hands = |second: &str| Violation::TwoHands {
        message: message(1),
        audience: Audience::group("g"),
        readers: ["a".into(), second.into()],
    };
    assert_eq!(history.check().violations, [two_hands("b"), two_hands("c")]);
}

#[test]
fn the_hand_of_a_reader_that_is_gone_is_not_live() {
    for (gone, clean) in [("a", true), ("b", false)] {
        let history = grouped();
        let _hand = history.taken("a", GROUP, TOPIC, "p", 1, 1);
        history.gone(gone);
        history.taken("c", GROUP, TOPIC, "p", 1, 2).acked();
        assert_eq!(history.check().violations.is_empty(), clean);
    }
}

#[test]
fn ungrouped_readers_hold_what_they_like() {
    let history = three();
    let hands: Vec<_> = (1..=3)
        .flat_map(|n| ["r", "s"].map(|reader| history.taken(reader, None, TOPIC, "p", n, 1)))
        .collect();
    history.check().assert_clean();
    drop(hands);
    history.check().assert_clean();
}

#[test]
#[should_panic(
    expected = "1 violations; of 3 expected 1 lost, 0 doubled\n  3 of p on t never came to reader r"
)]
fn the_report_says_what_happened() {
    let history = three();
    read(&history, "r", 1..=2);
    history.check().assert_clean();
}
