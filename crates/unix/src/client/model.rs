//! The send window and the membership table against naive models.

use std::collections::VecDeque;

use bowline_events::{Text, Topic};
use proptest::prelude::*;

use super::{Acknowledged, Chunk, Ending, Memberships, Window};
use crate::broker::Membership;
use crate::frame::Kind;

#[derive(Debug, Clone)]
enum WindowOp {
    Publish(usize),
    /// Encoding fails half-way.
    Fail,
    Control,
    Take,
    Write(usize),
    Disconnect,
    /// The connection breaks and the last bytes, this many of the last frame at least, were never read.
    Reset(usize),
}

fn window_op() -> impl Strategy<Value = WindowOp> {
    prop_oneof![
        6 => (0usize..60).prop_map(WindowOp::Publish),
        1 => Just(WindowOp::Fail),
        1 => Just(WindowOp::Control),
        3 => Just(WindowOp::Take),
        4 => (0usize..90).prop_map(WindowOp::Write),
        1 => Just(WindowOp::Disconnect),
        1 => (1usize..9).prop_map(WindowOp::Reset),
    ]
}

/// What one connection carried.
#[derive(Default)]
struct Wire {
    bytes: Vec<u8>,
    frames: Vec<Vec<u8>>,
}

impl Wire {
    /// The last `bytes`, up to a whole frame, stay unread: the frame that they belong to has not come.
    fn unread(&mut self, bytes: usize) {
        if self.bytes.is_empty() && bytes > 0 {
            self.frames.pop();
        }
        self.bytes.clear();
    }

    fn write(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        while let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
            self.frames.push(self.bytes.drain(..=end).collect());
        }
    }
}

fn frame_number(frame: &[u8]) -> u64 {
    let text = std::str::from_utf8(frame).expect("ASCII");
    text.trim_end_matches("}\n")
        .rsplit(':')
        .next()
        .and_then(|digits| digits.parse().ok())
        .expect("a number")
}

/// A frame that ends as publish frames do.
fn numbered(number: u64, size: usize) -> Vec<u8> {
    format!("p{}:{number}}}\n", "x".repeat(size)).into_bytes()
}

#[derive(Debug, Clone)]
enum BrokerOp {
    Publish(usize),
    Write(usize),
    /// The broker routes this many frames of those that it got.
    Route(usize),
    Confirm,
    /// It dies, and the next one comes.
    Die,
}

fn broker_op() -> impl Strategy<Value = BrokerOp> {
    prop_oneof![
        6 => (0usize..60).prop_map(BrokerOp::Publish),
        5 => (0usize..200).prop_map(BrokerOp::Write),
        4 => (0usize..6).prop_map(BrokerOp::Route),
        3 => Just(BrokerOp::Confirm),
        1 => Just(BrokerOp::Die),
    ]
}

proptest! {
    #[test]
    fn brokers_that_confirm_lose_nothing_and_double_only_what_they_had_not_confirmed(
        ops in proptest::collection::vec(broker_op(), 0..200),
    ) {
        let mut window = Window::new(usize::MAX);
        let mut wire = Wire::default();
        let mut held: Option<Chunk> = None;
        let (mut published, mut confirmed) = (0, 0);
        // What all brokers together routed, and what the present one did.
        let (mut routed, mut here): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
        let mut gave_up = false;
        window.connected();
        window.greeted(true);
        for op in ops {
            match op {
                BrokerOp::Publish(size) => {
                    published += 1;
                    let frame = numbered(published, size);
                    window.publish(|out| { out.extend_from_slice(&frame); Ok::<(), ()>(()) }).unwrap();
                }
                BrokerOp::Write(bytes) => {
                    if let Some(mut chunk) = held.take().or_else(|| window.take()) {
                        let length = bytes.min(chunk.rest().len());
                        wire.write(&chunk.rest()[..length]);
                        chunk.advance(length);
                        if chunk.is_done() { window.finished(chunk) } else { held = Some(chunk) }
                    }
                }
                BrokerOp::Route(count) => {
                    for frame in wire.frames.drain(..count.min(wire.frames.len())) {
                        let number = frame_number(&frame);
                        prop_assert!(number > confirmed, "{} was confirmed and came again", number);
                        here.push(number);
                    }
                }
                BrokerOp::Confirm => {
                    if let Some(last) = here.last() {
                        confirmed = *last;
                        window.confirmed(confirmed);
                    }
                }
                BrokerOp::Die => {
                    if let Some(chunk) = held.take() {
                        window.put_back(chunk);
                    }
                    let all_read = wire.frames.is_empty() && wire.bytes.is_empty();
                    let left = window.disconnected(if all_read { Ending::Closed } else { Ending::Unread });
                    gave_up |= left.given_up;
                    window.connected();
                    prop_assert!(window.take().is_none(), "frames wait for the greeting");
                    window.greeted(true);
                    wire = Wire::default();
                    routed.append(&mut here);
                }
            }
        }
        routed.append(&mut here);
        prop_assume!(!gave_up);
        for frame in wire.frames {
            routed.push(frame_number(&frame));
        }
        if let Some(chunk) = held.take() {
            window.put_back(chunk);
        }
        let mut rest = Wire::default();
        window.drain().for_each(|chunk| rest.write(&chunk));
        routed.extend(rest.frames.iter().map(|frame| frame_number(frame)));
        let mut seen = std::collections::HashSet::new();
        routed.retain(|number| seen.insert(*number));
        prop_assert_eq!(routed, (1..=published).collect::<Vec<_>>());
    }

    #[test]
    fn every_frame_is_carried_once_and_in_order_whatever_breaks(
        ops in proptest::collection::vec(window_op(), 0..200),
    ) {
        let mut window = Window::new(500);
        let mut expected: VecDeque<Vec<u8>> = VecDeque::new();
        let mut carried: Vec<Vec<u8>> = Vec::new();
        let mut wire = Wire::default();
        let mut held: Option<Chunk> = None;
        let mut number: u64 = 0;
        let mut endings = 0;
        for op in ops {
            match op {
                WindowOp::Publish(size) => {
                    number += 1;
                    let frame = numbered(number, size);
                    window.publish(|out| { out.extend_from_slice(&frame); Ok::<(), ()>(()) }).unwrap();
                    expected.push_back(frame);
                }
                WindowOp::Fail => {
                    let failed = window.publish(|out| { out.extend_from_slice(b"half"); Err(()) });
                    prop_assert!(failed.is_err());
                }
                WindowOp::Control => window.control(b"control\n".to_vec()),
                WindowOp::Take => held = held.or_else(|| window.take()),
                WindowOp::Write(bytes) => {
                    if let Some(mut chunk) = held.take() {
                        let length = bytes.min(chunk.rest().len());
                        wire.write(&chunk.rest()[..length]);
                        chunk.advance(length);
                        if chunk.is_done() { window.finished(chunk) } else { held = Some(chunk) }
                    }
                }
                WindowOp::Disconnect | WindowOp::Reset(_) => {
                    if let Some(chunk) = held.take() {
                        window.put_back(chunk);
                    }
                    let left = match op {
                        WindowOp::Reset(bytes) => {
                            wire.unread(bytes);
                            window.disconnected(Ending::Unread)
                        }
                        _ => window.disconnected(Ending::Closed),
                    };
                    // The part of a frame that was read is thrown away by whoever read it.
                    wire.bytes.clear();
                    carried.extend(wire.frames.drain(..).filter(|frame| frame[0] == b'p'));
                    endings += 1;
                    if left.given_up {
                        prop_assert!(endings >= 4, "given up after {} endings", endings);
                        expected.remove(carried.len());
                        endings = 0;
                    }
                    prop_assert_eq!(left.frames, expected.len() - carried.len());
                }
            }
        }
        if let Some(chunk) = held.take() {
            window.put_back(chunk);
        }
        wire.frames.drain(..).filter(|frame| frame[0] == b'p').for_each(|frame| carried.push(frame));
        let rest: Vec<u8> = window.drain().flatten().collect();
        let mut last = Wire::default();
        last.write(&rest);
        carried.extend(last.frames);
        prop_assert_eq!(carried, Vec::from(expected));
        prop_assert!(window.is_empty() && window.has_room());
    }

    #[test]
    fn the_table_tells_the_broker_of_first_and_last_subscribers_and_nothing_else(
        ops in proptest::collection::vec((0u8..5, 0u8..3), 0..100),
    ) {
        let mut table = Memberships::default();
        let mut counts = [0usize; 3];
        let mut order: Vec<u8> = Vec::new();
        // Requests on the wire, oldest first.
        let mut wire: VecDeque<(Kind, u8)> = VecDeque::new();
        for (op, topic) in ops {
            let membership = of(topic);
            let count = &mut counts[usize::from(topic)];
            match op {
                0 | 1 => {
                    *count += 1;
                    prop_assert_eq!(table.join(&membership), *count == 1);
                    if *count == 1 {
                        order.push(topic);
                        table.requested(Kind::Subscribe, &membership);
                        wire.push_back((Kind::Subscribe, topic));
                    }
                }
                2 => {
                    let last = *count == 1;
                    *count = count.saturating_sub(1);
                    prop_assert_eq!(table.leave(&membership), last);
                    if last {
                        order.retain(|other| *other != topic);
                        table.requested(Kind::Unsubscribe, &membership);
                        wire.push_back((Kind::Unsubscribe, topic));
                    }
                }
                3 => {
                    if let Some((kind, topic)) = wire.pop_front() {
                        let answer = if kind == Kind::Subscribe { Kind::Subscribed } else { Kind::Unsubscribed };
                        prop_assert_eq!(table.acknowledged(answer, &of(topic)), Acknowledged::Expected);
                    }
                }
                _ => {
                    let active = table.reconnected();
                    let names: Vec<_> = order.iter().map(|topic| of(*topic)).collect();
                    prop_assert_eq!(active, names);
                    wire = order.iter().map(|topic| (Kind::Subscribe, *topic)).collect();
                }
            }
            for topic in 0..3 {
                let subscribed = counts[usize::from(topic)] > 0;
                prop_assert_eq!(table.is_active(&of(topic)), subscribed);
                let outstanding = wire.contains(&(Kind::Subscribe, topic));
                if subscribed {
                    prop_assert_eq!(table.is_confirmed(&of(topic)), !outstanding);
                }
                prop_assert_eq!(table.is_left(&of(topic)), !wire.contains(&(Kind::Unsubscribe, topic)));
            }
        }
        while let Some((kind, topic)) = wire.pop_front() {
            let answer = if kind == Kind::Subscribe { Kind::Subscribed } else { Kind::Unsubscribed };
            table.acknowledged(answer, &of(topic));
        }
        for topic in 0..3 {
            prop_assert_eq!(table.acknowledged(Kind::Subscribed, &of(topic)), Acknowledged::Unexpected);
        }
    }
}

fn of(topic: u8) -> Membership {
    Membership {
        topic: Topic::from(format!("t{topic}")),
        group: Some(Text::from("g")),
    }
}
