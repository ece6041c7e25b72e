//! The Upstash stand-in answers over bare HTTP as the REST documentation says.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bowline_testkit::{PATIENCE, RedisServer, UpstashRequest, UpstashServer, skips_redis};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

struct Fixture {
    redis: RedisServer,
    upstash: UpstashServer,
}

impl Fixture {
    async fn new() -> Self {
        let redis = RedisServer::start().await.unwrap();
        let upstash = UpstashServer::start(redis.address(), "the token")
            .await
            .unwrap();
        Self { redis, upstash }
    }

    /// The status and the JSON of the answer.
    async fn request(&self, line: &str, headers: &[&str], body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.upstash.address()).await.unwrap();
        let mut request = format!("{line} HTTP/1.1\r\nHost: upstash\r\nConnection: close\r\n");
        for header in headers {
            request.push_str(&format!("{header}\r\n"));
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut response))
            .await
            .unwrap()
            .unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(
            head.to_lowercase()
                .contains("content-type: application/json")
        );
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.request(&format!("POST {path}"), &[TOKEN], &body.to_string())
            .await
    }
}

const TOKEN: &str = "Authorization: Bearer the token";

#[tokio::test]
async fn one_command_has_one_answer() {
    if skips_redis() {
        return;
    }
    let fixture = Fixture::new().await;
    for (command, status, answer) in [
        (
            json!(["SET", "k", "v", "EX", 100]),
            200,
            json!({ "result": "OK" }),
        ),
        (json!(["get", "k"]), 200, json!({ "result": "v" })),
        (json!(["GET", "missing"]), 200, json!({ "result": null })),
        (json!(["INCRBY", "n", 7]), 200, json!({ "result": 7 })),
        (
            json!(["MGET", "k", "missing"]),
            200,
            json!({ "result": ["v", null] }),
        ),
        (
            json!(["EVAL", "return {1, {KEYS[1], 'OK'}}", 1, "k"]),
            200,
            json!({ "result": [1, ["k", "OK"]] }),
        ),
        (
            json!(["GET"]),
            400,
            json!({ "error": "ERR wrong number of arguments for 'get' command" }),
        ),
        (
            json!(["INCR", "k"]),
            400,
            json!({ "error": "ERR value is not an integer or out of range" }),
        ),
        (
            json!(["select", 1]),
            400,
            json!({ "error": "ERR Command is not available: 'SELECT'" }),
        ),
        (
            json!({}),
            400,
            json!({ "error": "ERR failed to parse command" }),
        ),
    ] {
        let answered = fixture.post("/", command.clone()).await;
        assert_eq!(answered, (status, answer), "{command}");
    }
}

#[tokio::test]
async fn a_command_may_be_in_the_path() {
    if skips_redis() {
        return;
    }
    let fixture = Fixture::new().await;
    let set = fixture
        .request("POST /set/a%20key?EX=100", &[TOKEN], "[\"raw\"]")
        .await;
    assert_eq!(set, (200, json!({ "result": "OK" })));
    let get = fixture
        .request("GET /get/a%20key?_token=the+token", &[], "")
        .await;
    assert_eq!(get, (200, json!({ "result": "[\"raw\"]" })));
    let ttl = fixture.redis.command(&["TTL", "a key"]).await.unwrap();
    assert!(ttl.int().unwrap() > 0);
}

#[tokio::test]
async fn who_has_no_token_is_refused() {
    if skips_redis() {
        return;
    }
    let fixture = Fixture::new().await;
    let set = json!(["SET", "k", "v"]).to_string();
    for headers in [
        &[][..],
        &["Authorization: Bearer another"],
        &["Authorization: the token"],
        &["Authorization: Bearer"],
    ] {
        let (status, answer) = fixture.request("POST /", headers, &set).await;
        assert_eq!(status, 401, "{headers:?}");
        assert!(answer["error"].as_str().unwrap().starts_with("WRONGPASS"));
    }
    let (status, _) = fixture.request("DELETE /", &[TOKEN], &set).await;
    assert_eq!(status, 405);
    let size = fixture.redis.command(&["DBSIZE"]).await.unwrap();
    assert_eq!(size.int(), Some(0));
    assert_eq!(fixture.upstash.take_requests(), []);
}

#[tokio::test]
async fn a_pipeline_answers_each_command() {
    if skips_redis() {
        return;
    }
    let fixture = Fixture::new().await;
    let commands = json!([["SET", "k", "v"], ["INCR", "k"], ["GET", "k"]]);
    assert_eq!(
        fixture.post("/pipeline", commands).await,
        (
            200,
            json!([
                { "result": "OK" },
                { "error": "ERR value is not an integer or out of range" },
                { "result": "v" },
            ])
        )
    );
    let (status, answer) = fixture.post("/pipeline", json!(["GET", "k"])).await;
    assert_eq!(status, 400);
    assert!(answer["error"].is_string());
    assert_eq!(
        fixture.upstash.take_requests(),
        [UpstashRequest {
            path: "/pipeline".into(),
            commands: [&["SET", "k", "v"][..], &["INCR", "k"], &["GET", "k"]]
                .map(|command| command.iter().map(ToString::to_string).collect())
                .to_vec(),
        }]
    );
}

#[tokio::test]
async fn a_transaction_is_carried_out_as_one_or_discarded() {
    if skips_redis() {
        return;
    }
    let fixture = Fixture::new().await;
    let mut monitor = fixture.redis.monitor().await.unwrap();
    let failing = json!([["SET", "k", "v"], ["INCR", "k"], ["GET", "k"]]);
    let (status, answer) = fixture.post("/multi-exec", failing).await;
    assert_eq!(status, 200);
    assert_eq!(answer[0], json!({ "result": "OK" }));
    assert!(answer[1]["error"].is_string());
    assert_eq!(answer[2], json!({ "result": "v" }));
    let seen: Vec<String> = monitor
        .take()
        .await
        .unwrap()
        .iter()
        .map(bowline_testkit::MonitorLine::command)
        .collect();
    assert_eq!(seen, ["MULTI", "SET", "INCR", "GET", "EXEC"]);
    for wrong in [
        json!([["SET", "k", "2"], ["NOSUCH"]]),
        json!([["SET", "k", "2"], ["WATCH", "k"]]),
        json!([["SET", "k", "2"], 7]),
    ] {
        let (status, answer) = fixture.post("/multi-exec", wrong.clone()).await;
        assert_eq!(status, 400, "{wrong}");
        assert!(answer["error"].is_string(), "{answer}");
    }
    let kept = fixture.redis.command(&["GET", "k"]).await.unwrap();
    assert_eq!(kept.text().as_deref(), Some("v"));
}

#[tokio::test]
async fn strings_are_encoded_where_that_is_asked_for() {
    if skips_redis() {
        return;
    }
    let fixture = Fixture::new().await;
    let base64 = [TOKEN, "Upstash-Encoding: base64"];
    for (path, body, answer) in [
        ("/", json!(["SET", "k", "bar"]), json!({ "result": "OK" })),
        ("/", json!(["GET", "k"]), json!({ "result": "YmFy" })),
        (
            "/pipeline",
            json!([["GET", "k"], ["MGET", "k", "x"], ["STRLEN", "k"]]),
            json!([{ "result": "YmFy" }, { "result": ["YmFy", null] }, { "result": 3 }]),
        ),
    ] {
        let answered = fixture
            .request(&format!("POST {path}"), &base64, &body.to_string())
            .await;
        assert_eq!(answered, (200, answer));
    }
    for header in ["Upstash-Encoding: hex", "Upstash-Response-Format: resp2"] {
        let (status, _) = fixture.request("GET /get/k", &[TOKEN, header], "").await;
        assert_eq!(status, 400);
    }
}

#[tokio::test]
async fn failures_are_as_many_as_ordered_and_nothing_is_carried_out() {
    if skips_redis() {
        return;
    }
    let fixture = Fixture::new().await;
    fixture
        .upstash
        .fail_next(2, 429, "ERR max requests limit exceeded");
    for status in [429, 429, 200] {
        let answered = fixture.post("/", json!(["INCR", "n"])).await;
        assert_eq!(answered.0, status);
    }
    let n = fixture.redis.command(&["GET", "n"]).await.unwrap();
    assert_eq!(n.int(), Some(1));
    fixture.redis.kill();
    assert_eq!(fixture.post("/", json!(["INCR", "n"])).await.0, 503);
}
