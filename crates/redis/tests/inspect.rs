//! What a real server tells, what it may refuse to tell, and that looking changes nothing.

use std::time::Duration;

use bowline_events::{ErrorKind, NewEvent, PubSubExt};
use bowline_redis::inspect::{Report, Role, SoftwareKind, Verdict, inspect, streams};
use bowline_redis::{RedisStreamsPubSub, Server};
use bowline_testkit::{RedisCluster, RedisServer};

const BUS: Role<'static> = Role::Bus {
    key_prefix: "mastra:topic",
};

/// The user of the specification: all that a bus needs, and nothing to look around with.
const APPLICATION: &str = "app on >secret ~mastra:topic:* +xadd +xgroup|create +xgroup|destroy +xreadgroup +xack +xpending \
    +xclaim +xinfo|groups +xrange +xrevrange +xdel +pexpire +del +set +get +eval +multi +exec +ping +quit +auth +select";

macro_rules! need_redis {
    () => {
        if bowline_testkit::skips_redis() {
            return;
        }
    };
}

async fn look(url: &str, role: Role<'_>) -> Report {
    let server: Server = url.parse().expect("a URL");
    inspect(&server, role).await.expect("a report")
}

fn denied(report: &Report) -> Vec<&'static str> {
    let commands = report.permissions.commands.iter();
    commands
        .filter(|permission| matches!(permission.verdict, Verdict::Denied(_)))
        .map(|permission| permission.command)
        .collect()
}

async fn keys(server: &RedisServer) -> Vec<String> {
    server.command(&["KEYS", "*"]).await.expect("KEYS").texts()
}

#[tokio::test]
async fn a_server_of_ones_own_tells_everything() {
    need_redis!();
    let server = RedisServer::builder()
        .append_only()
        .max_memory("64mb", "allkeys-lru")
        .config("timeout 300")
        .start()
        .await
        .expect("a server");
    let report = look(&server.url(), BUS).await;
    let software = report.software.expect("told");
    assert!(software.kind != SoftwareKind::Other("redis".to_owned()));
    assert!(software.release() >= (7, 0), "{software:?}");
    assert!(report.is_loopback);
    assert_eq!(report.user.as_deref(), Ok("default"));
    assert_eq!(report.is_cluster, Ok(false));
    assert!(report.round_trip > Duration::ZERO);
    assert!(report.clock_ahead.is_ok());
    assert_eq!(report.memory.policy.as_deref(), Ok("allkeys-lru"));
    assert_eq!(report.memory.limit, Ok(64 << 20));
    assert_eq!(report.memory.evicted, Ok(0));
    assert_eq!(report.persistence.append_only, Ok(true));
    assert_eq!(report.persistence.fsync.as_deref(), Ok("always"));
    assert_eq!(report.persistence.snapshots.as_deref(), Ok(""));
    assert_eq!(report.persistence.healthy, Ok(true));
    assert_eq!(report.replication.is_replica, Ok(false));
    assert_eq!(report.replication.replicas, Ok(0));
    assert_eq!(report.replication.needed, Ok(0));
    assert_eq!(report.limits.idle_timeout, Ok(Duration::from_secs(300)));
    assert!(report.limits.node_entries.is_ok() && report.limits.value_bytes.is_ok());
    assert!(report.permissions.asked);
    assert!(keys(&server).await.is_empty());
}

#[tokio::test]
async fn a_replica_is_recognised() {
    need_redis!();
    let master = RedisServer::start().await.expect("a server");
    let replica = RedisServer::builder()
        .replica_of(&master)
        .start()
        .await
        .expect("a replica");
    let report = look(&master.url(), BUS).await;
    assert_eq!(report.replication.replicas, Ok(1));
    let report = look(&replica.url(), BUS).await;
    assert_eq!(report.replication.is_replica, Ok(true));
}

#[tokio::test]
async fn what_may_not_be_asked_is_unknown_and_the_rest_is_told() {
    need_redis!();
    let server = RedisServer::builder()
        .user(APPLICATION)
        .start()
        .await
        .expect("a server");
    let report = look(&server.url_with("app", "secret", 0), BUS).await;
    let unknown = report.memory.policy.unwrap_err();
    assert!(unknown.to_string().contains("NOPERM"), "{unknown}");
    // Every user may say HELLO.
    assert!(
        report
            .software
            .is_ok_and(|software| software.release() >= (7, 0))
    );
    for command in [
        report.clock_ahead.unwrap_err().command,
        report.persistence.fsync.unwrap_err().command,
    ] {
        assert!(
            ["TIME", "INFO", "CONFIG GET"].contains(&command),
            "{command}"
        );
    }
    assert!(keys(&server).await.is_empty());
}

#[tokio::test]
async fn each_denied_command_is_named_whether_the_server_can_be_asked_or_not() {
    need_redis!();
    let asked = format!("asked{} +acl|whoami +acl|dryrun +xtrim", &APPLICATION[3..]);
    let tried = format!("tried{} +xtrim", &APPLICATION[3..]);
    let server = RedisServer::builder()
        .user(asked)
        .user(tried)
        .start()
        .await
        .expect("a server");
    for user in ["asked", "tried"] {
        let report = look(&server.url_with(user, "secret", 0), BUS).await;
        assert_eq!(report.permissions.asked, user == "asked");
        let expected = [
            "XINFO STREAM",
            "XINFO CONSUMERS",
            "XGROUP DELCONSUMER",
            "SCAN",
            "XLEN",
            "MEMORY USAGE",
        ];
        assert_eq!(denied(&report), expected, "{user}");

        let elsewhere = look(
            &server.url_with(user, "secret", 0),
            Role::Bus {
                key_prefix: "other",
            },
        )
        .await;
        let denied = denied(&elsewhere);
        assert!(
            denied.contains(&"XADD") && denied.contains(&"XREADGROUP"),
            "{user}: {denied:?}"
        );
    }
    assert!(keys(&server).await.is_empty());
}

#[tokio::test]
async fn trying_every_command_leaves_nothing_behind() {
    need_redis!();
    let table = [
        ("+@all -acl", &[][..], false),
        ("+@all -acl -discard", &[], false),
        ("+@all -acl -multi", &["MULTI"], true),
        ("+@all -acl -exec -rpush", &["EXEC", "RPUSH"], false),
    ];
    for (rules, missing, guesses) in table {
        let user = format!("all on >secret ~* {rules}");
        let server = RedisServer::builder()
            .user(user)
            .start()
            .await
            .expect("a server");
        let cache = Role::Cache {
            key_prefix: "c:",
            topic_prefix: "p:",
        };
        for role in [BUS, cache] {
            let report = look(&server.url_with("all", "secret", 0), role).await;
            assert!(!report.permissions.asked);
            let needed = |name: &&&str| {
                let mut commands = report.permissions.commands.iter();
                commands.any(|permission| permission.command == **name)
            };
            let expected: Vec<_> = missing.iter().filter(needed).copied().collect();
            assert_eq!(denied(&report), expected, "{rules}");
            let unknown = |verdict: &Verdict| matches!(verdict, Verdict::Unknown(_));
            let mut commands = report.permissions.commands.iter();
            let guessed = commands.any(|command| unknown(&command.verdict));
            assert_eq!(guessed, guesses && role == cache, "{rules}");
        }
        assert!(keys(&server).await.is_empty(), "{rules}");
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_asked_is_an_error() {
    need_redis!();
    let server = RedisServer::builder()
        .password("right")
        .start()
        .await
        .expect("a server");
    let table = [
        (
            server.url().replace("right", "wrong"),
            ErrorKind::PermissionDenied,
        ),
        (
            format!("redis://127.0.0.1:{}", server.port()),
            ErrorKind::PermissionDenied,
        ),
        ("redis://127.0.0.1:1".to_owned(), ErrorKind::Unavailable),
    ];
    for (url, kind) in table {
        let asked: Server = url.parse().expect("a URL");
        let error = inspect(&asked, BUS).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!error.to_string().contains("wrong"), "{error}");
    }
}

#[tokio::test]
async fn streams_are_listed_with_their_groups() {
    need_redis!();
    let server = RedisServer::start().await.expect("a server");
    let bus = RedisStreamsPubSub::builder(server.url())
        .key_prefix("a*b")
        .stream_idle_ttl(Some(Duration::from_secs(600)))
        .build()
        .expect("a bus");
    for topic in ["orders", "orders", "orders", "über: 1"] {
        bus.publish(topic, NewEvent::new("t", "r"))
            .await
            .expect("published");
    }
    let orders = "a*b:orders";
    for command in [
        &["XGROUP", "CREATE", orders, "workers", "0"][..],
        &[
            "XREADGROUP",
            "GROUP",
            "workers",
            "w-1",
            "COUNT",
            "2",
            "STREAMS",
            orders,
            ">",
        ],
        &["XGROUP", "CREATE", orders, "__fanout-1", "$"],
        &["SET", "a*b:lease:x", "me"],
        &["XADD", "axb:other", "*", "event", "{}"],
        &["XGROUP", "CREATE", "a*b:empty", "g", "0", "MKSTREAM"],
    ] {
        server.command(command).await.expect("a reply");
    }
    let asked: Server = server.url().parse().expect("a URL");
    let found = streams(&asked, false, "a*b").await.expect("streams");
    let names: Vec<_> = found.iter().map(|stream| stream.topic.as_str()).collect();
    assert_eq!(names, ["empty", "orders", "über: 1"]);

    let [empty, orders, _] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!((empty.entries, empty.idle, empty.ttl), (0, None, None));
    assert_eq!((orders.entries, orders.appended), (3, Some(3)));
    assert!(orders.bytes.is_some_and(|bytes| bytes > 0));
    assert!(
        orders
            .idle
            .is_some_and(|idle| idle < Duration::from_secs(60))
    );
    assert!(
        orders
            .ttl
            .is_some_and(|ttl| ttl <= Duration::from_secs(600))
    );
    let groups: Vec<_> = orders
        .groups
        .iter()
        .map(|group| {
            (
                group.name.as_str(),
                group.is_private,
                group.consumers,
                group.pending,
                group.lag,
            )
        })
        .collect();
    assert_eq!(
        groups,
        [
            ("__fanout-1", true, 0, 0, Some(0)),
            ("workers", false, 1, 2, Some(1))
        ]
    );
}

#[tokio::test]
async fn streams_may_be_denied() {
    need_redis!();
    let server = RedisServer::builder()
        .user(APPLICATION)
        .start()
        .await
        .expect("a server");
    let asked: Server = server.url_with("app", "secret", 0).parse().expect("a URL");
    let error = streams(&asked, false, "mastra:topic").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("SCAN"), "{error}");
}

#[tokio::test]
async fn a_cluster_is_listed_as_a_whole() {
    need_redis!();
    let cluster = RedisCluster::start(3).await.expect("a cluster");
    let bus = RedisStreamsPubSub::builder(cluster.url())
        .cluster(true)
        .build()
        .expect("a bus");
    let topics: Vec<String> = (0..8).map(|n| format!("t{n}")).collect();
    for topic in &topics {
        bus.publish(topic.as_str(), NewEvent::new("t", "r"))
            .await
            .expect("published");
    }
    let asked: Server = cluster.url().parse().expect("a URL");
    let found = streams(&asked, true, "mastra:topic")
        .await
        .expect("streams");
    let names: Vec<_> = found.iter().map(|stream| stream.topic.as_str()).collect();
    assert_eq!(names, topics);
    assert_eq!(look(&cluster.url(), BUS).await.is_cluster, Ok(true));
}
