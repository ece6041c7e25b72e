//! Group B: consumer groups across languages.

use std::time::Duration;

use bowline_interop::roles::{pairs, rounds, trios};
use bowline_interop::{Bus, Kind, Peer, Seen, bus, eventually, ids, numbers};
use serde_json::json;

/// Broker X and clients Y, Z in the order of their connections.
fn meet(row: [Kind; 3]) -> (Bus, [Peer; 3]) {
    eprintln!("broker {}, clients {} and {}", row[0], row[1], row[2]);
    let bus = bus!();
    let peers = bus.start_all(row);
    for peer in &peers {
        peer.subscribe("elsewhere", "present");
    }
    (bus, peers)
}

/// Waits until the labels together have `count` events; their data per peer.
#[track_caller]
fn shares(readers: &[(&Peer, &str)], count: usize) -> Vec<Vec<u64>> {
    eventually("the group has everything", || {
        let got: Vec<Vec<u64>> = readers
            .iter()
            .map(|(peer, label)| numbers(&peer.seen(label)))
            .collect();
        let sum: usize = got.iter().map(Vec::len).sum();
        if sum >= count {
            Ok(got)
        } else {
            Err(format!("{got:?}"))
        }
    })
}

fn sorted(shares: &[Vec<u64>]) -> Vec<u64> {
    let mut all = shares.concat();
    all.sort_unstable();
    all
}

#[test]
fn b1_b2_members_take_turns_and_fan_out_is_unaffected() {
    for row in trios() {
        let (bus, [x, y, z]) = meet(row);
        for peer in [&x, &y, &z] {
            peer.subscribe("t", "all");
            peer.join("t", "member", "g");
        }
        for number in 0..6 {
            y.publish("t", json!(number));
        }
        let readers = [(&x, "member"), (&y, "member"), (&z, "member")];
        shares(&readers, 6);
        for all in bus.settled(&y, "t", &[(&x, "all"), (&y, "all"), (&z, "all")]) {
            assert_eq!(numbers(&all), [0, 1, 2, 3, 4, 5]);
        }
        // The mark that ended it went to the group as well, as the seventh.
        let got: Vec<Vec<u64>> = readers
            .iter()
            .map(|(peer, label)| numbers(&peer.seen(label)))
            .collect();
        assert_eq!(got, [vec![0, 3], vec![1, 4], vec![2, 5]]);
    }
}

#[test]
fn b3_every_group_gets_every_event_once() {
    for row in trios() {
        let (_bus, [x, y, z]) = meet(row);
        for peer in [&x, &y, &z] {
            peer.join("t", "first", "one");
            peer.join("t", "second", "two");
        }
        for number in 0..9 {
            z.publish("t", json!(number));
        }
        for label in ["first", "second"] {
            let got = shares(&[(&x, label), (&y, label), (&z, label)], 9);
            assert_eq!(sorted(&got), (0..9).collect::<Vec<_>>());
            assert!(got.iter().all(|share| share.len() == 3), "{got:?}");
        }
    }
}

#[test]
fn b4_a_process_has_one_turn_however_many_callbacks() {
    for row in trios() {
        let (_bus, [x, y, _]) = meet(row);
        for label in ["a", "b", "c"] {
            x.join("t", label, "g");
        }
        y.join("t", "only", "g");
        for number in 0..12 {
            y.publish("t", json!(number));
        }
        let got = shares(&[(&x, "a"), (&x, "b"), (&x, "c"), (&y, "only")], 12);
        let sizes: Vec<usize> = got.iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 2, 2, 6], "{got:?}");
        assert_eq!(sorted(&got), (0..12).collect::<Vec<_>>());
    }
}

#[test]
fn b5_a_member_that_leaves_loses_nothing() {
    for row in trios() {
        let (_bus, [x, y, z]) = meet(row);
        let readers = [(&x, "member"), (&y, "member"), (&z, "member")];
        for (peer, label) in readers {
            peer.join("t", label, "g");
        }
        for number in 0..6 {
            z.publish("t", json!(number));
        }
        shares(&readers, 6);
        y.unsubscribe("t", "member");
        for number in 6..12 {
            z.publish("t", json!(number));
        }
        let got = shares(&readers, 12);
        assert_eq!(sorted(&got), (0..12).collect::<Vec<_>>());
        assert_eq!(got[1].len(), 2, "{got:?}");
    }
}

#[test]
fn b6_a_killed_member_gets_no_turn() {
    for row in trios() {
        let (_bus, [x, y, z]) = meet(row);
        let readers = [(&x, "member"), (&y, "member"), (&z, "member")];
        for (peer, label) in readers {
            peer.join("t", label, "g");
        }
        y.kill();
        eventually("the broker saw the close", || match x.remote_clients() {
            1 => Ok(()),
            count => Err(count.to_string()),
        });
        for number in 0..10 {
            x.publish("t", json!(number));
        }
        let got = shares(&readers, 10);
        assert_eq!(sorted(&got), (0..10).collect::<Vec<_>>());
        assert!(got[1].is_empty());
    }
}

#[test]
fn b7_the_share_of_a_stopped_member_waits_for_it() {
    for row in trios() {
        let (_bus, [x, y, z]) = meet(row);
        let readers = [(&x, "member"), (&y, "member"), (&z, "member")];
        for (peer, label) in readers {
            peer.join("t", label, "g");
        }
        y.stop();
        for number in 0..9 {
            x.publish("t", json!(number));
        }
        let others = shares(&[(&x, "member"), (&z, "member")], 6);
        assert_eq!(others, [vec![0, 3, 6], vec![2, 5, 8]]);
        assert!(y.seen("member").is_empty());
        y.cont();
        assert_eq!(numbers(&y.wait_seen("member", 3)), [1, 4, 7]);
    }
}

#[test]
fn b8_a_nack_comes_back_to_the_same_process() {
    for row in trios() {
        let (_bus, [x, y, z]) = meet(row);
        let readers = [(&x, "member"), (&y, "member"), (&z, "member")];
        for (peer, label) in readers {
            peer.subscribe_with("t", label, json!({ "group": "g", "nackUntil": 3 }));
        }
        for number in 0..3 {
            z.publish("t", json!(number));
        }
        for (peer, label) in readers {
            let seen = peer.seen_until(label, |seen| seen.iter().any(|one| one.attempt() == 3));
            let attempts: Vec<u64> = seen.iter().map(Seen::attempt).collect();
            assert_eq!(attempts, [1, 2, 3], "at {}", peer.name());
            assert_eq!(
                ids(&seen)[1..],
                [ids(&seen)[0].clone(), ids(&seen)[0].clone()]
            );
        }
    }
}

#[test]
fn b8_a_refused_event_comes_seven_times() {
    let never = json!({ "nackUntil": 100 });
    let never_in_group = json!({ "nackUntil": 100, "group": "g" });
    for row in pairs() {
        let bus = bus!();
        let peers = bus.start_all(row);
        for peer in &peers {
            peer.subscribe("t", "content");
            peer.subscribe_with("t", "refuses", never.clone());
            peer.subscribe_with("t", "member", never_in_group.clone());
        }
        peers[0].publish("t", json!(0));
        peers[1].publish("t", json!(1));
        let labels = || {
            peers
                .iter()
                .flat_map(|peer| [(peer, "refuses", 14), (peer, "member", 7)])
        };
        for (peer, label, deliveries) in labels() {
            peer.wait_seen(label, deliveries);
        }
        // Longer than it would take for an eighth delivery to come.
        std::thread::sleep(Duration::from_millis(900));
        for (peer, label, deliveries) in labels() {
            let seen = peer.seen(label);
            assert_eq!(seen.len(), deliveries, "{label} at {}", peer.name());
            for number in 0..2 {
                let attempts: Vec<u64> = seen
                    .iter()
                    .filter(|one| *one.data() == number)
                    .map(Seen::attempt)
                    .collect();
                let all: Vec<u64> = (1..=7).collect();
                assert!(
                    attempts == all || attempts.is_empty(),
                    "{label} at {}: {attempts:?}",
                    peer.name()
                );
            }
        }
        for peer in &peers {
            assert_eq!(
                peer.seen("content").len(),
                2,
                "{}: nacks of others concern nobody",
                peer.name()
            );
        }
    }
}

#[test]
fn b9_the_group_goes_on_under_the_next_broker() {
    for _ in 0..rounds(1) {
        for row in trios() {
            let (bus, [x, y, z]) = meet(row);
            for peer in [&x, &y, &z] {
                peer.join("t", "member", "g");
            }
            x.kill();
            bus.converged(&[&y, &z]);
            ready(&y, &z);
            // Behind a mark of each publisher there are no more probes under way that could take a turn.
            for publisher in [&y, &z] {
                bus.settled(publisher, "elsewhere", &[(&y, "present"), (&z, "present")]);
            }
            for number in 0..10 {
                y.publish("t", json!(number));
                z.publish("t", json!(number + 10));
            }
            let readers = [(&y, "member"), (&z, "member")];
            let got = shares(&readers, 20);
            assert_eq!(sorted(&got), (0..20).collect::<Vec<_>>());
            assert_eq!(got[0].len(), 10, "{got:?}");
        }
    }
}

/// Waits until both are members of the group on the new broker: probes, which are no numbers, reach both of them.
#[track_caller]
fn ready(y: &Peer, z: &Peer) {
    let probe = json!({ "probe": true });
    let has = |peer: &Peer| peer.seen("member").iter().any(|one| *one.data() == probe);
    eventually("both are members again", || {
        y.publish("t", probe.clone());
        z.publish("t", probe.clone());
        match (has(y), has(z)) {
            (true, true) => Ok(()),
            both => Err(format!("{both:?}")),
        }
    });
}
