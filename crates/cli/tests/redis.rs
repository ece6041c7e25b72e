//! The command on real Redis servers: what works, what the doctor finds, and what is said when it does not work.

#![cfg(feature = "redis")]
#![allow(
    clippy::unwrap_used,
    reason = "what fails in a helper of a test is a failed test"
)]

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use bowline_testkit::RedisServer;
use serde_json::Value;
use support::{Done, Running, Scratch};

macro_rules! need_redis {
    () => {
        if bowline_testkit::skips_redis() {
            return;
        }
    };
}

/// A user that may do all that a bus needs, and nothing to look around with.
const APPLICATION: &str = "app on >hunter2 ~mastra:topic:* +xadd +xgroup|create +xgroup|destroy +xreadgroup +xack +xpending \
    +xclaim +xinfo|groups +xrange +xrevrange +xdel +pexpire +del +set +get +eval +multi +exec +ping +quit +auth +select";

fn doctor(bus: &str) -> Done {
    Scratch::new().run(["doctor", "--json", "--bus", bus], "")
}

fn publish(bus: &str, topic: &str) -> Done {
    let args = ["publish", topic, "--bus", bus, "--type", "t", "--data", "1"];
    Scratch::new().run(args, "")
}

async fn keys(server: &RedisServer) -> Vec<String> {
    server.command(&["KEYS", "*"]).await.unwrap().texts()
}

fn assert_found(findings: &[(String, String)], part: &str, remedy: &str) {
    assert!(
        findings
            .iter()
            .any(|(what, how)| what.contains(part) && how.contains(remedy)),
        "{part:?}, {remedy:?}: {findings:#?}"
    );
}

#[tokio::test]
async fn a_careful_server_is_fine_and_stays_untouched() {
    need_redis!();
    let server = RedisServer::builder().append_only().start().await.unwrap();
    let done = doctor(&server.url());
    assert_eq!(done.code, Some(0), "{done:?}");
    for level in ["problem", "warning", "unknown"] {
        assert_eq!(done.findings(level), [], "{done:?}");
    }
    assert_found(&done.findings("ok"), "is on the disk of the server", "");
    let report: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(report["server"]["user"], "default");
    assert!(
        report["server"]["roundTripMicros"]
            .as_u64()
            .is_some_and(|time| time > 0)
    );
    assert!(keys(&server).await.is_empty());

    let text = Scratch::new().run(["doctor", "--bus", &server.url()], "");
    for part in ["ok       the server is ", "What this bus can do", "stored"] {
        assert!(text.out.contains(part), "{part}: {text:?}");
    }
}

#[tokio::test]
async fn what_may_lose_events_is_found_with_its_remedy() {
    need_redis!();
    let server = RedisServer::builder()
        .max_memory("64mb", "allkeys-lru")
        .config("timeout 60")
        .config("min-replicas-to-write 1")
        .start()
        .await
        .unwrap();
    let done = doctor(&format!(
        "{}?max_event_bytes=1GiB&cluster=true",
        server.url()
    ));
    assert_eq!(done.code, Some(1), "{done:?}");
    let problems = done.findings("problem");
    assert_found(
        &problems,
        "(allkeys-lru): whole topics",
        "maxmemory-policy noeviction",
    );
    assert_found(
        &problems,
        "0 replicas are connected and 1 are needed",
        "min-replicas-to-write",
    );
    assert_found(&problems, "not part of a cluster", "remove cluster=true");
    let warnings = done.findings("warning");
    assert_found(&warnings, "keeps nothing on disk", "appendonly yes");
    assert_found(&warnings, "idle for 60 s", "timeout 0");
    assert_found(&warnings, "proto-max-bulk-len", "max_event_bytes=");
}

#[tokio::test]
async fn a_server_that_tells_little_is_judged_by_what_it_tells() {
    need_redis!();
    let server = RedisServer::builder()
        .user(APPLICATION)
        .start()
        .await
        .unwrap();
    let done = doctor(&server.url_with("app", "hunter2", 0));
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(!done.out.contains("hunter2"), "{done:?}");
    let unknown = done.findings("unknown");
    for part in ["memory is full", "restart of the server", "clocks"] {
        assert_found(&unknown, part, "+info");
    }
    let warnings = done.findings("warning");
    assert_found(
        &warnings,
        "may not send XINFO STREAM: readers cannot begin at a position",
        "+xinfo|stream",
    );
    assert_found(
        &warnings,
        "may not send SCAN: topics cannot be listed",
        "+scan",
    );
}

#[tokio::test]
async fn a_right_that_nothing_works_without_is_a_problem() {
    need_redis!();
    let server = RedisServer::builder()
        .user("reader on >hunter2 ~* +@all -xadd")
        .user("stranger on >hunter2 ~other:* +@all")
        .start()
        .await
        .unwrap();
    let done = doctor(&server.url_with("reader", "hunter2", 0));
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_found(
        &done.findings("problem"),
        "reader may not send XADD: nothing can be published",
        "+xadd",
    );

    let done = doctor(&server.url_with("stranger", "hunter2", 0));
    assert_found(
        &done.findings("problem"),
        "nothing can be published",
        "~mastra:topic:*",
    );
}

#[tokio::test]
async fn a_replica_takes_no_bus() {
    need_redis!();
    let master = RedisServer::start().await.unwrap();
    let replica = RedisServer::builder()
        .replica_of(&master)
        .start()
        .await
        .unwrap();
    let done = doctor(&replica.url());
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_found(
        &done.findings("problem"),
        "the server is a replica",
        "master",
    );
    let done = doctor(&master.url());
    assert_found(
        &done.findings("warning"),
        "1 replicas follow asynchronously",
        "min-replicas",
    );
}

#[tokio::test]
async fn topics_are_listed_for_people_and_for_programs() {
    need_redis!();
    let server = RedisServer::start().await.unwrap();
    let bus = format!("{}?key_prefix=shop", server.url());
    let scratch = Scratch::new();
    let empty = scratch.run(["topics", "--bus", &bus], "");
    assert_eq!((empty.code, empty.out.as_str()), (Some(0), ""));
    assert!(empty.err.contains("no topics"), "{empty:?}");

    for topic in ["orders", "orders", "a topic"] {
        assert_eq!(publish(&bus, topic).code, Some(0));
    }
    for command in [
        &["XGROUP", "CREATE", "shop:orders", "workers", "0"][..],
        &[
            "XREADGROUP",
            "GROUP",
            "workers",
            "w",
            "COUNT",
            "1",
            "STREAMS",
            "shop:orders",
            ">",
        ],
    ] {
        server.command(command).await.unwrap();
    }
    let table = scratch.run(["topics", "--bus", &bus], "");
    assert_eq!(table.code, Some(0), "{table:?}");
    for part in [
        "TOPIC",
        "a topic",
        "workers (1 pending, 1 behind, 1 member)",
    ] {
        assert!(table.out.contains(part), "{part}: {table:?}");
    }
    let lines = scratch.run(["topics", "--json", "--bus", &bus], "");
    let lines: Vec<Value> = lines
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[0]["topic"], &lines[0]["events"]),
        (&"a topic".into(), &1.into())
    );
    let orders = &lines[1];
    assert_eq!(
        (&orders["key"], &orders["events"]),
        (&"shop:orders".into(), &2.into())
    );
    assert_eq!(orders["groups"], serde_json::json!(["workers"]));
    assert_eq!(
        (
            &orders["readers"][0]["pending"],
            &orders["readers"][0]["lag"]
        ),
        (&1.into(), &1.into())
    );
    assert!(
        orders["bytes"].is_u64() && orders["idleMillis"].is_u64(),
        "{orders}"
    );
}

#[tokio::test]
async fn a_failure_is_one_line_that_names_key_and_command() {
    need_redis!();
    let user = "app on >hunter2 ~mastra:topic:* +@all -xadd -scan";
    let server = RedisServer::builder().user(user).start().await.unwrap();
    server
        .command(&["SET", "mastra:topic:taken", "x"])
        .await
        .unwrap();
    let free = server.url();
    let denied = server.url_with("app", "hunter2", 0);
    let wrong = server.url_with("app", "hunter3", 0);
    let nobody = "redis://u:hunter2@127.0.0.1:1".to_owned();
    let topics = |bus: &str| Scratch::new().run(["topics", "--bus", bus], "");
    let table: [(Done, i32, &[&str]); 7] = [
        (
            publish(&wrong, "t"),
            1,
            &["WRONGPASS", "check user and password"],
        ),
        (topics(&wrong), 1, &["WRONGPASS", "check user and password"]),
        (
            publish(&denied, "t"),
            1,
            &["mastra:topic:t", "XADD", "NOPERM", "bowline doctor"],
        ),
        (
            topics(&denied),
            1,
            &["mastra:topic:", "SCAN", "NOPERM", "bowline doctor"],
        ),
        (
            publish(&free, "taken"),
            2,
            &[
                "mastra:topic:taken",
                "XADD",
                "WRONGTYPE",
                "another key prefix",
            ],
        ),
        (
            publish(&nobody, "t"),
            1,
            &["cannot be reached", "check the address"],
        ),
        (topics(&nobody), 1, &["127.0.0.1:1", "cannot be reached"]),
    ];
    for (done, code, parts) in table {
        assert_eq!(done.code, Some(code), "{done:?}");
        for part in parts {
            assert!(done.failure().contains(part), "{part:?}: {done:?}");
        }
        assert!(!format!("{done:?}").contains("hunter"), "{done:?}");
    }
}

#[tokio::test]
async fn a_connection_may_be_encrypted() {
    need_redis!();
    let server = RedisServer::builder()
        .tls()
        .password("hunter2")
        .start()
        .await
        .unwrap();
    let scratch = Scratch::new();
    let ca = scratch.write("ca.pem", server.ca_pem());
    let bus = format!("{}?tls_ca={}", server.tls_url(), ca.display());
    assert_eq!(publish(&bus, "t").code, Some(0));
    let done = doctor(&bus);
    assert_found(&done.findings("ok"), "the connection is encrypted", "");

    // Without the certificate of the authority nobody is trusted.
    let stranger = publish(&server.tls_url(), "t");
    assert_eq!(stranger.code, Some(1), "{stranger:?}");
    assert!(stranger.failure().contains("certificate"), "{stranger:?}");
    let plain = publish(&server.tls_url().replace("rediss", "redis"), "t");
    assert_eq!(plain.code, Some(1), "{plain:?}");
}

/// Speaks just enough of the protocol to be taken for an old Redis; such a server cannot be installed any more.
fn old_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            std::thread::spawn(move || answer_as_old(&stream));
        }
    });
    format!("redis://{address}")
}

fn answer_as_old(mut stream: &TcpStream) {
    let info = "redis_version:6.2.14\r\nrole:master\r\n";
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    while let Some(head) = lines.next() {
        let Some(count) = head.strip_prefix('*') else {
            continue;
        };
        // Each word is a line with its length, and a line with its text.
        let words: Vec<String> = lines
            .by_ref()
            .take(2 * count.parse::<usize>().unwrap())
            .collect();
        let reply = match words[1].to_uppercase().as_str() {
            "PING" => "+PONG\r\n".to_owned(),
            "INFO" => format!("${}\r\n{info}\r\n", info.len()),
            name => format!("-ERR unknown command '{name}'\r\n"),
        };
        if stream.write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}

#[test]
fn an_old_server_is_a_problem() {
    let done = doctor(&old_server());
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_found(
        &done.findings("problem"),
        "redis 6.2.14",
        "upgrade to Redis 7.0",
    );
    assert_found(
        &done.findings("problem"),
        "XADD: nothing can be published",
        "",
    );
}

#[tokio::test]
async fn a_cache_on_a_server_resumes_what_another_process_published() {
    need_redis!();
    let server = RedisServer::start().await.unwrap();
    let cache = format!("{}?ttl=60s", server.url());
    let scratch = Scratch::new();
    // A socket keeps nothing, so what comes back comes from the cache.
    let (bus, topic) = (scratch.bus(), "agent.stream.run-1");
    for n in 0..3 {
        let data = n.to_string();
        let args = [
            "publish", topic, "--bus", &bus, "--cache", &cache, "--type", "chunk", "--data", &data,
        ];
        let done = scratch.run(args, "");
        assert_eq!(done.code, Some(0), "{done:?}");
        let receipt: Value = serde_json::from_str(&done.out).unwrap();
        assert_eq!(receipt["index"], n);
    }
    let tail = [
        "tail", topic, "--bus", &bus, "--cache", &cache, "--from", "1", "--limit", "2", "--json",
    ];
    let done = scratch.run(tail, "");
    assert_eq!(done.code, Some(0), "{done:?}");
    let events: Vec<Value> = done
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events.len(), 2);
    assert_eq!(
        (&events[0]["index"], &events[0]["data"]),
        (&1.into(), &1.into())
    );

    let listed = scratch.run(["topics", "--json", "--bus", &bus, "--cache", &cache], "");
    let line: Value = serde_json::from_str(&listed.out).unwrap_or_else(|_| panic!("{listed:?}"));
    assert_eq!(
        (&line["topic"], &line["events"]),
        (&topic.into(), &3.into())
    );

    let redis = server.url();
    let table = scratch.run(["topics", "--bus", &redis, "--cache", &cache], "");
    assert!(table.out.contains("(in the cache only)"), "{table:?}");
}

#[tokio::test]
async fn the_doctor_looks_at_the_cache_too() {
    need_redis!();
    let user = "reader on >hunter2 ~* +@all -rpush";
    let server = RedisServer::builder()
        .max_memory("64mb", "allkeys-lru")
        .user(user)
        .start()
        .await
        .unwrap();
    let look = |cache: &str| {
        let args = ["doctor", "--json", "--bus", "memory:", "--cache", cache];
        Scratch::new().run(args, "")
    };
    let done = look(&server.url());
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_found(&done.findings("ok"), "cache: a read takes", "");
    assert_found(
        &done.findings("warning"),
        "cache: when the memory is full, histories",
        "noeviction",
    );
    let report: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(report["cache"], server.url());

    let done = look(&server.url_with("reader", "hunter2", 0));
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_found(
        &done.findings("problem"),
        "may not send RPUSH: nothing is kept",
        "+rpush",
    );
    assert!(!done.out.contains("hunter2"), "{done:?}");

    let done = look("redis://127.0.0.1:1");
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_found(&done.findings("problem"), "cache: connect", "host and port");

    let done = look("memory:");
    assert_found(
        &done.findings("warning"),
        "in the memory of one process",
        "--cache redis://",
    );
}

fn tail(bus: &str, topic: &str, options: &[&str]) -> Running {
    let args = [&["tail", topic, "--bus", bus, "--json"], options].concat();
    let running = Scratch::new().start(args);
    running.wait_for_note("listening");
    running
}

fn event(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

#[tokio::test]
async fn tail_prints_what_is_published_and_what_was() {
    need_redis!();
    let server = RedisServer::start().await.unwrap();
    let bus = server.url();
    publish(&bus, "orders");
    let live = tail(&bus, "orders", &["--limit", "1"]);
    let all = tail(&bus, "orders", &["--limit", "2", "--from", "earliest"]);
    publish(&bus, "orders");
    let second = event(&live.line());
    assert_eq!((&second["type"], &second["data"]), (&"t".into(), &1.into()));
    let first = event(&all.line());
    assert_ne!(first["id"], second["id"]);
    assert_eq!(event(&all.line())["id"], second["id"]);
    for running in [live, all] {
        assert_eq!(running.wait(), (Some(0), Vec::new()));
    }
    let groups = server
        .command(&["XINFO", "GROUPS", "mastra:topic:orders"])
        .await
        .unwrap();
    assert!(groups.items().is_empty(), "{groups:?}");
}

#[tokio::test]
async fn members_of_a_group_share_and_acknowledge() {
    need_redis!();
    let server = RedisServer::start().await.unwrap();
    let bus = server.url();
    let options = ["--group", "workers", "--limit", "3"];
    let members = [tail(&bus, "jobs", &options), tail(&bus, "jobs", &options)];
    for _ in 0..6 {
        publish(&bus, "jobs");
    }
    let mut ids = BTreeSet::new();
    for member in members {
        let (code, lines) = member.wait();
        assert_eq!(code, Some(0));
        ids.extend(lines.iter().map(|line| event(line)["id"].to_string()));
    }
    assert_eq!(ids.len(), 6);
    let pending = server
        .command(&["XPENDING", "mastra:topic:jobs", "workers"])
        .await
        .unwrap();
    assert_eq!(pending.items()[0].int(), Some(0), "{pending:?}");
}

#[tokio::test]
async fn a_subscriber_that_may_not_read_is_told() {
    need_redis!();
    let user = "app on >hunter2 ~* +@all -xreadgroup";
    let server = RedisServer::builder().user(user).start().await.unwrap();
    server
        .command(&["SET", "mastra:topic:taken", "x"])
        .await
        .unwrap();
    let table: [(String, &str, i32, &[&str]); 2] = [
        (
            server.url_with("app", "hunter2", 0),
            "t",
            1,
            &["mastra:topic:t", "XREADGROUP", "NOPERM"],
        ),
        (
            server.url(),
            "taken",
            2,
            &["mastra:topic:taken", "XGROUP CREATE", "WRONGTYPE"],
        ),
    ];
    for (bus, topic, code, parts) in table {
        let done = Scratch::new().run(["tail", topic, "--bus", &bus, "--timeout", "20"], "");
        assert_eq!(done.code, Some(code), "{done:?}");
        for part in parts {
            assert!(done.failure().contains(part), "{part}: {done:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_is_resumed_through_cache_and_bus_of_one_server() {
    need_redis!();
    let server = RedisServer::start().await.unwrap();
    let (url, topic) = (server.url(), "agent.stream.run-1");
    let write = |data: &str| {
        let args = [
            "publish", topic, "--bus", &url, "--cache", &url, "--type", "chunk", "--data", data,
        ];
        assert_eq!(Scratch::new().run(args, "").code, Some(0));
    };
    write("0");
    write("1");
    let options = ["--cache", &url, "--from", "0", "--limit", "3"];
    let reader = tail(&url, topic, &options);
    write("2");
    let (code, lines) = reader.wait();
    assert_eq!(code, Some(0));
    let seen: Vec<_> = lines
        .iter()
        .map(|line| event(line)["data"].to_string())
        .collect();
    assert_eq!(seen, ["0", "1", "2"]);
}
