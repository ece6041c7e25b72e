//! Agents: run by the command itself, and run by a program beside it.

#![cfg(feature = "sqlite")]
#![allow(
    clippy::unwrap_used,
    reason = "what fails in a helper of a test is a failed test"
)]

mod support;

use std::time::Duration;

use bowline_agent::scripted::Answer;
use bowline_agent::tool::{Tool, ToolContext, ToolError};
use bowline_agent::{Agent, RunOptions, ScriptedModel};
use bowline_runtime::Bowline;
use bowline_workflow::RunStatus;
use serde_json::{Value, json};
use support::{Done, Running, Scratch};
use tokio::runtime::Runtime;

/// A program with agents, and the command beside it.
struct House {
    scratch: Scratch,
    runtime: Runtime,
    app: Bowline,
    /// How the command finds the program.
    flags: Vec<String>,
}

impl House {
    /// On a SQLite file alone: nothing tells the command what happens in the program.
    fn new() -> Self {
        Self::on(None)
    }

    /// On a bus, too.
    fn with_bus() -> Self {
        Self::on(Some(()))
    }

    fn on(bus: Option<()>) -> Self {
        let scratch = Scratch::new();
        let store = format!("sqlite:{}", scratch.join("app.db").display());
        let mut flags = vec!["--store".to_owned(), store.clone()];
        let mut builder = Bowline::builder()
            .store(&store)
            .agent(pilot())
            .poll(Duration::from_millis(20))
            .drain(Duration::from_millis(50));
        if bus.is_some() {
            builder = builder.bus(scratch.bus());
            flags.extend(["--bus".to_owned(), scratch.bus()]);
            flags.extend(["--cache".to_owned(), store]);
        }
        let runtime = Runtime::new().unwrap();
        let app = runtime.block_on(builder.start()).unwrap();
        Self {
            scratch,
            runtime,
            app,
            flags,
        }
    }

    /// Begins a run.
    fn ask(&self, id: &str, question: &str) {
        let options = RunOptions::new().run_id(id.to_owned());
        let pilot = self.app.agent("pilot").unwrap();
        self.runtime
            .block_on(pilot.start(question, options))
            .unwrap();
    }

    /// Begins a run and waits until it waits.
    fn suspended(&self, id: &str, question: &str) {
        self.ask(id, question);
        self.until(id, RunStatus::Suspended);
    }

    fn until(&self, id: &str, status: RunStatus) {
        let pilot = self.app.agent("pilot").unwrap();
        self.runtime.block_on(async {
            while pilot.status(id).await.unwrap() != status {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }

    fn args(&self, args: &[&str]) -> Vec<String> {
        let args = args.iter().map(|it| (*it).to_owned());
        std::iter::once("agent".to_owned())
            .chain(args)
            .chain(self.flags.iter().cloned())
            .collect()
    }

    fn run(&self, args: &[&str]) -> Done {
        self.scratch.run(self.args(args), "")
    }

    fn start(&self, args: &[&str]) -> Running {
        self.scratch.start(self.args(args))
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // A test that failed does not care.
        let _ = self.runtime.block_on(self.app.close());
    }
}

/// Opens locks when somebody approves it, asks for what it does not know, and otherwise talks.
fn pilot() -> Agent {
    let open = Tool::builder("open")
        .requires_approval()
        .run(|_, _| async { Ok::<_, ToolError>("open") });
    let ask = Tool::builder("ask").run(|ctx: ToolContext, _| async move {
        match ctx.resumed::<Value>()? {
            Some(answer) => Ok(answer),
            None => Err(ctx.suspend("which lock?")),
        }
    });
    let model = ScriptedModel::new(|request| {
        let said = format!("{:?}", request.prompt);
        match ScriptedModel::position(request) {
            0 if said.contains("open both") => Answer::new()
                .tool_call("open", &json!({ "lock": 1 }))
                .tool_call("open", &json!({ "lock": 2 })),
            0 if said.contains("open") => Answer::calls("open", &json!({ "lock": 1 })),
            0 if said.contains("ask") => Answer::calls("ask", &json!({})),
            0 if said.contains("wait") => Answer::says("well").hang(),
            0 => Answer::says("Fair winds."),
            _ => Answer::says("Done\nand done."),
        }
    });
    Agent::builder("pilot")
        .model(model)
        .tool(open.build().unwrap())
        .tool(ask.build().unwrap())
        .build()
        .unwrap()
}

fn lines(out: &str) -> Vec<Value> {
    out.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect()
}

fn kinds(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line["type"].as_str().unwrap())
        .collect()
}

/// Reads lines of a reader until one of `kind`.
fn read_until(reader: &Running, kind: &str) -> Vec<Value> {
    let mut seen = Vec::new();
    while seen.last().is_none_or(|line: &Value| line["type"] != kind) {
        seen.push(serde_json::from_str(&reader.line()).unwrap());
    }
    seen
}

#[test]
fn a_run_is_read_while_somebody_answers_it() {
    for house in [House::new(), House::with_bus()] {
        house.suspended("r1", "open the lock");
        let reader = house.start(&["observe", "r1", "--json"]);
        let mut seen = read_until(&reader, "suspended");
        let waits = &seen.last().unwrap()["data"];
        assert_eq!(
            (&waits["type"], &waits["toolName"]),
            (&json!("approval"), &json!("open"))
        );
        let call = waits["toolCallId"].as_str().unwrap();
        let done = house.run(&["approve", "r1", call]);
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(done.out.starts_with("r1 "), "{done:?}");
        seen.extend(read_until(&reader, "finish"));
        assert_eq!(reader.wait(), (Some(0), vec![]));
        // Each once and in order, and the same for who comes later or in the middle.
        let again = house.run(&["observe", "r1", "--json"]);
        assert_eq!(lines(&again.out), seen, "{again:?}");
        let from = seen[3]["offset"].as_u64().unwrap().to_string();
        let rest = house.run(&["observe", "r1", "--json", "--from", &from]);
        assert_eq!(lines(&rest.out), seen[3..], "{rest:?}");
    }
}

#[test]
fn people_read_the_text_and_are_told_the_rest_beside_it() {
    let house = House::new();
    house.suspended("r1", "open the lock");
    let reader = house.start(&["observe", "r1"]);
    reader.wait_for_note("bowline agent approve r1");
    assert_eq!(house.run(&["approve", "r1"]).code, Some(0));
    reader.wait_for_note("open returned \"open\"");
    assert_eq!(
        (reader.line().as_str(), reader.line().as_str()),
        ("Done", "and done.")
    );
    assert_eq!(reader.wait(), (Some(0), vec![]));
}

#[test]
fn a_call_is_declined_or_answered_and_the_model_goes_on() {
    let house = House::new();
    house.suspended("r1", "open the lock");
    let done = house.run(&["decline", "r1", "--reason", "it leaks", "--json"]);
    assert_eq!(lines(&done.out)[0]["runId"], "r1", "{done:?}");
    house.until("r1", RunStatus::Success);
    let told = house.run(&["observe", "r1", "--json"]).out;
    assert!(told.contains("it leaks"), "{told}");

    house.suspended("r2", "ask somebody");
    house.scratch.write("answer.json", "{\"lock\": 7}\n");
    let done = house.run(&["resume", "r2", "@answer.json"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    house.until("r2", RunStatus::Success);
    let told = house.run(&["observe", "r2", "--json"]).out;
    assert!(
        told.contains(r#""result":{"lock":7}"#) || told.contains(r#"{"lock": 7}"#),
        "{told}"
    );
}

#[test]
fn a_run_is_stopped_from_outside() {
    for house in [House::new(), House::with_bus()] {
        // One that waits for somebody, and on a bus also one whose model never ends.
        house.suspended("r1", "open the lock");
        let mut runs = vec!["r1"];
        if house.flags.len() > 2 {
            house.ask("r2", "wait for me");
            runs.push("r2");
        }
        for run in runs {
            assert_eq!(house.run(&["abort", run]).code, Some(0));
            let reader = house.run(&["observe", run]);
            assert_eq!(reader.code, Some(1), "{reader:?}");
            assert!(reader.err.contains("aborted"), "{reader:?}");
        }
    }
}

#[test]
fn what_cannot_be_is_refused_in_one_line_that_helps() {
    let house = House::new();
    house.suspended("both", "open both");
    house.suspended("asks", "ask somebody");
    house.ask("over", "hello");
    house.until("over", RunStatus::Success);
    house.scratch.write(
        "bowline.toml",
        "agents.pilot.model = { provider = \"openai\", name = \"x\", key_env = \"PILOT_KEY\" }",
    );
    let table: [(&[&str], i32, &[&str]); 11] = [
        (&["observe", "none"], 1, &["none", "retention"]),
        (&["approve", "none", "c"], 1, &["none"]),
        (&["approve", "over"], 1, &["over", "success"]),
        (&["approve", "asks", "other"], 1, &["other"]),
        (&["resume", "asks", "{"], 2, &["JSON"]),
        (&["abort", "none"], 1, &["none"]),
        (&["run", "other", "hi"], 2, &["\"other\"", "pilot"]),
        (&["run", "pilot", "hi"], 2, &["agents.pilot", "PILOT_KEY"]),
        (&["run", "pilot"], 2, &["<MESSAGE>"]),
        (
            &["runs", "pilot", "--status", "gone"],
            2,
            &["gone", "suspended"],
        ),
        (&["observ", "over"], 2, &["observe"]),
    ];
    for (args, code, parts) in table {
        let done = house.run(args);
        assert_eq!(done.code, Some(code), "{args:?}: {done:?}");
        for part in parts {
            assert!(done.failure().contains(part), "{args:?}: {done:?}");
        }
    }
    let nowhere = Scratch::new();
    for (args, part) in [
        (&["observe", "r"][..], "--store"),
        (
            &["observe", "r", "--store", "memory:"],
            "memory of one process",
        ),
        (&["observe", "r", "--store", "sqlite:none.db"], "no store"),
        (&["run", "pilot", "hi"], "declares no agents"),
    ] {
        let done = nowhere.run([&["agent"], args].concat(), "");
        assert!(done.failure().contains(part), "{args:?}: {done:?}");
    }
}

#[cfg(feature = "genai")]
#[test]
fn what_is_said_in_a_thread_reaches_the_run_at_work_or_wakes_the_agent() {
    for house in [House::new(), House::with_bus()] {
        // The tools are those of the program; here nothing of it is started.
        house.scratch.write(
            "bowline.toml",
            "[agents.pilot]\nmodel = \"ollama/llama3\"\nmcp = { command = \"no-such-program\" }\n",
        );
        let say = |message: &str| {
            let args = [
                "signal",
                "pilot",
                message,
                "--thread",
                "t",
                "--resource",
                "ann",
                "--json",
            ];
            let done = house.run(&args);
            assert_eq!(done.code, Some(0), "{done:?}");
            lines(&done.out).remove(0)
        };
        let woken = say("hello");
        assert_eq!(woken["accepted"], "wake");
        let run = woken["runId"].as_str().unwrap();
        house.until(run, RunStatus::Success);
        let told = house.run(&["observe", run]);
        assert_eq!(told.out, "Fair winds.\n", "{told:?}");

        for (option, what, accepted) in [
            ("--if-idle", "discard", "discard\n"),
            ("--if-idle", "persist", "persist\n"),
        ] {
            let place = ["--thread", "u", "--resource", "ann", option, what];
            let said = house.run(&[&["signal", "pilot", "psst"], &place[..]].concat());
            assert_eq!(said.out, accepted, "{said:?}");
        }
        let alone = ["--thread", "u", "--resource", "ann", "--require-owner"];
        let alone = house.run(&[&["signal", "pilot", "psst"], &alone[..]].concat());
        assert!(alone.failure().contains("owns the thread"), "{alone:?}");

        let waits = house.run(&[
            "signal",
            "pilot",
            "hello",
            "--thread",
            "t",
            "--resource",
            "bob",
        ]);
        assert!(
            waits.failure().contains("bob") || waits.failure().contains("resource"),
            "{waits:?}"
        );
        let unknown = house.run(&["signal", "mate", "hello", "--thread", "t"]);
        assert_eq!(unknown.code, Some(2), "{unknown:?}");
    }
}

#[test]
fn agents_and_their_runs_are_listed() {
    let house = House::new();
    house.ask("r1", "hello");
    house.until("r1", RunStatus::Success);
    house.suspended("r2", "open the lock");
    let ids = |args: &[&str]| -> Vec<Value> {
        let done = house.run(&[args, &["--json"]].concat());
        lines(&done.out)
            .iter()
            .map(|line| line["id"].clone())
            .collect()
    };
    assert_eq!(ids(&["runs", "pilot"]), ["r2", "r1"]);
    assert_eq!(ids(&["runs", "pilot", "--status", "suspended"]), ["r2"]);
    assert_eq!(ids(&["runs", "nobody"]), [""; 0]);

    let config = "[agents.pilot]\nmodel = \"ollama/llama3\"\ndescription = \"Brings ships in.\"\n\
                  mcp = [{ command = [\"charts\", \"--token=hunter2\"] }]\n[agents.mate]\nmodel = \"openai/gpt-4o-mini\"\n";
    house.scratch.write("bowline.toml", config);
    let done = house.scratch.run(["agent", "list", "--json"], "");
    let listed = lines(&done.out);
    assert_eq!(
        (&listed[0]["id"], &listed[1]["id"]),
        (&json!("mate"), &json!("pilot"))
    );
    assert_eq!(listed[1]["models"], json!(["ollama/llama3"]));
    let table = house.scratch.run(["agent", "list"], "").out;
    assert!(
        table.contains("Brings ships in.") && table.contains("charts"),
        "{table}"
    );
    assert!(!table.contains("hunter2") && !done.out.contains("hunter2"));
}

#[cfg(feature = "genai")]
mod over_http {
    use bowline_testkit::{OpenAiAnswer, OpenAiServer};

    use super::*;

    /// The command with an agent whose model is at `server`.
    struct Command {
        scratch: Scratch,
    }

    impl Command {
        fn new(server: &OpenAiServer) -> Self {
            let scratch = Scratch::new();
            let config = format!(
                "store = \"sqlite:app.db\"\n[agents.pilot]\ninstructions = \"You are a pilot.\"\n\
                 model = {{ provider = \"openai\", name = \"gpt-4o-mini\", base_url = \"{}\", key_env = \"PILOT_KEY\" }}\n\
                 settings = {{ temperature = 0.5 }}\n",
                server.base_url()
            );
            scratch.write("bowline.toml", config);
            Self { scratch }
        }

        fn command(&self, args: &[&str]) -> std::process::Command {
            let mut command = self.scratch.command([&["agent"], args].concat());
            command.env("PILOT_KEY", "hunter2");
            command
        }

        fn run(&self, args: &[&str], input: &str) -> Done {
            let command = self.command(args);
            tokio::task::block_in_place(|| support::finish(command, input))
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_agent_of_the_file_answers() {
        let server = OpenAiServer::start().await.unwrap();
        let command = Command::new(&server);
        for _ in 0..2 {
            server.answer(OpenAiAnswer::new().text(["Fair ", "winds", "."]));
        }
        let done = command.run(
            &[
                "run",
                "pilot",
                "Hello",
                "--thread",
                "t",
                "--resource",
                "ann",
            ],
            "",
        );
        assert_eq!(
            (done.code, done.out.as_str()),
            (Some(0), "Fair winds.\n"),
            "{done:?}"
        );
        assert!(done.err.contains("note: run "), "{done:?}");
        let json = command.run(
            &[
                "run",
                "pilot",
                "-",
                "--json",
                "--thread",
                "t",
                "--resource",
                "ann",
            ],
            "And now?",
        );
        let seen = lines(&json.out);
        assert_eq!(kinds(&seen).last(), Some(&"finish"), "{json:?}");
        let offsets = seen.iter().map(|line| line["offset"].as_u64().unwrap());
        assert!(offsets.is_sorted(), "{json:?}");
        assert!(!format!("{done:?}{json:?}").contains("hunter2"));
        // The second question came with the conversation before it, and with the settings of the file.
        let requests = server.take_requests();
        let second = requests[1].body.to_string();
        for part in ["You are a pilot.", "Fair winds.", "And now?", "0.5"] {
            assert!(second.contains(part), "{second}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_interrupted_run_goes_on_with_whoever_observes_it() {
        let server = OpenAiServer::start().await.unwrap();
        let command = Command::new(&server);
        server.answer(OpenAiAnswer::new().text(["One\n", "two"]).hang());
        server.answer(OpenAiAnswer::new().text(["Three\n", "four"]));
        let run = command.command(&["run", "pilot", "Count", "--run-id", "r1"]);
        tokio::task::block_in_place(|| {
            let run = Running::new(run);
            assert_eq!(run.line(), "One");
            run.signal("INT");
            run.wait_for_note("bowline agent observe r1 --from ");
            let (code, rest) = run.wait();
            assert_eq!(code, Some(130));
            // Whether this came before the signal, the system decides.
            assert!(rest.iter().all(|line| line == "two"), "{rest:?}");
        });
        let done = command.run(&["observe", "r1"], "");
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(done.out.ends_with("Three\nfour\n"), "{done:?}");
        assert!(done.err.contains("asked again"), "{done:?}");
        assert_eq!(server.take_requests().len(), 2);
    }

    /// A server of one tool, which says what is in its environment.
    #[cfg(feature = "mcp")]
    const CHARTS: &str = r#"
        while read -r line; do
            id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
            answer() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"; }
            case "$line" in
                *'"initialize"'*) answer '{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"charts","version":"1"}}' ;;
                *'"tools/list"'*) answer '{"tools":[{"name":"depth","description":"How deep it is.","inputSchema":{"type":"object"}}]}' ;;
                *'"tools/call"'*) answer '{"content":[{"type":"text","text":"11 metres for '"$CHARTS_USER$PILOT_KEY"'"}]}' ;;
            esac
        done
    "#;

    #[cfg(feature = "mcp")]
    #[tokio::test(flavor = "multi_thread")]
    async fn tools_come_from_the_servers_of_the_file() {
        let server = OpenAiServer::start().await.unwrap();
        let command = Command::new(&server);
        command.scratch.write("charts.sh", CHARTS);
        let file = command.scratch.join("bowline.toml");
        let mut config = std::fs::read_to_string(&file).unwrap();
        config.push_str(
            "mcp = { command = [\"sh\", \"charts.sh\"], env = [\"CHARTS_USER\"], prefix = \"charts_\" }\n",
        );
        std::fs::write(&file, config).unwrap();
        server.answer(OpenAiAnswer::new().tool_call("call-1", "charts_depth", ["{}"]));
        server.answer(OpenAiAnswer::new().text(["Deep enough."]));
        let mut run = command.command(&["run", "pilot", "How deep?"]);
        run.env("CHARTS_USER", "ann");
        let done = tokio::task::block_in_place(|| support::finish(run, ""));
        assert_eq!(
            (done.code, done.out.as_str()),
            (Some(0), "Deep enough.\n"),
            "{done:?}"
        );
        assert!(done.err.contains("charts_depth returned"), "{done:?}");
        // It sees what it was given, and no more.
        let requests = server.take_requests();
        assert!(
            requests[1].body.to_string().contains("11 metres for ann\""),
            "{}",
            requests[1].body
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_declaration_that_cannot_be_used_says_why() {
        let server = OpenAiServer::start().await.unwrap();
        let command = Command::new(&server);
        let mut table = vec![
            ("model = \"nobody/x\"", "nobody"),
            ("model = \"openai/x\"", "OPENAI_API_KEY"),
            (
                "model = { name = \"x\", base_url = \"localhost\" }",
                "http://",
            ),
            ("model = \"ollama/x\"\nmax_steps = 0", "0 steps"),
        ];
        if cfg!(feature = "mcp") {
            table.extend([
                ("model = \"ollama/x\"\nmcp = { command = \"no-such-program\" }", "no-such-program"),
                (
                    "model = \"ollama/x\"\nmcp = { url = \"http://h\", headers_env = { a = \"NO_SUCH\" } }",
                    "NO_SUCH",
                ),
            ]);
        }
        for (agent, part) in table {
            command
                .scratch
                .write("bowline.toml", format!("[agents.pilot]\n{agent}\n"));
            let mut run = command.command(&["run", "pilot", "Hello"]);
            run.env_remove("OPENAI_API_KEY");
            let done = tokio::task::block_in_place(|| support::finish(run, ""));
            assert!(matches!(done.code, Some(1 | 2)), "{agent}: {done:?}");
            for part in [part, "agents.pilot"] {
                assert!(done.failure().contains(part), "{agent}: {done:?}");
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_model_that_fails_fails_the_command() {
        let server = OpenAiServer::start().await.unwrap();
        let command = Command::new(&server);
        server.answer(OpenAiAnswer::status(401));
        let done = command.run(&["run", "pilot", "Hello"], "");
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(done.err.contains("the run failed: "), "{done:?}");
        assert!(!done.err.contains("hunter2"), "{done:?}");
    }
}
