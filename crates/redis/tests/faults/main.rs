//! Groups and readers on a real server while connections break, the server dies, forgets, fills up or is replaced.
//!
//! The history of every run says: what was published is delivered at least once, in the order of its publisher, and no event is
//! in two hands at a time. What a trouble may lose is counted and printed.
#![allow(clippy::print_stdout)]

mod workload;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bowline_testkit::{Direction, RedisServer, Report, Violation};
use workload::{Stage, until};

const EVENTS: u64 = 150;

async fn stage(durable: bool) -> Option<Stage> {
    if bowline_testkit::skips_redis() {
        return None;
    }
    let builder = RedisServer::builder();
    let builder = if durable {
        builder.append_only()
    } else {
        builder
    };
    Some(Stage::set(builder.start().await.expect("a server")).await)
}

fn print(trouble: &str, report: &Report) {
    println!(
        "{trouble}: {} expected, {} lost, {} doubled",
        report.expected, report.lost, report.doubled
    );
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_trouble_everything_comes_once() {
    let Some(stage) = stage(false).await else {
        return;
    };
    let report = stage.play(EVENTS, |_| async {}).await;
    print("no trouble", &report);
    report.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slices_and_delays_lose_and_double_nothing() {
    let Some(stage) = stage(false).await else {
        return;
    };
    stage.proxy.slice(Some(7));
    stage
        .proxy
        .delay(Direction::ToClient, Duration::from_millis(3));
    stage
        .proxy
        .delay(Direction::ToServer, Duration::from_millis(3));
    let report = stage.play(EVENTS, |_| async {}).await;
    print("slices and delays", &report);
    report.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_clients_lose_nothing() {
    let Some(stage) = stage(false).await else {
        return;
    };
    stage.history.allow_duplicates();
    let server = &stage.server;
    let report = stage
        .play(EVENTS, |done| async move {
            until(&done, Duration::from_millis(60), |_| async {
                // The answer is an error when there is nobody to kill.
                let _ = server
                    .command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])
                    .await;
                Ok(())
            })
            .await;
        })
        .await;
    print("killed clients", &report);
    report.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_lose_nothing() {
    let Some(stage) = stage(false).await else {
        return;
    };
    stage.history.allow_duplicates();
    let proxy = &stage.proxy;
    let report = stage
        .play(EVENTS, |done| async move {
            until(&done, Duration::from_millis(50), |round| async move {
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
    print("cut connections", &report);
    report.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_network_loses_nothing() {
    let Some(stage) = stage(false).await else {
        return;
    };
    stage.history.allow_duplicates();
    let proxy = &stage.proxy;
    let report = stage
        .play(EVENTS, |_| async move {
            tokio::time::sleep(Duration::from_millis(150)).await;
            proxy.half_open(true).await;
            tokio::time::sleep(Duration::from_millis(800)).await;
            proxy.half_open(false).await;
            proxy.cut_all().await;
        })
        .await;
    print("a silent network", &report);
    report.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_writes_before_it_answers_survives_kill_9() {
    let Some(stage) = stage(true).await else {
        return;
    };
    stage.history.allow_duplicates();
    let server = &stage.server;
    let report = stage
        .play(EVENTS, |done| async move {
            until(&done, Duration::from_millis(150), |_| async {
                server.kill();
                tokio::time::sleep(Duration::from_millis(50)).await;
                server.restart().await.expect("restarted");
                Ok(())
            })
            .await;
        })
        .await;
    print("kill -9 with appendfsync always", &report);
    report.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_server_loses_nothing() {
    let Some(stage) = stage(false).await else {
        return;
    };
    stage.history.allow_duplicates();
    let server = &stage.server;
    let report = stage
        .play(EVENTS, |done| async move {
            until(&done, Duration::from_millis(100), |_| async {
                server.pause().expect("stopped");
                tokio::time::sleep(Duration::from_millis(120)).await;
                server.resume().expect("continued");
                Ok(())
            })
            .await;
        })
        .await;
    print("a stopped server", &report);
    report.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_everything_was_flushed_the_bus_goes_on() {
    let Some(stage) = stage(false).await else {
        return;
    };
    stage.history.allow_duplicates();
    stage.history.allow_losses();
    let server = &stage.server;
    let report = stage
        .play(EVENTS, |done| async move {
            tokio::time::sleep(Duration::from_millis(150)).await;
            server.command(&["FLUSHALL"]).await.expect("flushed");
            while !done.load(Relaxed) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    print("FLUSHALL", &report);
    assert_only_losses(&report);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_refuses_and_goes_on() {
    let Some(stage) = stage(false).await else {
        return;
    };
    stage.history.allow_duplicates();
    let server = &stage.server;
    let report = stage
        .play(EVENTS, |_| async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            server
                .command(&["CONFIG", "SET", "maxmemory", "1"])
                .await
                .expect("full");
            tokio::time::sleep(Duration::from_millis(200)).await;
            server
                .command(&["CONFIG", "SET", "maxmemory", "0"])
                .await
                .expect("free again");
        })
        .await;
    print("maxmemory", &report);
    report.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_over_and_what_it_had_not_got_is_counted() {
    let Some(stage) = stage(false).await else {
        return;
    };
    stage.history.allow_duplicates();
    stage.history.allow_losses();
    let replica = RedisServer::builder()
        .replica_of(&stage.server)
        .start()
        .await
        .expect("a replica");
    let (server, proxy, successor) = (&stage.server, &stage.proxy, &replica);
    let report = stage
        .play(EVENTS, |done| async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            server.kill();
            successor.promote().await.expect("promoted");
            proxy.set_upstream(successor.address());
            while !done.load(Relaxed) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    print("an asynchronous fail-over", &report);
    assert_only_losses(&report);
}
