//! Group C, the rows about the socket path: who may bind it, when it is stale, and what happens when it vanishes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::time::{Duration, SystemTime};

use bowline_interop::roles::{have_node, rounds, with_peers};
use bowline_interop::{Bus, Kind, bus};
use serde_json::json;

use Kind::{Node, Rust};

fn leave_stale_socket(bus: &Bus) {
    // Dropping a listener leaves its file.
    drop(UnixListener::bind(bus.socket()).unwrap());
}

#[test]
fn c5_many_start_over_a_stale_socket() {
    for _ in 0..rounds(2) {
        for row in with_peers(&[[Node, Rust, Node, Rust], [Rust, Rust, Rust, Rust]]) {
            let bus = bus!();
            leave_stale_socket(&bus);
            let peers = bus.start_all(row);
            let peers = peers.each_ref();
            bus.meet_at_once(&peers);
            bus.converged(&peers);
            bus.whole(&peers);
            bus.lock_is_gone();
        }
    }
}

#[test]
fn c6_many_start_on_a_free_path() {
    for _ in 0..rounds(2) {
        for row in with_peers(&[[Node, Rust, Node, Rust], [Rust, Rust, Rust, Rust]]) {
            let bus = bus!();
            let peers = bus.start_all(row);
            let peers = peers.each_ref();
            bus.meet_at_once(&peers);
            bus.converged(&peers);
            bus.whole(&peers);
        }
    }
}

#[test]
fn c7_a_fresh_lock_of_somebody_else_is_respected() {
    let bus = bus!();
    leave_stale_socket(&bus);
    let stale = fs::metadata(bus.socket()).unwrap().ino();
    File::create(bus.lock()).unwrap();
    let peers = bus.start_all([Rust, Rust]);
    let pending = [&peers[0], &peers[1]].map(|peer| peer.begin_subscribe("t", "all", json!({})));
    // The lock holder takes its time; what is asserted is that nobody has acted by then.
    std::thread::sleep(Duration::from_millis(700));
    assert!(pending.iter().all(|one| !one.is_done()));
    assert_eq!(fs::metadata(bus.socket()).unwrap().ino(), stale);
    assert!(bus.lock().exists());
    fs::remove_file(bus.lock()).unwrap();
    for one in pending {
        one.wait();
    }
    let peers = peers.each_ref();
    bus.converged(&peers);
    bus.whole(&peers);
    bus.lock_is_gone();
}

#[test]
fn c8_an_abandoned_lock_is_broken() {
    for row in with_peers(&[[Rust, Rust], [Rust, Node]]) {
        let bus = bus!();
        leave_stale_socket(&bus);
        let lock = File::create(bus.lock()).unwrap();
        lock.set_modified(SystemTime::now() - Duration::from_secs(3))
            .unwrap();
        let peers = bus.start_all(row);
        let peers = peers.each_ref();
        bus.meet_at_once(&peers);
        bus.converged(&peers);
        bus.whole(&peers);
        bus.lock_is_gone();
    }
}

#[test]
fn c11_a_rust_broker_that_lost_its_socket_forms_one_island_with_newcomers() {
    for row in with_peers(&[[Rust, Rust, Node], [Rust, Node, Rust], [Rust, Rust, Rust]]) {
        eprintln!("{row:?}");
        let bus = bus!();
        let peers = bus.start_all_with(row, json!({ "brokerPathCheckIntervalMs": 200 }));
        peers[0].subscribe("t", "all");
        peers[1].subscribe("t", "all");
        fs::remove_file(bus.socket()).unwrap();
        peers[2].subscribe("t", "all");
        let peers = peers.each_ref();
        bus.converged(&peers);
        bus.whole(&peers);
    }
}

#[test]
fn c12_rust_recreates_the_socket_that_a_closing_node_broker_removed() {
    if !have_node() {
        return;
    }
    let bus = bus!();
    let [old, new, late] = bus.start_all([Node, Rust, Rust]);
    old.subscribe("t", "all");
    fs::remove_file(bus.socket()).unwrap();
    new.subscribe("t", "all");
    // Node does not watch its path, so there are two islands now.
    assert!(old.is_broker() && new.is_broker());
    old.close();
    late.subscribe("t", "all");
    bus.converged(&[&new, &late]);
    bus.whole(&[&new, &late]);
    assert!(bus.socket().exists());
}

#[test]
fn c13_a_replaced_broker_leaves_the_socket_of_its_successor_alone() {
    let bus = bus!();
    let peer = bus.start_with(Rust, json!({ "brokerPathCheckIntervalMs": 600_000 }));
    peer.subscribe("t", "all");
    fs::remove_file(bus.socket()).unwrap();
    let _successor = bus.raw_broker();
    let inode = fs::metadata(bus.socket()).unwrap().ino();
    peer.close();
    assert_eq!(fs::metadata(bus.socket()).unwrap().ino(), inode);
}

#[test]
fn c15_a_socket_without_permission_is_left_alone() {
    for listening in [true, false] {
        let bus = bus!();
        // Everybody may come in and look, nobody but the owner may write; the socket denies even that.
        fs::set_permissions(bus.folder(), Permissions::from_mode(0o711)).unwrap();
        let listener = UnixListener::bind(bus.socket()).unwrap();
        fs::set_permissions(bus.socket(), Permissions::from_mode(0o000)).unwrap();
        let _kept = listening.then_some(listener);
        let inode = fs::metadata(bus.socket()).unwrap().ino();
        let peer = bus.start_unprivileged(json!({ "publishDeadlineMs": 1000 }));
        let event = json!({ "type": "x", "runId": "r" });
        let publish = peer
            .begin("publish", json!({ "topic": "t", "event": event }))
            .result();
        let subscribe = peer.begin_subscribe("t", "all", json!({})).result();
        for result in [publish, subscribe] {
            let error = result.expect_err("no permission");
            assert!(error.contains("permission denied"), "{error}");
        }
        assert!(!peer.is_broker());
        assert_eq!(fs::metadata(bus.socket()).unwrap().ino(), inode);
        assert!(!bus.lock().exists());
    }
}

#[test]
fn c16_a_path_that_is_too_long_is_refused() {
    let bus = bus!();
    let folder = bus.folder().join("f".repeat(60));
    let path = folder.join("s".repeat(107 - folder.as_os_str().len()));
    assert_eq!(path.as_os_str().len(), 108);
    let peer = bus.spawn_at(Rust, &path, json!({}));
    assert_eq!(peer.ended().code(), Some(70));
    let remarks = peer.remarks();
    let message = remarks[0]["fatal"].as_str().unwrap();
    assert!(message.contains("107"), "{message}");
    assert!(!folder.exists());
}
