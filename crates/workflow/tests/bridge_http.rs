//! Steps that are executed over HTTP: our server, our client, and servers that misbehave.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bowline_workflow::bridge::{RemoteStep, StepClient, StepEndpoint, StepServer};
use bowline_workflow::builder::Trial;
use bowline_workflow::{
    ErrorKind, IntoStep, Resume, RetryPolicy, RunStatus, StepContext, StepError, StepResult,
    Workflow, step,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// What every kind of step does: the mode is its input.
async fn act(ctx: StepContext, mode: String) -> Result<Value, StepError> {
    match (mode.as_str(), ctx.resumed::<Value>()?) {
        ("see", _) => {
            ctx.set_state(&json!({ "set": true }))?;
            Ok(json!({
                "run": ctx.run_id().as_str(), "attempt": ctx.attempt(), "initial": ctx.initial::<Value>()?,
                "first": ctx.output_of::<Value>("first")?, "state": ctx.state::<Value>()?,
                "context": ctx.request_context::<Value>()?,
            }))
        }
        ("ask", None) => Err(ctx.suspend_with(&json!({ "why": 1 }), ["label"])),
        ("ask", Some(answer)) => Ok(json!([answer, ctx.suspended_with::<Value>()?])),
        ("bail", _) => Err(ctx.bail(&"early")),
        ("trip", _) => Err(StepError::tripwire("stop")),
        ("fail", _) => Err(StepError::fail("Odd", "attempt").code("C")),
        (mode, _) => Err(StepError::fail("Mode", mode).no_retry()),
    }
}

/// The workflow of the server; its step is at 1.
fn remote_workflow() -> Workflow {
    let first = step("first", |_: Value| async {
        Ok::<_, StepError>(Value::Null)
    });
    let workflow = Workflow::builder("far")
        .untyped()
        .step(first)
        .untyped()
        .step(act);
    workflow.untyped().build().unwrap()
}

/// What the run knows of a step.
fn found(run: &Trial, id: &str) -> StepResult {
    let steps = run.steps();
    let found = steps.into_iter().find(|(name, _)| name == id);
    found.unwrap_or_else(|| panic!("{id} has not begun")).1
}

async fn serve(workflow: Workflow) -> StepEndpoint {
    let steps = StepServer::builder().workflow(workflow).build().unwrap();
    let endpoint = StepEndpoint::builder(steps).token("secret");
    endpoint.bind(loopback()).await.unwrap()
}

fn client(url: &str) -> StepClient {
    let client = StepClient::new(url).unwrap().token("secret").unwrap();
    client.timeout(Duration::from_secs(20))
}

/// A workflow of ours whose second step is executed over there.
fn local_workflow(client: &StepClient) -> Workflow {
    let first = step("first", |mode: Value| async { Ok::<_, StepError>(mode) });
    let remote = RemoteStep::new(client, "far", "act").at([1]);
    let workflow = Workflow::builder("near").untyped().step(first).untyped();
    let workflow = workflow.step(remote.into_step().retries(RetryPolicy::times(2)));
    workflow.untyped().build().unwrap()
}

#[tokio::test]
async fn a_remote_step_does_what_a_step_of_our_own_does() {
    let endpoint = serve(remote_workflow()).await;
    let workflow = local_workflow(&client(&endpoint.base_url()));
    let trial = || {
        let trial = Trial::of(&workflow).with_state(&json!({ "s": 1 })).unwrap();
        trial
            .with_request_context(&json!({ "tenant": "t" }))
            .unwrap()
    };

    let mut run = trial();
    assert_eq!(run.start("see").await.unwrap(), RunStatus::Success);
    let seen: Value = run.result().unwrap().unwrap();
    assert_eq!(
        seen,
        json!({
            "run": "trial", "attempt": 0, "initial": "see", "first": "see", "state": { "s": 1 },
            "context": { "tenant": "t" },
        })
    );
    assert_eq!(
        run.state().parse::<Value>().unwrap(),
        json!({ "s": 1, "set": true })
    );

    let mut run = trial();
    assert_eq!(run.start("bail").await.unwrap(), RunStatus::Success);
    assert_eq!(run.result::<String>().unwrap().unwrap(), "early");

    assert_eq!(trial().start("trip").await.unwrap(), RunStatus::Tripwire);
    endpoint.close().await;
}

#[tokio::test]
async fn a_remote_step_suspends_and_is_resumed() {
    let endpoint = serve(remote_workflow()).await;
    let workflow = local_workflow(&client(&endpoint.base_url()));
    let mut run = Trial::of(&workflow);
    assert_eq!(run.start("ask").await.unwrap(), RunStatus::Suspended);
    let suspended = run.suspended();
    assert_eq!(suspended[0].labels, ["label"]);
    assert_eq!(suspended[0].payload.as_str(), r#"{"why":1}"#);
    let resume = Resume::with(&json!("yes")).unwrap().label("label");
    assert_eq!(run.resume(resume).await.unwrap(), RunStatus::Success);
    assert_eq!(
        run.result::<Value>().unwrap().unwrap(),
        json!(["yes", { "why": 1 }])
    );
    endpoint.close().await;
}

#[tokio::test]
async fn retries_count_as_attempts_over_there() {
    let attempts = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&attempts);
    let flaky = step("act", move |ctx: StepContext, _: Value| {
        seen.lock().unwrap().push(ctx.attempt());
        let attempt = ctx.attempt();
        async move {
            match attempt {
                2 => Ok(attempt),
                _ => Err(StepError::fail("Flaky", "again")),
            }
        }
    });
    let first = step("first", |_: Value| async { Ok::<_, StepError>(0) });
    let far = Workflow::builder("far")
        .untyped()
        .step(first)
        .untyped()
        .step(flaky);
    let endpoint = serve(far.untyped().build().unwrap()).await;
    let workflow = local_workflow(&client(&endpoint.base_url()));
    let mut run = Trial::of(&workflow);
    assert_eq!(run.start(&1).await.unwrap(), RunStatus::Success);
    assert_eq!(*attempts.lock().unwrap(), [0, 1, 2]);
    endpoint.close().await;
}

#[tokio::test]
async fn a_graph_of_the_same_id_is_mirrored_without_places() {
    async fn twice(n: u32) -> Result<u32, StepError> {
        Ok(n * 2)
    }
    async fn list(_: Value) -> Result<Vec<u32>, StepError> {
        Ok(vec![1, 2, 3])
    }
    async fn inc(ctx: StepContext, n: u32) -> Result<u32, StepError> {
        Ok(n + 1 + 100 * ctx.iteration_count())
    }
    let far = Workflow::builder("mirror")
        .untyped()
        .step(list)
        .foreach(twice)
        .untyped()
        .parallel((
            step("left", |_: Value| async { Ok::<_, StepError>("l") }),
            step("right", |_: Value| async { Ok::<_, StepError>("r") }),
        ))
        .map(|_: Value| async { Ok::<_, StepError>(1) })
        .untyped()
        .do_until(inc, |n: u32| async move { Ok::<_, StepError>(n > 150) });
    let endpoint = serve(far.untyped().build().unwrap()).await;
    let client = client(&endpoint.base_url());
    let remote = |id: &'static str| RemoteStep::new(&client, "mirror", id);
    let near = Workflow::builder("mirror")
        .untyped()
        .step(remote("list"))
        .foreach(remote("twice"))
        .concurrency(2)
        .parallel((remote("left"), remote("right")))
        .map(|_: Value| async { Ok::<_, StepError>(1) })
        .untyped()
        .do_until(remote("inc"), |n: u32| async move {
            Ok::<_, StepError>(n > 150)
        })
        .untyped()
        .build()
        .unwrap();
    let mut run = Trial::of(&near);
    assert_eq!(run.start(&()).await.unwrap(), RunStatus::Success, "{run:?}");
    let output = |id: &str| found(&run, id).output.unwrap().to_string();
    assert_eq!(output("twice"), "[2,4,6]");
    assert_eq!(
        (output("left"), output("right")),
        ("\"l\"".into(), "\"r\"".into())
    );
    assert_eq!(
        run.result::<u32>().unwrap(),
        Some(304),
        "1 + 1, then 2 + 1 + 100, then 103 + 1 + 200"
    );
    endpoint.close().await;
}

/// A server that answers the first requests of each connection as it is told, and counts them.
struct Crooked {
    url: String,
    requests: Arc<AtomicUsize>,
}

impl Crooked {
    async fn new(answer: impl Fn(usize) -> Option<String> + Send + 'static) -> Self {
        let listener = TcpListener::bind(loopback()).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 65_536];
                if stream.read(&mut head).await.unwrap_or(0) == 0 {
                    continue;
                }
                if let Some(answer) = answer(count.fetch_add(1, Ordering::SeqCst)) {
                    let _ = stream.write_all(answer.as_bytes()).await;
                } else {
                    tokio::spawn(async move {
                        let _ = stream.read(&mut head).await;
                    });
                }
            }
        });
        Self { url, requests }
    }

    /// The error of the step, and how many requests there were.
    async fn error(&self, client: StepClient) -> (Value, usize) {
        let remote = RemoteStep::new(&client, "far", "act").at([0]).into_step();
        let workflow = Workflow::builder("near")
            .untyped()
            .step(remote.retries(RetryPolicy::times(1)));
        let workflow = workflow.untyped().build().unwrap();
        let mut run = Trial::of(&workflow);
        assert_eq!(run.start(&1).await.unwrap(), RunStatus::Failed, "{run:?}");
        let error = found(&run, "act").error.unwrap().parse().unwrap();
        (error, self.requests.load(Ordering::SeqCst))
    }
}

fn http(status: &str, body: &str) -> Option<String> {
    let length = body.len();
    Some(format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    ))
}

#[tokio::test]
async fn what_is_no_result_is_an_error_that_tells_the_answer() {
    let long = "x".repeat(100_000);
    // The status and body of the answer, the name, code and words of the error, and whether trying again may help.
    let table = [
        (
            "500 Oops",
            "a\nb",
            "StepExecutionError",
            json!("500"),
            "500 Internal Server Error: a b",
            true,
        ),
        (
            "503 Busy",
            "",
            "StepExecutionError",
            json!("503"),
            "503",
            true,
        ),
        (
            "429 Later",
            "",
            "StepExecutionError",
            json!("429"),
            "429",
            true,
        ),
        (
            "404 No",
            r#"{"error":"Workflow with id far not found"}"#,
            "StepExecutionError",
            json!("404"),
            "not found",
            false,
        ),
        (
            "401 No",
            "",
            "StepExecutionError",
            json!("401"),
            "401",
            false,
        ),
        (
            "302 Found",
            "",
            "StepExecutionError",
            json!("302"),
            "302",
            false,
        ),
        (
            "400 Long",
            &long,
            "StepExecutionError",
            json!("400"),
            "x…",
            false,
        ),
        (
            "200 OK",
            "<html>",
            "ProtocolError",
            Value::Null,
            "no result",
            false,
        ),
        (
            "200 OK",
            r#"{"status":"paused"}"#,
            "ProtocolError",
            Value::Null,
            "paused",
            false,
        ),
        ("200 OK", &long, "TooLarge", Value::Null, "90000", false),
    ];
    for (status, body, name, code, words, again) in table {
        let answer = http(status, body);
        let server = Crooked::new(move |_| answer.clone()).await;
        let client = client(&server.url).answer_limit(if status.starts_with('2') {
            90_000
        } else {
            1 << 20
        });
        let (error, requests) = server.error(client).await;
        assert_eq!(
            (&error["name"], &error["code"]),
            (&json!(name), &code),
            "{status}: {error}"
        );
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains(words) && message.len() < 2000,
            "{status}: {message}"
        );
        assert_eq!(requests, if again { 2 } else { 1 }, "{status}");
    }
}

#[tokio::test]
async fn what_may_have_been_executed_is_asked_for_again_only_by_the_policy() {
    let broken = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"status\"";
    for (answer, name) in [
        (Some(broken), "ConnectionError"),
        (Some(""), "ConnectionError"),
        (None, "TimeoutError"),
    ] {
        let server = Crooked::new(move |_| answer.map(str::to_owned)).await;
        let client = client(&server.url).timeout(Duration::from_millis(200));
        let (error, requests) = server.error(client).await;
        assert_eq!(error["name"], name, "{error}");
        assert_eq!(requests, 2, "one for each attempt of the policy");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_waited_for() {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = client(&format!("http://{address}/api"));
    let workflow = local_workflow(&client);
    let mut run = Trial::of(&workflow);
    let late = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let steps = StepServer::builder()
            .workflow(remote_workflow())
            .build()
            .unwrap();
        StepEndpoint::builder(steps)
            .token("secret")
            .bind(address)
            .await
            .unwrap()
    };
    let (status, endpoint) = tokio::join!(run.start("bail"), late);
    assert_eq!(status.unwrap(), RunStatus::Success);
    endpoint.close().await;

    let remote = RemoteStep::new(&client, "far", "act").at([1]);
    let once = Workflow::builder("near")
        .untyped()
        .step(remote)
        .untyped()
        .build()
        .unwrap();
    let mut run = Trial::of(&once);
    assert_eq!(run.start("bail").await.unwrap(), RunStatus::Failed);
    let error: Value = found(&run, "act").error.unwrap().parse().unwrap();
    assert_eq!(error["name"], "ConnectionError");
    assert!(
        error["message"].as_str().unwrap().contains("5 attempts"),
        "{error}"
    );
}

#[tokio::test]
async fn the_place_of_a_step_has_to_be_known() {
    let client = client("http://127.0.0.1:1");
    let remote = RemoteStep::new(&client, "far", "act");
    let workflow = Workflow::builder("near")
        .untyped()
        .step(remote)
        .untyped()
        .build()
        .unwrap();
    let mut run = Trial::of(&workflow);
    assert_eq!(run.start(&1).await.unwrap(), RunStatus::Failed);
    let error = found(&run, "act").error.unwrap();
    assert!(error.as_str().contains("`at`"), "{error}");
}

/// A request in plain text; the status line and the body of the answer.
async fn raw(address: SocketAddr, request: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: application/json"), "{head}");
    (status, serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn only_who_has_the_token_executes_steps() {
    let steps = StepServer::builder()
        .workflow(remote_workflow())
        .body_limit(1000);
    let endpoint = StepEndpoint::builder(steps.build().unwrap()).token("secret");
    let endpoint = endpoint.bind(loopback()).await.unwrap();
    let address = endpoint.address();
    let body = r#"{"stepId":"act","executionPath":[1],"stepResults":{"input":1},"input":"bail"}"#;
    let path = "/api/workflows/far/runs/r/steps/execute";
    let ask = async |method: &str, path: &str, headers: &str, body: &str| {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        );
        raw(address, &request).await
    };
    let json = "content-type: application/json\r\n";
    let bearer = |token: &str| format!("{json}authorization: Bearer {token}\r\n");
    let large = format!("{body}{}", " ".repeat(1000));
    for (method, path, headers, body, status) in [
        ("POST", path, bearer("secret"), body, 200),
        (
            "POST",
            path,
            format!("{json}Authorization: bearer secret\r\n"),
            body,
            200,
        ),
        (
            "POST",
            path,
            format!("{json}x-worker-api-key: secret\r\n"),
            body,
            200,
        ),
        ("POST", path, json.to_owned(), body, 401),
        ("POST", path, bearer("secre"), body, 401),
        ("POST", path, bearer("secrets"), body, 401),
        ("POST", path, bearer(""), body, 401),
        (
            "POST",
            path,
            format!("{json}authorization: Basic secret\r\n"),
            body,
            401,
        ),
        (
            "POST",
            path,
            format!("{json}x-worker-api-key: other\r\n"),
            body,
            401,
        ),
        ("GET", path, bearer("secret"), "", 405),
        ("POST", "/api/workflows", bearer("secret"), body, 404),
        (
            "POST",
            "/workflows/far/runs/r/steps/execute",
            bearer("secret"),
            body,
            404,
        ),
        (
            "POST",
            "/api/workflows/gone/runs/r/steps/execute",
            bearer("secret"),
            body,
            404,
        ),
        (
            "POST",
            path,
            "authorization: Bearer secret\r\ncontent-type: text/plain\r\n".into(),
            body,
            415,
        ),
        ("POST", path, bearer("secret"), "{", 400),
        ("POST", path, bearer("secret"), &large, 413),
    ] {
        let (got, answer) = ask(method, path, &headers, body).await;
        assert_eq!(got, status, "{method} {path} {headers}: {answer}");
        match status {
            200 => assert_eq!(answer["status"], "bailed"),
            _ => assert!(answer["error"].is_string(), "{answer}"),
        }
    }
    // Without a length the limit holds as well.
    let chunk = format!("{:x}\r\n{}\r\n", 2000, " ".repeat(2000));
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ntransfer-encoding: chunked\r\n{}\r\n{chunk}0\r\n\r\n",
        bearer("secret")
    );
    assert_eq!(raw(address, &request).await.0, 413);
    endpoint.close().await;
    assert!(
        TcpStream::connect(address).await.is_err(),
        "nobody listens any more"
    );
    endpoint.close().await;
}

#[tokio::test]
async fn without_a_token_only_this_machine_is_served() {
    let steps = || {
        StepServer::builder()
            .workflow(remote_workflow())
            .build()
            .unwrap()
    };
    let anywhere = "0.0.0.0:0".parse().unwrap();
    let error = StepEndpoint::builder(steps())
        .bind(anywhere)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().contains("token"), "{error}");
    let endpoint = StepEndpoint::builder(steps())
        .prefix("")
        .bind(loopback())
        .await
        .unwrap();
    let error = StepEndpoint::builder(steps())
        .bind(endpoint.address())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "the port is taken");
    endpoint.close().await;
}

#[tokio::test]
async fn a_step_that_runs_when_the_server_is_closed_is_answered() {
    let (begun, open) = (
        Arc::new(tokio::sync::Notify::new()),
        Arc::new(tokio::sync::Notify::new()),
    );
    let (begin, wait) = (Arc::clone(&begun), Arc::clone(&open));
    let act = step("act", move |_: Value| {
        let (begin, wait) = (Arc::clone(&begin), Arc::clone(&wait));
        async move {
            begin.notify_one();
            wait.notified().await;
            Ok::<_, StepError>("done")
        }
    });
    let workflow = Workflow::builder("far")
        .untyped()
        .step(act)
        .untyped()
        .build()
        .unwrap();
    let endpoint = serve(workflow).await;
    let remote = RemoteStep::new(&client(&endpoint.base_url()), "far", "act").at([0]);
    let workflow = Workflow::builder("near")
        .untyped()
        .step(remote)
        .untyped()
        .build()
        .unwrap();
    let run = tokio::spawn(async move {
        let mut run = Trial::of(&workflow);
        run.start(&1).await.unwrap();
        run.result::<String>().unwrap()
    });
    begun.notified().await;
    let close = async {
        endpoint.close().await;
    };
    let release = async {
        tokio::task::yield_now().await;
        open.notify_one();
    };
    tokio::join!(close, release);
    assert_eq!(run.await.unwrap().as_deref(), Some("done"));
}
