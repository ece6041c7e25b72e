//! Groups and readers on a real server while connections break, the server dies, forgets, fills up or is replaced.
//!
//! The history of every run says: what was published is delivered at least once, in the order of its publisher, and no event is
//! in two hands at a time. What a trouble may lose is counted and printed.
#![allow(clippy::print_stdout)]

mod workload;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bowline_testkit::{Direction, RedisServer, RedisServerBuilder, Report, Violation};
use tokio::time::sleep;
use workload::{Stage, until};

const EVENTS: u64 = 150;

/// What a trouble may do to events.
#[derive(Clone, Copy, PartialEq)]
enum May {
    Nothing,
    Double,
    DoubleAndLose,
}

/// Publishes, reads and works through a server, in whose way `trouble` comes, and checks the history.
async fn suffer<F: Future<Output = ()>>(
    name: &str,
    may: May,
    trouble: impl FnOnce(Arc<Stage>, Arc<AtomicBool>) -> F,
) {
    if let Some(stage) = stage(RedisServer::builder()).await {
        suffer_on(stage, name, may, trouble).await;
    }
}

/// `None` where there is no server.
async fn stage(builder: RedisServerBuilder) -> Option<Stage> {
    if bowline_testkit::skips_redis() {
        return None;
    }
    Some(Stage::set(builder.start().await.expect("a server")).await)
}

/// As [`suffer`], on this stage.
async fn suffer_on<F: Future<Output = ()>>(
    stage: Stage,
    name: &str,
    may: May,
    trouble: impl FnOnce(Arc<Stage>, Arc<AtomicBool>) -> F,
) {
    let stage = Arc::new(stage);
    if may != May::Nothing {
        stage.history.allow_duplicates();
    }
    if may == May::DoubleAndLose {
        stage.history.allow_losses();
    }
    let report = stage
        .play(EVENTS, |done| trouble(Arc::clone(&stage), done))
        .await;
    println!(
        "{name}: {} expected, {} lost, {} doubled",
        report.expected, report.lost, report.doubled
    );
    match may {
        May::DoubleAndLose => assert_only_losses(&report),
        _ => report.assert_clean(),
    }
}

/// The server lost something, and the bus went on. What was refused lives on in its copy, which may be lost like any other entry:
/// then nobody acknowledges it.
fn assert_only_losses(report: &Report) {
    let is_loss = |violation: &&Violation| matches!(violation, Violation::Unsettled { .. });
    let copies = report.violations.iter().filter(is_loss).count();
    assert_eq!(copies, report.violations.len(), "{report}");
    assert!(
        report.lost + (copies as u64) < report.expected / 2,
        "{report}"
    );
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Waits until everything is published.
async fn published(done: &AtomicBool) {
    while !done.load(Relaxed) {
        sleep(millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_trouble_everything_comes_once() {
    suffer("no trouble", May::Nothing, |_, _| async {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slices_and_delays_lose_and_double_nothing() {
    let Some(stage) = stage(RedisServer::builder()).await else {
        return;
    };
    stage.proxy.slice(Some(7));
    stage.proxy.delay(Direction::ToClient, millis(3));
    stage.proxy.delay(Direction::ToServer, millis(3));
    suffer_on(stage, "slices and delays", May::Nothing, |_, _| async {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_clients_lose_nothing() {
    let kill = ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"];
    suffer("killed clients", May::Double, |stage, done| async move {
        until(&done, millis(60), |_| async {
            // The answer is an error when there is nobody to kill.
            let _ = stage.server.command(&kill).await;
            Ok(())
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_lose_nothing() {
    suffer("cut connections", May::Double, |stage, done| async move {
        let proxy = &stage.proxy;
        until(&done, millis(50), |round| async move {
            match round % 4 {
                0 => proxy.cut_all().await,
                1 => proxy.cut_after(Direction::ToClient, 200),
                2 => proxy.cut_on(Direction::ToServer, "XACK"),
                _ => proxy.cut_on(Direction::ToServer, "XADD"),
            }
            Ok(())
        })
        .await;
        proxy.cut_all().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_network_loses_nothing() {
    suffer("a silent network", May::Double, |stage, _| async move {
        sleep(millis(150)).await;
        stage.proxy.half_open(true).await;
        sleep(millis(800)).await;
        stage.proxy.half_open(false).await;
        stage.proxy.cut_all().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_writes_before_it_answers_survives_kill_9() {
    let Some(stage) = stage(RedisServer::builder().append_only()).await else {
        return;
    };
    let name = "kill -9 with appendfsync always";
    suffer_on(stage, name, May::Double, |stage, done| async move {
        until(&done, millis(150), |_| async {
            stage.server.kill();
            sleep(millis(50)).await;
            stage.server.restart().await.expect("restarted");
            Ok(())
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_server_loses_nothing() {
    suffer("a stopped server", May::Double, |stage, done| async move {
        until(&done, millis(100), |_| async {
            stage.server.pause().expect("stopped");
            sleep(millis(120)).await;
            stage.server.resume().expect("continued");
            Ok(())
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_everything_was_flushed_the_bus_goes_on() {
    suffer("FLUSHALL", May::DoubleAndLose, |stage, done| async move {
        sleep(millis(150)).await;
        stage.server.command(&["FLUSHALL"]).await.expect("flushed");
        published(&done).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_refuses_and_goes_on() {
    suffer("maxmemory", May::Double, |stage, _| async move {
        for (pause, bytes) in [(100, "1"), (200, "0")] {
            sleep(millis(pause)).await;
            let set = ["CONFIG", "SET", "maxmemory", bytes];
            stage.server.command(&set).await.expect("set");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_over_and_what_it_had_not_got_is_counted() {
    let Some(stage) = stage(RedisServer::builder()).await else {
        return;
    };
    let replica = RedisServer::builder().replica_of(&stage.server);
    let replica = replica.start().await.expect("a replica");
    let (name, successor) = ("an asynchronous fail-over", &replica);
    suffer_on(stage, name, May::DoubleAndLose, |stage, done| async move {
        sleep(millis(200)).await;
        stage.server.kill();
        successor.promote().await.expect("promoted");
        stage.proxy.set_upstream(successor.address());
        published(&done).await;
    })
    .await;
}
