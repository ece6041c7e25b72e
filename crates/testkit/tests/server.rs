//! The launcher starts real servers, and takes them down again whatever happens.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bowline_testkit::{Connection, PATIENCE, RedisServer, Reply, skips_redis};
use rustix::process::{Pid, test_kill_process};

fn exists(id: i32) -> bool {
    Pid::from_raw(id).is_some_and(|pid| test_kill_process(pid).is_ok())
}

fn await_end(id: i32) {
    let end = Instant::now() + PATIENCE;
    while exists(id) {
        assert!(Instant::now() < end, "process {id} is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn two_servers_share_nothing() {
    if skips_redis() {
        return;
    }
    let one = RedisServer::start().await.unwrap();
    let two = RedisServer::start().await.unwrap();
    one.command(&["SET", "key", "value"]).await.unwrap();
    assert_eq!(two.command(&["GET", "key"]).await.unwrap(), Reply::Nil);
    assert_ne!(one.port(), two.port());
}

#[tokio::test]
async fn killed_data_survives_only_with_the_append_only_file() {
    if skips_redis() {
        return;
    }
    for (builder, kept) in [
        (RedisServer::builder(), Reply::Nil),
        (
            RedisServer::builder().append_only(),
            Reply::Bulk(b"value".to_vec()),
        ),
    ] {
        let server = builder.start().await.unwrap();
        let (url, id) = (server.url(), server.process_id().unwrap());
        server.command(&["SET", "key", "value"]).await.unwrap();
        server.kill();
        assert!(!server.is_running() && !exists(id));
        server.command(&["PING"]).await.unwrap_err();
        server.restart().await.unwrap();
        assert_eq!(server.url(), url);
        assert_eq!(server.command(&["GET", "key"]).await.unwrap(), kept);
    }
}

#[tokio::test]
async fn a_server_that_ends_by_itself_is_not_running_and_can_be_restarted() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let id = server.process_id().unwrap();
    server.command(&["SHUTDOWN", "NOSAVE"]).await.unwrap_err();
    await_end(id);
    let end = Instant::now() + PATIENCE;
    while server.is_running() {
        assert!(Instant::now() < end);
    }
    server.pause().unwrap_err();
    server.restart().await.unwrap();
    server.command(&["PING"]).await.unwrap();
}

#[tokio::test]
async fn a_dropped_or_panicked_handle_leaves_no_process_and_no_folder() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let id = server.process_id().unwrap();
    let folder = server.command(&["CONFIG", "GET", "dir"]).await.unwrap();
    let folder = folder.field("dir").and_then(Reply::text).unwrap();
    assert!(std::path::Path::new(&folder).is_dir());
    let panicked = tokio::spawn(async move {
        server.pause().unwrap();
        panic!("a test fails with {}", server.url());
    });
    assert!(panicked.await.unwrap_err().is_panic());
    assert!(!exists(id));
    assert!(!std::path::Path::new(&folder).exists());
}

#[test]
fn a_killed_test_process_takes_its_server_along() {
    if skips_redis() {
        return;
    }
    let mut holder = Command::new(env!("CARGO_BIN_EXE_scratch-redis"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let id = line.split_once(' ').unwrap().0.parse().unwrap();
    assert!(exists(id));
    holder.kill().unwrap();
    holder.wait().unwrap();
    await_end(id);
}

#[tokio::test]
async fn a_paused_server_answers_after_it_is_resumed() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let mut connection = server.connect().await.unwrap();
    server.pause().unwrap();
    connection.send(&["PING"]).await.unwrap();
    let silent = tokio::time::timeout(Duration::from_millis(50), connection.read()).await;
    assert!(silent.is_err(), "{silent:?}");
    server.resume().unwrap();
    // The read that was given up took nothing from the connection.
    let answer = connection.read().await.unwrap();
    assert_eq!(answer, Reply::Status("PONG".into()));
}

#[tokio::test]
async fn password_and_users_are_asked_for() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::builder()
        .password("se:cret")
        .user("reader on >word ~a* resetchannels -@all +get +auth")
        .start()
        .await
        .unwrap();
    assert!(server.url().contains(":se%3Acret@"));
    let mut stranger = Connection::open(server.address()).await.unwrap();
    let mut call = async |command: &[&str]| stranger.call(command).await.unwrap().text().unwrap();
    assert!(call(&["GET", "a"]).await.starts_with("NOAUTH"));
    assert!(
        call(&["AUTH", "reader", "se:cret"])
            .await
            .starts_with("WRONGPASS")
    );
    assert_eq!(call(&["AUTH", "reader", "word"]).await, "OK");
    assert!(call(&["GET", "b"]).await.starts_with("NOPERM"));
    assert!(call(&["SET", "a", "1"]).await.starts_with("NOPERM"));
    assert_eq!(call(&["AUTH", "se:cret"]).await, "OK");
    assert_eq!(call(&["SET", "a", "1"]).await, "OK");
    server.command(&["GET", "a"]).await.unwrap();
}

#[tokio::test]
async fn the_memory_limit_is_reached() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::builder()
        .max_memory("3mb", "noeviction")
        .start()
        .await
        .unwrap();
    let big = "x".repeat(1 << 20);
    let mut refused = None;
    for key in 0..4 {
        if let Err(error) = server.command(&["SET", &key.to_string(), &big]).await {
            refused = Some(error.to_string());
        }
    }
    assert!(refused.unwrap().contains("OOM"));
}

#[tokio::test]
async fn a_replica_follows_and_is_promoted() {
    if skips_redis() {
        return;
    }
    let master = RedisServer::builder().password("p").start().await.unwrap();
    master.command(&["SET", "key", "1"]).await.unwrap();
    let replica = RedisServer::builder()
        .password("p")
        .replica_of(&master)
        .start()
        .await
        .unwrap();
    let value = replica.command(&["GET", "key"]).await.unwrap();
    assert_eq!(value.int(), Some(1));
    let refused = replica.command(&["SET", "key", "2"]).await.unwrap_err();
    assert!(refused.to_string().contains("READONLY"));
    master.kill();
    replica.promote().await.unwrap();
    replica.command(&["SET", "key", "2"]).await.unwrap();
    master.restart().await.unwrap();
    master.demote(&replica).await.unwrap();
    let value = master.command(&["GET", "key"]).await.unwrap();
    assert_eq!(value.int(), Some(2));
}

#[tokio::test]
async fn a_failed_start_shows_the_log() {
    if skips_redis() {
        return;
    }
    let failed = RedisServer::builder()
        .config("no-such-option yes")
        .start()
        .await
        .unwrap_err()
        .to_string();
    assert!(failed.contains("no-such-option"), "{failed}");
    let missing = RedisServer::builder()
        .program("no-such-redis-server")
        .start()
        .await
        .unwrap_err()
        .to_string();
    assert!(missing.contains("no-such-redis-server"), "{missing}");
}
