//! A monitor shows what others did, in order, and nothing of the test kit.

use bowline_testkit::{Connection, MonitorLine, RedisServer, skips_redis};

#[tokio::test]
async fn commands_are_complete_and_in_order() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let mut client = Connection::open(server.address()).await.unwrap();
    client.call(&["SET", "before", "1"]).await.unwrap();
    let mut monitor = server.monitor().await.unwrap();
    server.command(&["SET", "own", "1"]).await.unwrap();
    client.call(&["SELECT", "3"]).await.unwrap();
    client
        .call(&[&b"SET"[..], b"a key", b"\"\\\r\n\0\xc3\xa9"])
        .await
        .unwrap();
    client
        .call(&["EVAL", "return redis.call('get', KEYS[1])", "1", "a key"])
        .await
        .unwrap();
    let seen = monitor.take().await.unwrap();
    let commands: Vec<String> = seen.iter().map(MonitorLine::command).collect();
    assert_eq!(commands, ["SELECT", "SET", "EVAL", "GET"]);
    assert_eq!(seen[1].arguments[1..], ["a key", "\"\\\r\n\0\u{e9}"]);
    assert_eq!((seen[1].database, seen[3].client.as_str()), (3, "lua"));
    assert_eq!(seen[0].client, seen[1].client);
    assert_eq!(monitor.take().await.unwrap(), []);
}

#[tokio::test]
async fn a_monitor_is_allowed_on_a_server_with_users() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::builder()
        .user("default off")
        .start()
        .await
        .unwrap();
    let mut monitor = server.monitor().await.unwrap();
    assert_eq!(monitor.take().await.unwrap(), []);
}
