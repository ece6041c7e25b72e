//! Group C, the rows about brokers that die, close or stand still.

use std::fs;
use std::time::Duration;

use bowline_interop::roles::{pairs, rounds, trios, with_peers};
use bowline_interop::{Kind, Peer, bus, eventually, numbers};
use serde_json::{Value, json};

use Kind::{Node, Rust};

#[test]
fn c1_c2_a_killed_broker_is_replaced() {
    for _ in 0..rounds(1) {
        for row in trios() {
            let bus = bus!();
            let [x, y, z] = bus.meet(row);
            for peer in [&x, &y, &z] {
                peer.join("jobs", "member", "g");
            }
            x.kill();
            bus.converged(&[&y, &z]);
            bus.whole(&[&y, &z]);
            bus.lock_is_gone();
            for number in 0..4 {
                y.publish("jobs", json!(number));
            }
            assert_eq!(numbers(&y.wait_seen("member", 2)).len(), 2);
            assert_eq!(numbers(&z.wait_seen("member", 2)).len(), 2);
        }
    }
}

#[test]
fn c3_a_closed_broker_is_replaced_and_spares_its_successor() {
    for row in trios() {
        let bus = bus!();
        let [x, y, z] = bus.meet(row);
        x.close();
        let successor = [&y, &z][bus.converged(&[&y, &z])];
        bus.whole(&[&y, &z]);
        bus.lock_is_gone();
        // A closing Node broker may remove the socket of its successor, which only Rust repairs.
        if x.kind() == Rust || successor.kind() == Rust {
            eventually("the socket is there", || {
                fs::metadata(bus.socket()).map_err(|error| error.to_string())
            });
        }
    }
}

#[test]
fn c4_the_last_one_removes_the_socket() {
    for row in pairs() {
        let bus = bus!();
        let [x, y] = bus.meet(row);
        x.close();
        bus.converged(&[&y]);
        y.close();
        assert!(!bus.socket().exists(), "{row:?}");
        assert!(!bus.lock().exists(), "{row:?}");
        let event = json!({ "topic": "t", "event": { "type": "x", "runId": "r" } });
        for peer in [&x, &y] {
            let error = peer
                .begin("publish", event.clone())
                .result()
                .expect_err("a closed bus");
            assert!(error.contains("closed"), "{error}");
            peer.close();
        }
        assert!(!bus.socket().exists(), "{row:?}");
    }
}

/// The `seq` of everything a label got, in order.
fn seqs(peer: &Peer) -> Vec<u64> {
    peer.seen("all")
        .iter()
        .filter_map(|one| one.data()["seq"].as_u64())
        .collect()
}

/// Publishes steadily from `publisher` and kills `broker` in the middle of it. What the publish loop reported.
#[track_caller]
fn burst_over_a_kill(publisher: &Peer, broker: &Peer, count: u64) -> Value {
    let burst = publisher.begin(
        "publishMany",
        json!({ "topic": "t", "count": count, "everyMs": 1 }),
    );
    publisher.reached("all", count / 8);
    broker.kill();
    burst.wait()
}

/// The numbers of `seqs` are increasing with at most one gap.
#[track_caller]
fn one_gap(seqs: &[u64], peer: &Peer) {
    let increasing = seqs.windows(2).all(|pair| pair[0] < pair[1]);
    assert!(
        increasing,
        "doubled or out of order at {}: {seqs:?}",
        peer.name()
    );
    let gaps: Vec<_> = seqs
        .windows(2)
        .filter(|pair| pair[0] + 1 != pair[1])
        .collect();
    assert!(
        gaps.len() <= 1,
        "lost more than one range at {}: {gaps:?}",
        peer.name()
    );
}

#[test]
fn c9_a_burst_from_rust_survives_the_death_of_the_broker() {
    const COUNT: u64 = 400;
    for _ in 0..rounds(2) {
        for row in trios().into_iter().filter(|row| row[1] == Rust) {
            let bus = bus!();
            let [x, y, z] = bus.meet(row);
            let report = burst_over_a_kill(&y, &x, COUNT);
            assert_eq!(report["rejected"], 0, "{report}");
            bus.converged(&[&y, &z]);
            let got = y.seen_until("all", |seen| {
                seen.iter().any(|one| one.data()["seq"] == COUNT - 1)
            });
            let mut distinct: Vec<&str> = got.iter().map(|one| one.id()).collect();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), got.len(), "an id twice at {}", y.name());
            one_gap(&seqs(&y), &y);
            bus.whole(&[&y, &z]);
        }
    }
}

/// As much as the publisher can, so that there is always something on its way when the broker dies.
#[test]
fn c9_a_flood_from_rust_is_neither_doubled_nor_disordered() {
    const COUNT: u64 = 20_000;
    for _ in 0..rounds(2) {
        for row in trios().into_iter().filter(|row| row[1] == Rust) {
            eprintln!("{row:?}");
            let bus = bus!();
            let [x, y, z] = bus.start_all(row);
            for peer in [&x, &y, &z] {
                peer.subscribe_with("t", "flood", json!({ "quiet": true }));
                peer.subscribe("end", "all");
            }
            let flood = json!({ "topic": "t", "count": COUNT, "bytes": 100 });
            let flood = y.begin("publishMany", flood);
            y.reached("flood", COUNT / 8);
            x.kill();
            let report = flood.wait();
            assert_eq!(report["rejected"], 0, "{report}");
            bus.reachable("end", &[(&y, "all"), (&z, "all")]);
            // The old broker may have taken in the whole rest before it died; this one is for the new broker.
            y.call(
                "publishMany",
                json!({ "topic": "t", "count": 1, "from": COUNT }),
            );
            let readers = [&y, &z].into_iter().filter(|peer| peer.kind() == Rust);
            for reader in readers {
                let stats = eventually("the last event arrives", || {
                    let stats = reader.stats("flood");
                    if stats["lastSeq"] == COUNT {
                        Ok(stats)
                    } else {
                        Err(stats.to_string())
                    }
                });
                assert_eq!(stats["duplicates"], 0, "{}: {stats}", reader.name());
                assert_eq!(stats["outOfOrder"], 0, "{}: {stats}", reader.name());
            }
        }
    }
}

#[test]
fn c9_nothing_that_rust_peers_publish_after_the_death_is_lost() {
    for _ in 0..rounds(3) {
        for row in with_peers(&[[Rust, Rust, Rust], [Node, Rust, Rust]]) {
            let bus = bus!();
            let [x, y, z] = bus.meet(row);
            x.kill();
            // At once: nobody has a new broker yet.
            for number in 0..20 {
                y.publish("t", json!(number));
                z.publish("t", json!(100 + number));
            }
            for reader in [&y, &z] {
                let got = numbers(&reader.seen_until("all", |seen| numbers(seen).len() >= 40));
                let (from_y, from_z): (Vec<u64>, Vec<u64>) =
                    got.iter().partition(|number| **number < 100);
                assert_eq!(
                    from_y,
                    (0..20).collect::<Vec<_>>(),
                    "{row:?}, at {}",
                    reader.name()
                );
                assert_eq!(
                    from_z,
                    (100..120).collect::<Vec<_>>(),
                    "{row:?}, at {}",
                    reader.name()
                );
            }
            bus.converged(&[&y, &z]);
            bus.whole(&[&y, &z]);
        }
    }
}

#[test]
fn c9_a_node_client_misses_nothing_that_its_new_broker_in_rust_publishes() {
    for _ in 0..rounds(3) {
        for row in with_peers(&[[Rust, Rust, Node], [Node, Rust, Node]]) {
            let bus = bus!();
            let [x, y, z] = bus.meet(row);
            x.kill();
            for number in 0..20 {
                y.publish("t", json!(number));
            }
            let broker = bus.converged(&[&y, &z]);
            bus.reachable("t", &[(&y, "all"), (&z, "all")]);
            let got = numbers(&z.seen("all"));
            // A broker in Node keeps nothing for those who are still on their way; nothing was on its own way to be doubled.
            let wanted: Vec<u64> = (20_u64.saturating_sub(got.len() as u64)..20).collect();
            assert_eq!(got, wanted, "{row:?}");
            assert!(broker == 1 || got.len() == 20, "{row:?}: {got:?}");
            bus.whole(&[&y, &z]);
        }
    }
}

#[test]
fn c9_what_the_dead_broker_was_never_given_goes_to_the_next_one() {
    const COUNT: u64 = 2500;
    for _ in 0..rounds(2) {
        for row in trios().into_iter().filter(|row| row[1] == Rust) {
            eprintln!("{row:?}");
            let bus = bus!();
            let [x, y, z] = bus.meet(row);
            y.subscribe_with("flood", "quiet", json!({ "quiet": true }));
            // More than the kernel takes for a broker that does not read, less than the send window holds on top of it.
            x.stop();
            let flood = json!({ "topic": "flood", "count": COUNT, "bytes": 100 });
            assert_eq!(y.call("publishMany", flood)["rejected"], 0);
            x.kill();
            let stats = eventually("the last event arrives", || {
                let stats = y.stats("quiet");
                if stats["lastSeq"] == COUNT - 1 {
                    Ok(stats)
                } else {
                    Err(stats.to_string())
                }
            });
            let first = stats["firstSeq"].as_u64().unwrap_or_default();
            assert_eq!(stats["count"], COUNT - first, "{stats}");
            assert_eq!(
                (&stats["duplicates"], &stats["outOfOrder"]),
                (&json!(0), &json!(0)),
                "{stats}"
            );
            bus.converged(&[&y, &z]);
            bus.whole(&[&y, &z]);
        }
    }
}

#[test]
fn c10_a_burst_from_node_reaches_rust_at_most_once() {
    const COUNT: u64 = 400;
    for _ in 0..rounds(2) {
        for row in trios()
            .into_iter()
            .filter(|row| row[1] == Node && row[2] == Rust)
        {
            let bus = bus!();
            let [x, y, z] = bus.meet(row);
            burst_over_a_kill(&y, &x, COUNT);
            bus.reachable("t", &[(&y, "all"), (&z, "all")]);
            let stats = z.stats("all");
            assert_eq!(stats["duplicates"], 0, "{stats}");
            assert_eq!(stats["outOfOrder"], 0, "{stats}");
        }
    }
}

#[test]
fn c10_an_event_that_a_second_connection_brings_again_is_delivered_once() {
    let event = |number: u32, id: &str| {
        let event = json!({ "type": "x", "runId": "r", "data": number, "id": id });
        json!({ "type": "event", "topic": "t", "event": event })
    };
    let ids = [
        "2f1c7d3e-5a6b-4c8d-9e0f-112233445566",
        "2f1c7d3e-5a6b-4c8d-9e0f-112233445567",
    ];
    let bus = bus!();
    let broker = bus.raw_broker();
    let client = bus.start(Rust);
    let subscribing = client.begin_subscribe("t", "all", json!({}));
    let mut wire = broker.accept();
    wire.acknowledge();
    subscribing.wait();
    wire.send_frame(&event(1, ids[0]));
    client.wait_seen("all", 1);
    drop(wire);
    let mut wire = broker.accept();
    wire.acknowledge();
    wire.send_frame(&event(1, ids[0]));
    wire.send_frame(&event(2, ids[1]));
    client.seen_until("all", |seen| numbers(seen).contains(&2));
    assert_eq!(numbers(&client.seen("all")), [1, 2]);
}

#[test]
fn c14_a_subscribe_waits_for_a_stopped_broker() {
    for row in pairs().into_iter().filter(|row| row[1] == Rust) {
        let bus = bus!();
        let [broker, client] = bus.meet(row);
        broker.stop();
        let pending = client.begin_subscribe("u", "late", json!({}));
        // Time in which an eager client would have given up.
        std::thread::sleep(Duration::from_millis(300));
        assert!(!pending.is_done());
        broker.cont();
        pending.wait();
        broker.publish("u", json!(1));
        assert_eq!(numbers(&client.wait_seen("late", 1)), [1]);
    }
}

#[test]
fn c14_publishes_wait_out_a_stopped_broker() {
    const COUNT: u64 = 2000;
    for row in pairs().into_iter().filter(|row| row[1] == Rust) {
        let bus = bus!();
        let [broker, client] = bus.meet(row);
        client.subscribe_with("flood", "quiet", json!({ "quiet": true }));
        broker.stop();
        let flood = client.begin(
            "publishMany",
            json!({ "topic": "flood", "count": COUNT, "bytes": 100 }),
        );
        std::thread::sleep(Duration::from_millis(300));
        broker.cont();
        assert_eq!(flood.wait()["rejected"], 0);
        let stats = client.reached("quiet", COUNT);
        assert_eq!(
            (&stats["distinct"], &stats["outOfOrder"]),
            (&json!(COUNT), &json!(0)),
            "{stats}"
        );
    }
}

#[test]
fn c14_after_its_patience_a_subscribe_proceeds() {
    for row in pairs().into_iter().filter(|row| row[1] == Rust) {
        let bus = bus!();
        let [broker, client] = bus.start_all_with(row, json!({ "membershipAckTimeoutMs": 200 }));
        broker.subscribe("t", "all");
        client.subscribe("t", "all");
        broker.stop();
        client.subscribe("u", "late");
        broker.cont();
        bus.reachable("t", &[(&client, "all")]);
        broker.publish("u", json!(1));
        assert_eq!(numbers(&client.wait_seen("late", 1)), [1]);
    }
}

#[test]
fn g1_members_stay_whole_while_brokers_come_and_go() {
    for row in with_peers(&[[Node, Rust, Node, Rust], [Rust, Rust, Rust, Rust]]) {
        let bus = bus!();
        let mut members: Vec<Peer> = bus.meet(row).into();
        for _ in 0..rounds(3) {
            let broker = members.remove(bus.converged(&members.iter().collect::<Vec<_>>()));
            broker.kill();
            let [replacement] = bus.start_all([broker.kind()]);
            bus.meet_at_once(&[&replacement]);
            members.push(replacement);
            let everybody: Vec<&Peer> = members.iter().collect();
            bus.converged(&everybody);
            bus.whole(&everybody);
        }
    }
}

#[test]
fn g2_many_events_arrive_complete_and_in_order() {
    const COUNT: u64 = 20_000;
    for row in pairs() {
        let bus = bus!();
        let peers = bus.start_all(row);
        for peer in &peers {
            for label in ["one", "two"] {
                peer.subscribe_with("t", label, json!({ "quiet": true }));
            }
        }
        for (round, publisher) in (1..).zip(&peers) {
            let flood = json!({ "topic": "t", "count": COUNT, "from": (round - 1) * COUNT });
            assert_eq!(publisher.call("publishMany", flood)["published"], COUNT);
            for peer in &peers {
                for label in ["one", "two"] {
                    let stats = peer.reached(label, COUNT * round);
                    assert_eq!(stats["distinct"], COUNT * round, "{row:?}: {stats}");
                    assert_eq!(stats["outOfOrder"], 0, "{row:?}: {stats}");
                }
            }
        }
    }
}
