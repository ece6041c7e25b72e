//! Tools of MCP servers: this program is the server, too, when it is told so.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bowline_agent::mcp::McpServer;
use bowline_agent::tool::{TestTool, Tool, ToolError};
use bowline_agent::{Data, ErrorKind};
use libmimic::{Arguments, Failed, Trial};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool as Listed,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::{ErrorData, ServerHandler, ServiceExt as _};
use serde_json::{Value, json};

/// What makes this program a server.
const SERVE: &str = "serve-tools";

#[derive(Clone)]
struct Server;

const TOOLS: [&str; 9] = [
    "echo", "sum", "fail", "image", "refuse", "crash", "hang", "big", "who.am/i",
];

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    /// Two on a page.
    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let cursor = request.and_then(|request| request.cursor);
        let start: usize = cursor.map_or(0, |cursor| cursor.parse().unwrap());
        let page = TOOLS.iter().skip(start).take(2).map(|name| {
            let schema = json!({
                "type": "object",
                "properties": {"text": {"type": "string"}},
                "$defs": {"kept": {}},
            });
            let schema = schema.as_object().unwrap().clone();
            Listed::new(*name, format!("What {name} does."), Arc::new(schema))
        });
        let mut result = ListToolsResult::with_all_items(page.collect());
        let next = start + 2;
        result.next_cursor = (next < TOOLS.len()).then(|| next.to_string());
        Ok(result)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let args = Value::Object(request.arguments.unwrap_or_default());
        let text = |text: String| vec![ContentBlock::text(text)];
        let result = match &*request.name {
            "echo" => CallToolResult::success(vec![
                ContentBlock::text("You said:"),
                ContentBlock::text(args["text"].as_str().unwrap_or("nothing")),
            ]),
            "sum" => CallToolResult::structured(json!({"sum": 5})),
            "fail" => CallToolResult::error(text("it is closed".to_owned())),
            "image" => CallToolResult::success(vec![ContentBlock::image("AAAA", "image/png")]),
            "refuse" => return Err(ErrorData::invalid_params("never with these", None)),
            "crash" => std::process::exit(3),
            "hang" => std::future::pending().await,
            "big" => CallToolResult::success(text("x".repeat(9 << 20))),
            _ => CallToolResult::structured(json!({
                "pid": std::process::id(),
                "given": std::env::var("GIVEN").ok(),
                "secret": std::env::var("CARGO_MANIFEST_DIR").ok(),
            })),
        };
        Ok(CallToolResponse::Complete(result))
    }
}

async fn serve() {
    let input_and_output = (tokio::io::stdin(), tokio::io::stdout());
    let service = Server.serve(input_and_output).await.unwrap();
    service.waiting().await.unwrap();
}

fn command() -> McpServer {
    McpServer::command(std::env::current_exe().unwrap()).args([SERVE])
}

fn find(tools: &[Tool], name: &str) -> TestTool {
    let tool = tools.iter().find(|tool| *tool.name() == name);
    TestTool::new(tool.unwrap().clone())
}

async fn value(tools: &[Tool], name: &str) -> Value {
    find(tools, name)
        .call(&json!({}))
        .await
        .unwrap()
        .parse()
        .unwrap()
}

async fn failure(tools: &[Tool], name: &str) -> (String, String) {
    match find(tools, name).call(&json!({})).await {
        Err(ToolError::Failed { name, message, .. }) => (name.to_string(), message),
        other => panic!("no failure: {other:?}"),
    }
}

/// What every transport gives.
async fn all_kinds_of_results(tools: &[Tool]) {
    let names: Vec<_> = tools.iter().map(|tool| tool.name().to_string()).collect();
    assert_eq!(names[..8], TOOLS[..8]);
    assert_eq!(names[8], "who_am_i");
    let definition = tools[0].definition();
    assert_eq!(&*definition.description, "What echo does.");
    let schema: Value = definition.input_schema.parse().unwrap();
    assert_eq!(schema["properties"]["text"]["type"], "string");
    assert!(schema["$defs"]["kept"].is_object());

    let echo = find(tools, "echo");
    let said = echo.call(&json!({"text": "hi"})).await.unwrap();
    assert_eq!(said, Data::from(json!("You said:\nhi")));
    let ToolError::Failed { name, .. } = echo.call(&json!([1])).await.unwrap_err() else {
        panic!("no failure");
    };
    assert_eq!(name, "ToolInputError");
    assert_eq!(value(tools, "sum").await, json!({"sum": 5}));
    let image = value(tools, "image").await;
    assert_eq!(image["content"][0]["mimeType"], "image/png");
    let (name, message) = failure(tools, "fail").await;
    assert_eq!(
        (name.as_str(), message.as_str()),
        ("McpToolError", "it is closed")
    );
    let (name, message) = failure(tools, "refuse").await;
    assert_eq!(
        (name.as_str(), message.as_str()),
        ("McpError", "never with these")
    );
    let (name, message) = failure(tools, "big").await;
    assert_eq!(name, "ToolOutputError");
    assert!(message.contains("8388608"), "{message}");
}

async fn a_command_has_its_tools() {
    let tools = command().tools().await.unwrap();
    all_kinds_of_results(&tools).await;
}

async fn a_command_sees_only_what_it_is_given() {
    let server = command().env("GIVEN", "this").prefix("my_");
    let tools = server.tools().await.unwrap();
    let who = value(&tools, "my_who_am_i").await;
    assert_eq!(who["given"], "this");
    // Cargo sets it for this program.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    assert_eq!(who["secret"], Value::Null);
}

async fn a_command_that_dies_is_started_again() {
    let tools = command().tools().await.unwrap();
    let before = value(&tools, "who_am_i").await;
    assert_eq!(before, value(&tools, "who_am_i").await);
    for _ in 0..2 {
        let (name, message) = failure(&tools, "crash").await;
        assert_eq!(name, "McpError");
        assert!(message.contains("ended during the call"), "{message}");
        let after = value(&tools, "who_am_i").await;
        assert_ne!(before["pid"], after["pid"]);
    }
}

async fn a_command_ends_with_its_tools() {
    let tools = command().tools().await.unwrap();
    let pid = value(&tools, "who_am_i").await["pid"].as_u64().unwrap();
    drop(tools);
    let deadline = tokio::time::Instant::now() + bowline_testkit::PATIENCE;
    while std::path::Path::new(&format!("/proc/{pid}/exe")).exists() {
        assert!(tokio::time::Instant::now() < deadline, "it lives on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn a_call_ends_with_its_time_or_its_run() {
    let server = command().call_timeout(Duration::from_millis(200));
    let tools = server.tools().await.unwrap();
    let (name, message) = failure(&tools, "hang").await;
    assert_eq!(name, "TimeoutError");
    assert!(message.contains("200ms"), "{message}");
    // The server is asked other things meanwhile and afterwards.
    assert_eq!(value(&tools, "sum").await, json!({"sum": 5}));

    let tools = command().tools().await.unwrap();
    let hang = find(&tools, "hang");
    let args = json!({});
    let (result, ()) = tokio::join!(hang.call(&args), async { hang.abort() });
    assert!(matches!(result, Err(ToolError::Aborted)));
}

async fn what_is_no_server_is_refused() {
    for (server, kind) in [
        (McpServer::command("no-such-program"), ErrorKind::Tool),
        (McpServer::command("true"), ErrorKind::Tool),
        (
            McpServer::command("sleep")
                .args(["60"])
                .start_timeout(Duration::from_millis(100)),
            ErrorKind::Timeout,
        ),
        (McpServer::url("http://127.0.0.1:1/mcp"), ErrorKind::Tool),
        (McpServer::url("nonsense"), ErrorKind::InvalidDefinition),
    ] {
        let error = server.tools().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.subject().is_some());
    }
}

/// Serves MCP on a loopback port, to whoever has the token.
async fn listen() -> std::net::SocketAddr {
    use hyper_util::rt::TokioIo;
    use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
    use rmcp::transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService,
    };

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sessions = Arc::new(LocalSessionManager::default());
    let config = StreamableHttpServerConfig::default();
    let service = StreamableHttpService::new(|| Ok(Server), sessions, config);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            let handler = hyper::service::service_fn(
                move |request: hyper::Request<hyper::body::Incoming>| {
                    let service = service.clone();
                    async move {
                        let token = request.headers().get("authorization");
                        let known = token.is_some_and(|token| token == "Bearer token");
                        let mut response = service.handle(request).await;
                        if !known {
                            *response.status_mut() = hyper::StatusCode::UNAUTHORIZED;
                        }
                        Ok::<_, Infallible>(response)
                    }
                },
            );
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), handler);
            tokio::spawn(connection);
        }
    });
    address
}

async fn an_address_has_its_tools() {
    let address = listen().await;
    let server = || McpServer::url(format!("http://{address}/mcp"));
    let tools = server().header("authorization", "Bearer token").tools();
    all_kinds_of_results(&tools.await.unwrap()).await;
    let refused = server()
        .header("authorization", "Bearer wrong")
        .tools()
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Tool, "{refused}");
    assert!(!format!("{refused:?}").contains("wrong"), "{refused:?}");
}

fn trial<F>(name: &str, test: impl FnOnce() -> F + Send + 'static) -> Trial
where
    F: Future<Output = ()>,
{
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(test());
        Ok::<_, Failed>(())
    })
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some(SERVE) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(serve());
        return;
    }
    let trials = vec![
        trial("a_command_has_its_tools", a_command_has_its_tools),
        trial(
            "a_command_sees_only_what_it_is_given",
            a_command_sees_only_what_it_is_given,
        ),
        trial(
            "a_command_that_dies_is_started_again",
            a_command_that_dies_is_started_again,
        ),
        trial(
            "a_command_ends_with_its_tools",
            a_command_ends_with_its_tools,
        ),
        trial(
            "a_call_ends_with_its_time_or_its_run",
            a_call_ends_with_its_time_or_its_run,
        ),
        trial("what_is_no_server_is_refused", what_is_no_server_is_refused),
        trial("an_address_has_its_tools", an_address_has_its_tools),
    ];
    libmimic::run(&Arguments::from_args(), trials).exit();
}
