//! Clients that send garbage: nobody else may notice.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::os::unix::net::UnixStream;

use bowline_interop::roles::{have_node, rounds, seed};
use bowline_interop::{Bus, Kind, Peer, bus, eventually, ids};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Frames that are right, to be spoiled.
const FRAMES: [&str; 7] = [
    r#"{"type":"subscribe","topic":"t"}"#,
    r#"{"type":"subscribe","topic":"t","group":{"__m_codec__":"Undefined"}}"#,
    r#"{"type":"unsubscribe","topic":"t","group":"g"}"#,
    r#"{"type":"publish","topic":"t","event":{"type":"x","runId":"r","data":{"k":[1,2.5e3,"é\n\ud800",null,true]}}}"#,
    r#"{"type":"publish","topic":"t","event":{"type":"x","runId":"r","data":{"__m_codec__":"Date","v":"2026-01-02T03:04:05.678Z"}}}"#,
    r#"{"type":"publish","topic":"t","event":{"id":"i","createdAt":{"__m_codec__":"Date","v":"2026-01-02T03:04:05.678Z"},"deliveryAttempt":3,"index":4,"type":"x","runId":"r"},"localOnly":false}"#,
    r#"{"type":"publish","topic":"t","event":{"type":"x","runId":"r","data":{"__m_codec__":"Map","v":[["k",{"__m_codec__":"Error","v":{"name":"E","message":"m"}}]]}}}"#,
];

#[derive(Debug, Clone)]
enum Damage {
    None,
    Replace(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    Cut(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        Just(Damage::None),
        (index(), any::<u8>()).prop_map(|(at, byte)| Damage::Replace(at, byte)),
        (index(), prop::collection::vec(any::<u8>(), 1..6))
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (index(), "[\\[\\]{}:,\"0-9ntfu\\\\-]{1,4}")
            .prop_map(|(at, text)| Damage::Insert(at, text.into_bytes())),
        (index(), 1..20usize).prop_map(|(at, count)| Damage::Remove(at, count)),
        index().prop_map(Damage::Cut),
    ]
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let frame = prop::sample::select(&FRAMES[..]);
    (frame, prop::collection::vec(damage(), 0..3)).prop_map(|(frame, damages)| {
        let mut line = frame.as_bytes().to_vec();
        for damage in damages {
            spoil(&mut line, damage);
        }
        line.push(b'\n');
        line
    })
}

fn spoil(line: &mut Vec<u8>, damage: Damage) {
    if line.is_empty() {
        return;
    }
    match damage {
        Damage::None => {}
        Damage::Replace(at, byte) => {
            let at = at.index(line.len());
            line[at] = byte;
        }
        Damage::Insert(at, bytes) => {
            let at = at.index(line.len());
            line.splice(at..at, bytes);
        }
        Damage::Remove(at, count) => {
            let at = at.index(line.len());
            line.drain(at..(at + count).min(line.len()));
        }
        Damage::Cut(at) => line.truncate(at.index(line.len())),
    }
}

/// A broker in Rust and a client of each language that is there, all subscribed.
fn island(bus: &Bus) -> Vec<Peer> {
    let kinds: &[Kind] = if have_node() {
        &[Kind::Rust, Kind::Rust, Kind::Node]
    } else {
        &[Kind::Rust, Kind::Rust]
    };
    let peers: Vec<Peer> = kinds.iter().map(|kind| bus.start(*kind)).collect();
    for peer in &peers {
        peer.subscribe("t", "all");
    }
    peers
}

#[test]
fn spoiled_frames_are_read_alike_and_harm_nobody() {
    let seed = seed();
    for round in 0..rounds(3) as u64 {
        eprintln!("BOWLINE_SEED={}", seed + round);
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&(seed + round).to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let bus = bus!();
        let peers = island(&bus);
        let mut hostile = UnixStream::connect(bus.socket()).unwrap();
        for _ in 0..2000 {
            let line = line().new_tree(&mut runner).unwrap().current();
            hostile.write_all(&line).unwrap();
        }
        hostile.write_all(b"\n").unwrap();
        hostile
            .write_all(
                br#"{"type":"publish","topic":"t","event":{"type":"last","runId":"r","data":0}}"#,
            )
            .unwrap();
        hostile.write_all(b"\n").unwrap();
        let logs: Vec<Vec<String>> = peers
            .iter()
            .map(|peer| {
                ids(&peer.seen_until("all", |seen| {
                    seen.iter().any(|one| one.event()["type"] == "last")
                }))
            })
            .collect();
        assert!(logs[0].len() > 100);
        for (peer, log) in peers.iter().zip(&logs) {
            assert_eq!(
                *log,
                logs[0],
                "{} has another log than the broker",
                peer.name()
            );
        }
        drop(hostile);
        bus.whole(&peers.iter().collect::<Vec<_>>());
    }
}

#[test]
fn depth_size_and_many_connections_harm_nobody() {
    let bus = bus!();
    let peers = island(&bus);
    let others = peers.len() as u64 - 1;
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for depth in [100, 127, 1000, 100_000] {
        bus.connect().publish("t", &deep(depth));
        bus.connect().send(&deep(depth));
    }
    let mut crowd: Vec<_> = (0..300).map(|_| bus.connect()).collect();
    for one in &mut crowd {
        one.send_bytes(br#"{"type":"subscribe","topic":"t"}"#);
    }
    drop(crowd);
    let endless = bus.connect();
    let filler = std::thread::spawn(move || {
        let mut endless = endless;
        // Over the limit of a line, so the broker ends it.
        while endless.send_bytes(&[b' '; 1 << 20]) {}
    });
    filler.join().unwrap();
    eventually("only the others are connected", || {
        match peers[0].remote_clients() {
            count if count == others => Ok(()),
            count => Err(count.to_string()),
        }
    });
    bus.whole(&peers.iter().collect::<Vec<_>>());
    assert!(peers[0].is_broker());
}
