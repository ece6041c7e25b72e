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

proptest! {
    #[test]
    fn every_frame_is_carried_once_and_in_order_whatever_breaks(
        ops in proptest::collection::vec(window_op(), 0..200),
    ) {
        let mut window = Window::new(500);
        let mut expected: VecDeque<Vec<u8>> = VecDeque::new();
        let mut carried: Vec<Vec<u8>> = Vec::new();
        let mut wire = Wire::default();
        let mut held: Option<Chunk> = None;
        let mut number = 0;
        let mut endings = 0;
        for op in ops {
            match op {
                WindowOp::Publish(size) => {
                    number += 1;
                    let frame = format!("p{number}{}\n", "x".repeat(size)).into_bytes();
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
                prop_assert_eq!(table.number(&of(topic)).is_some(), subscribed);
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
