//! The routing core against a naive model of the same rules.

use std::collections::HashMap;
use std::time::Instant;

use bowline_events::{NewEvent, Text, Topic};
use bytes::Bytes;
use proptest::prelude::*;

use super::{Broker, ClientId, Limits, Membership, Outputs};
use crate::event;
use crate::frame::{Frame, Kind, write_membership};
use crate::line::lines;
use crate::stamp::Now;

#[derive(Debug, Clone)]
enum Op {
    Connect,
    Disconnect(usize),
    Subscribe(usize, u8, Option<u8>),
    Unsubscribe(usize, u8, Option<u8>),
    Publish(usize, u8),
    JoinLocal(u8, Option<u8>),
    LeaveLocal(u8, Option<u8>),
    PublishOwn(u8),
    /// The clients read what is there, at most this many bytes each.
    Write(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let topic = 0u8..3;
    let group = || proptest::option::of(0u8..3);
    let client = 0usize..6;
    prop_oneof![
        2 => Just(Op::Connect),
        1 => client.clone().prop_map(Op::Disconnect),
        4 => (client.clone(), topic.clone(), group()).prop_map(|(c, t, g)| Op::Subscribe(c, t, g)),
        2 => (client.clone(), topic.clone(), group()).prop_map(|(c, t, g)| Op::Unsubscribe(c, t, g)),
        6 => (client, topic.clone()).prop_map(|(c, t)| Op::Publish(c, t)),
        1 => (topic.clone(), group()).prop_map(|(t, g)| Op::JoinLocal(t, g)),
        1 => (topic.clone(), group()).prop_map(|(t, g)| Op::LeaveLocal(t, g)),
        3 => topic.prop_map(Op::PublishOwn),
        2 => (0usize..600).prop_map(Op::Write),
    ]
}

fn name(group: Option<u8>) -> Option<String> {
    group.map(|group| format!("g{group}"))
}

fn membership(topic: u8, group: Option<u8>) -> Membership {
    Membership {
        topic: Topic::from(format!("t{topic}")),
        group: name(group).map(Text::from),
    }
}

/// A participant of the model; 0 is the broker itself, the others are numbered as they connect.
#[derive(Debug, Default)]
struct Participant {
    /// In order of joining.
    memberships: Vec<(u64, u8, Option<u8>)>,
    frames: Vec<String>,
}

/// Lists instead of tables, searched anew for every event.
#[derive(Debug, Default)]
struct Model {
    participants: Vec<(usize, Participant)>,
    cursors: HashMap<(u8, u8), usize>,
    joined: u64,
}

impl Model {
    fn of(&mut self, id: usize) -> &mut Participant {
        let found = self.participants.iter_mut().find(|(other, _)| *other == id);
        &mut found.expect("only connected clients are asked for").1
    }

    fn join(&mut self, id: usize, topic: u8, group: Option<u8>) {
        self.joined += 1;
        let joined = self.joined;
        let memberships = &mut self.of(id).memberships;
        if !memberships
            .iter()
            .any(|(_, t, g)| (*t, *g) == (topic, group))
        {
            memberships.push((joined, topic, group));
        }
    }

    fn leave(&mut self, id: usize, topic: u8, group: Option<u8>) {
        self.of(id)
            .memberships
            .retain(|(_, t, g)| (*t, *g) != (topic, group));
        self.forget_empty_groups();
    }

    fn forget_empty_groups(&mut self) {
        let participants = &self.participants;
        self.cursors.retain(|(topic, group), _| {
            participants.iter().any(|(_, participant)| {
                participant
                    .memberships
                    .iter()
                    .any(|(_, t, g)| (*t, *g) == (*topic, Some(*group)))
            })
        });
    }

    fn publish(&mut self, topic: u8, number: usize) {
        let mut groups: Vec<u8> = Vec::new();
        for (_, participant) in &mut self.participants {
            for (_, t, group) in participant.memberships.clone() {
                match group {
                    _ if t != topic => {}
                    None => participant
                        .frames
                        .push(format!("event t{topic} - {number}")),
                    Some(group) if !groups.contains(&group) => groups.push(group),
                    Some(_) => {}
                }
            }
        }
        for group in groups {
            let holds = |participant: &Participant| {
                participant
                    .memberships
                    .iter()
                    .any(|(_, t, g)| (*t, *g) == (topic, Some(group)))
            };
            let members: Vec<usize> = self
                .participants
                .iter()
                .filter(|(_, participant)| holds(participant))
                .map(|(id, _)| *id)
                .collect();
            let cursor = self.cursors.entry((topic, group)).or_default();
            let chosen = *cursor % members.len();
            *cursor = (chosen + 1) % members.len();
            self.of(members[chosen])
                .frames
                .push(format!("event t{topic} g{group} {number}"));
        }
    }
}

/// The core with what its clients have read.
struct Subject {
    broker: Broker,
    clients: Vec<Option<ClientId>>,
    read: Vec<Vec<u8>>,
    local: Vec<String>,
    published: usize,
    kicked: Vec<ClientId>,
}

impl Subject {
    fn new(queue: usize) -> Self {
        Self {
            broker: Broker::new(Limits {
                frame: 1 << 20,
                queue,
                high_watermark: queue / 2,
            }),
            clients: Vec::new(),
            read: Vec::new(),
            local: Vec::new(),
            published: 0,
            kicked: Vec::new(),
        }
    }

    /// The connected client that an operation means.
    fn pick(&self, client: usize) -> Option<usize> {
        let connected: Vec<usize> = (0..self.clients.len())
            .filter(|at| self.clients[*at].is_some())
            .collect();
        (!connected.is_empty()).then(|| connected[client % connected.len()])
    }

    fn line(&mut self, client: usize, line: Vec<u8>) {
        let Some(id) = self.clients[client] else {
            return;
        };
        let block = Bytes::from(line);
        let mut out = Outputs::default();
        for line in lines(&block) {
            self.broker.line(id, &block, line, Now::read(), &mut out);
        }
        self.collect(out);
    }

    fn collect(&mut self, out: Outputs) {
        for event in out.local {
            let group = event.group.as_deref().unwrap_or("-").to_owned();
            self.local.push(format!(
                "event {} {group} {}",
                event.topic, event.event.event_type
            ));
        }
        for id in out.kicked {
            self.kicked.push(id);
            for client in &mut self.clients {
                client.take_if(|other| *other == id);
            }
        }
    }

    /// Every client reads up to `bytes`.
    fn write(&mut self, bytes: usize) {
        self.broker.finish();
        for (at, id) in self.clients.iter().enumerate() {
            let Some(id) = *id else { continue };
            let Some(mut queue) = self.broker.take(id) else {
                continue;
            };
            assert!(self.broker.take(id).is_none(), "one writer at a time");
            let mut written = 0;
            while let Some(front) = queue.front_mut() {
                let part = front.split_to(front.len().min(bytes - written));
                written += part.len();
                self.read[at].extend_from_slice(&part);
                if !front.is_empty() {
                    break;
                }
                queue.pop_front();
            }
            self.broker.give_back(id, written, queue, Instant::now());
        }
    }

    fn frames(&self, client: usize) -> Vec<String> {
        let block = &self.read[client];
        lines(block)
            .map(|line| {
                let frame = Frame::parse(&block[line.clone()]).expect("whole frames only");
                let group = frame
                    .group
                    .map_or_else(|| "-".into(), |group| group.decode());
                let number = match frame.kind {
                    Kind::Event => String::from_utf8_lossy(
                        &block[line][frame.event.event_type.clone().expect("a type")],
                    )
                    .replace('"', " "),
                    _ => String::new(),
                };
                format!(
                    "{} {} {group}{}",
                    frame.kind.name(),
                    frame.topic.decode(),
                    number.trim_end()
                )
            })
            .collect()
    }

    fn apply(&mut self, op: &Op, model: Option<&mut Model>) {
        let mut nothing = Model::default();
        let tracked = model.is_some();
        let model = model.unwrap_or(&mut nothing);
        match *op {
            Op::Connect => {
                self.clients.push(Some(self.broker.connect(Instant::now())));
                self.read.push(Vec::new());
                model
                    .participants
                    .push((self.clients.len(), Participant::default()));
            }
            Op::Disconnect(client) => {
                let Some(at) = self.pick(client) else { return };
                let id = self.clients[at].take().expect("picked");
                assert!(self.broker.disconnect(id));
                assert!(!self.broker.disconnect(id));
                model.participants.retain(|(other, _)| *other != at + 1);
                model.forget_empty_groups();
            }
            Op::Subscribe(client, topic, group) | Op::Unsubscribe(client, topic, group) => {
                let Some(at) = self.pick(client) else { return };
                let subscribes = matches!(op, Op::Subscribe(..));
                let kind = if subscribes {
                    Kind::Subscribe
                } else {
                    Kind::Unsubscribe
                };
                let mut line = Vec::new();
                write_membership(
                    kind,
                    &format!("t{topic}"),
                    name(group).as_deref(),
                    &mut line,
                );
                self.line(at, line);
                if tracked {
                    let answer = if subscribes {
                        "subscribed"
                    } else {
                        "unsubscribed"
                    };
                    let group_name = name(group).unwrap_or_else(|| "-".to_owned());
                    if subscribes {
                        model.join(at + 1, topic, group);
                    } else {
                        model.leave(at + 1, topic, group);
                    }
                    model
                        .of(at + 1)
                        .frames
                        .push(format!("{answer} t{topic} {group_name}"));
                }
            }
            Op::Publish(client, topic) => {
                let Some(at) = self.pick(client) else { return };
                let number = self.published;
                self.published += 1;
                self.line(at, format!("{{\"type\":\"publish\",\"topic\":\"t{topic}\",\"event\":{{\"type\":\"{number}\"}}}}\n").into_bytes());
                model.publish(topic, number);
            }
            Op::JoinLocal(topic, group) => {
                self.broker.join_local(&membership(topic, group));
                if tracked {
                    model.join(0, topic, group);
                }
            }
            Op::LeaveLocal(topic, group) => {
                self.broker.leave_local(&membership(topic, group));
                if tracked {
                    model.leave(0, topic, group);
                }
            }
            Op::PublishOwn(topic) => {
                let number = self.published;
                self.published += 1;
                let new = NewEvent::new(number.to_string(), "r");
                let mut object = Vec::new();
                event::write(&new, &mut object).expect("no local value");
                let mut out = Outputs::default();
                let topic_name = Topic::from(format!("t{topic}"));
                self.broker.publish_own(
                    &topic_name,
                    new.stamp(),
                    &object.into(),
                    Now::read(),
                    &mut out,
                );
                self.collect(out);
                model.publish(topic, number);
            }
            Op::Write(bytes) => self.write(bytes),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_participant_gets_what_the_model_says(ops in proptest::collection::vec(op(), 0..120)) {
        let mut subject = Subject::new(usize::MAX / 2);
        let mut model = Model::default();
        model.participants.push((0, Participant::default()));
        for op in &ops {
            subject.apply(op, Some(&mut model));
        }
        subject.write(usize::MAX);
        prop_assert_eq!(&subject.local, &model.of(0).frames);
        let connected = subject.clients.iter().flatten().count();
        prop_assert_eq!(subject.broker.connected(), connected);
        prop_assert_eq!(subject.broker.queued(), 0);
        for client in 0..subject.clients.len() {
            if subject.clients[client].is_some() {
                prop_assert_eq!(subject.frames(client), model.of(client + 1).frames.clone());
            }
        }
    }

    #[test]
    fn no_queue_exceeds_its_limit_and_who_is_kicked_is_gone(
        ops in proptest::collection::vec(op(), 0..120),
        limit in 100usize..4000,
    ) {
        let mut subject = Subject::new(limit);
        for op in &ops {
            subject.apply(op, None);
            let clients = subject.clients.iter().flatten().count();
            prop_assert_eq!(subject.broker.connected(), clients);
            prop_assert!(subject.broker.queued() <= limit * clients);
            for id in &subject.kicked {
                prop_assert!(subject.broker.take(*id).is_none());
                prop_assert!(!subject.broker.is_congested(*id, Instant::now()));
            }
        }
        subject.write(usize::MAX);
        // Whoever was not kicked got whole frames, each event at most once per membership and in order.
        for client in 0..subject.clients.len() {
            if subject.clients[client].is_none() {
                continue;
            }
            let mut last: HashMap<String, usize> = HashMap::new();
            for frame in subject.frames(client) {
                let mut words = frame.split(' ');
                if words.next() != Some("event") {
                    continue;
                }
                let (topic, group) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                let number: usize = words.next().unwrap_or_default().parse().expect("a number");
                if let Some(before) = last.insert(format!("{topic} {group}"), number) {
                    prop_assert!(before < number);
                }
            }
        }
    }
}

/// Frames with a part of them broken.
fn broken_line() -> impl Strategy<Value = Vec<u8>> {
    let frames = [
        r#"{"type":"publish","topic":"t0","event":{"id":"x","type":"e","createdAt":1,"data":{"__m_codec__":"Date","v":"2026-01-01T00:00:00.000Z"}},"localOnly":true}"#,
        r#"{"type":"publish","topic":"t\u0030","event":{"d\u0061ta":[1,{"a":null}],"deliveryAttempt":3}}"#,
        r#"{"type":"subscribe","topic":"t1","group":{"__m_codec__":"Undefined"}}"#,
    ];
    let frame = proptest::sample::select(frames.to_vec());
    (frame, 0usize..200, any::<u8>(), 0usize..4).prop_map(|(frame, at, byte, cut)| {
        let mut line = frame.as_bytes().to_vec();
        let at = at % line.len();
        line[at] = byte;
        line.drain(at..(at + cut).min(line.len()));
        line.retain(|byte| *byte != b'\n');
        line.push(b'\n');
        line
    })
}

proptest! {
    #[test]
    fn whatever_a_peer_sends_others_get_whole_json_lines(
        broken in proptest::collection::vec(broken_line(), 0..30),
    ) {
        let mut subject = Subject::new(usize::MAX / 2);
        for op in [Op::Connect, Op::Connect, Op::Subscribe(1, 0, None), Op::JoinLocal(0, None)] {
            subject.apply(&op, None);
        }
        for line in broken {
            let block = Bytes::from(String::from_utf8_lossy(&line).into_owned());
            subject.line(0, block.to_vec());
        }
        subject.write(usize::MAX);
        for line in lines(&subject.read[1]) {
            let line = &subject.read[1][line];
            prop_assert!(serde_json::from_slice::<serde_json::Value>(line).is_ok(), "{}", String::from_utf8_lossy(line));
        }
        subject.apply(&Op::Publish(0, 0), None);
        subject.write(usize::MAX);
        let last = lines(&subject.read[1]).last().map(|line| subject.read[1][line].to_vec());
        let last: serde_json::Value = serde_json::from_slice(&last.unwrap_or_default()).expect("a frame");
        prop_assert_eq!(&last["event"]["type"], "0");
    }
}

#[test]
fn what_is_published_within_the_horizon_is_given_to_whoever_comes_back_within_it() {
    let mut subject = Subject::new(usize::MAX / 2);
    let start = Now::read();
    let span = std::time::Duration::from_millis(500);
    subject.broker.open_horizon(start.instant, span);
    let at = |share: u32| Now {
        instant: start.instant + span * share / 4,
        wall: start.wall,
    };
    let send = |subject: &mut Subject, client: usize, now: Now, line: &str| {
        let block = Bytes::from(format!("{line}\n"));
        let id = subject.clients[client].expect("connected");
        subject
            .broker
            .line(id, &block, 0..line.len(), now, &mut Outputs::default());
        subject.write(usize::MAX);
    };
    for op in [Op::Connect, Op::Connect, Op::Connect] {
        subject.apply(&op, None);
    }
    let publish = |n: u32| format!(r#"{{"type":"publish","topic":"t0","event":{{"type":"{n}"}}}}"#);
    let subscribe = r#"{"type":"subscribe","topic":"t0"}"#;
    send(&mut subject, 0, at(0), &publish(0));
    send(&mut subject, 1, at(1), subscribe);
    send(&mut subject, 0, at(2), &publish(1));
    send(&mut subject, 2, at(3), subscribe);
    send(&mut subject, 0, at(5), &publish(2));
    subject.apply(&Op::Connect, None);
    send(&mut subject, 3, at(5), subscribe);
    let all = [
        "subscribed t0 -",
        "event t0 - 0",
        "event t0 - 1",
        "event t0 - 2",
    ];
    assert_eq!(subject.frames(1), all);
    assert_eq!(subject.frames(2), all);
    assert_eq!(subject.frames(3), ["subscribed t0 -"]);
}
