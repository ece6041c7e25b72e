//! Runs that end well: what they remember, what processors see, what the answer looks like, when they stop.

use std::sync::Arc;

use bowline_agent::agent::RunOptions;
use bowline_agent::message::Part;
use bowline_agent::model::{FinishReason, PromptContent, PromptMessage, ResponseFormat};
use bowline_agent::processor::{
    Processed, Processor, ProcessorError, RunInput, RunOutput, StepInput,
};
use bowline_agent::scripted::{Answer, ScriptedModel};
use bowline_agent::structured::StructuredOutput;
use bowline_agent::tool::{Tool, ToolError, tool};
use bowline_agent::{Agent, AgentBuilder, BoxFuture, ErrorKind, Message};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::house::House;

fn agent(model: &ScriptedModel) -> AgentBuilder {
    Agent::builder("talker").model(model.clone())
}

fn texts(message: &PromptMessage) -> String {
    let (who, content) = match message {
        PromptMessage::System(text) => return format!("system: {text}"),
        PromptMessage::User(content) => ("user", content),
        PromptMessage::Assistant(content) => ("assistant", content),
        other => return format!("{other:?}"),
    };
    let texts = content.iter().map(|content| match content {
        PromptContent::Text { text, .. } => text.clone(),
        other => format!("{other:?}"),
    });
    format!("{who}: {}", texts.collect::<String>())
}

/// What the model was asked, each time.
fn asked(model: &ScriptedModel) -> Vec<Vec<String>> {
    let requests = model.requests();
    let prompts = requests.iter().map(|request| &request.prompt);
    prompts.map(|it| it.iter().map(texts).collect()).collect()
}

#[tokio::test]
async fn the_next_run_of_a_thread_remembers_the_last_one_and_no_other_does() {
    let house = House::new();
    let model = ScriptedModel::new(|request| {
        Answer::says(format!("Answer {}.", ScriptedModel::position(request)))
    });
    let agent = house
        .with(&agent(&model).instructions("Be brief.").build().unwrap())
        .await;
    let on = |thread: &str| RunOptions::new().thread(thread.to_owned()).resource("ada");
    agent.generate_with("First?", on("a")).await.unwrap();
    agent.generate_with("Second?", on("a")).await.unwrap();
    agent.generate_with("Other?", on("b")).await.unwrap();
    agent.generate("Nothing?").await.unwrap();
    let asked = asked(&model);
    let all = [
        "system: Be brief.",
        "user: First?",
        "assistant: Answer 0.",
        "user: Second?",
    ];
    assert_eq!(asked[1], all);
    assert_eq!(asked[2], ["system: Be brief.", "user: Other?"]);
    assert_eq!(asked[3], ["system: Be brief.", "user: Nothing?"]);
    let kept = agent.memory().recent("a", 100).await.unwrap();
    let kept: Vec<String> = kept.iter().map(Message::text).collect();
    assert_eq!(kept, ["First?", "Answer 0.", "Second?", "Answer 1."]);
    let stranger = RunOptions::new().thread("a").resource("eve");
    let refused = agent.generate_with("Let me see.", stranger).await;
    assert!(refused.is_err(), "it is the thread of somebody else");
    agent.engine().close().await;
}

#[tokio::test]
async fn a_thread_that_has_grown_large_can_be_gone_on_with() {
    const LARGE: usize = 1024 * 1024;
    let house = House::new();
    let model = ScriptedModel::new(|_| Answer::new().deltas(["x".repeat(LARGE)]));
    let agent = house.with(&agent(&model).build().unwrap()).await;
    for n in 0..12 {
        let options = RunOptions::new().thread("t").resource("ada");
        let output = agent.generate_with(format!("Question {n}"), options).await;
        let output = output.unwrap_or_else(|error| panic!("run {n}: {error}"));
        assert_eq!(output.text.len(), LARGE);
    }
    let last = asked(&model).pop().unwrap();
    assert_eq!(last.last().unwrap(), "user: Question 11");
    assert!(last.len() > 2, "it remembers something");
    agent.engine().close().await;
}

#[tokio::test]
async fn a_thread_that_is_deleted_meanwhile_does_not_fail_the_run() {
    let house = House::new();
    let memory = bowline_agent::Memory::new(Arc::clone(&house.store));
    let forget = tool("forget", move || {
        let memory = memory.clone();
        async move {
            memory.delete("t").await?;
            Ok::<_, ToolError>("gone")
        }
    });
    let model = ScriptedModel::listed([Answer::calls("forget", &json!({})), Answer::says("Done.")]);
    let agent = agent(&model).tool(forget.build().unwrap()).build();
    let agent = house.with(&agent.unwrap()).await;
    let options = RunOptions::new().thread("t").resource("ada");
    let output = agent.generate_with("Forget me.", options).await.unwrap();
    assert_eq!((output.text.as_str(), output.error), ("Done.", None));
    agent.engine().close().await;
}

/// Changes and refuses what has certain words in it.
#[derive(Debug)]
struct Censor;

impl Processor for Censor {
    fn id(&self) -> &str {
        "censor"
    }

    fn process_input<'a>(&'a self, input: &'a mut RunInput) -> BoxFuture<'a, Processed> {
        Box::pin(async move {
            match input
                .messages
                .iter()
                .any(|it| it.text().contains("bad input"))
            {
                true => Err(ProcessorError::tripwire("no such words")),
                false => Ok(()),
            }
        })
    }

    fn process_step<'a>(&'a self, step: &'a mut StepInput) -> BoxFuture<'a, Processed> {
        Box::pin(async move {
            if step
                .messages
                .iter()
                .any(|it| it.text().contains("bad step"))
            {
                return Err(ProcessorError::tripwire("no such question"));
            }
            if step.messages.iter().any(|it| it.text().contains("broken")) {
                return Err(std::io::Error::other("the list of words is gone").into());
            }
            if step.messages.iter().any(|it| it.text().contains("panic")) {
                panic!("a processor panics");
            }
            step.system.push("Be polite.".to_owned());
            Ok(())
        })
    }

    fn process_output_result<'a>(&'a self, result: &'a mut RunOutput) -> BoxFuture<'a, Processed> {
        Box::pin(async move {
            let Some(last) = result.messages.last_mut() else {
                return Ok(());
            };
            if last.text().contains("secret") {
                let mut censored = Message::assistant(vec![Part::text("***")]);
                censored.id = last.id.clone();
                *last = censored;
            }
            match last.text().contains("terrible") {
                true => Err(ProcessorError::tripwire("no such answer")),
                false => Ok(()),
            }
        })
    }
}

#[tokio::test]
async fn processors_change_what_is_said_or_stop_the_run() {
    use FinishReason::{Stop, Tripwire};
    for (question, answer, reason, text, kept, times) in [
        ("fine", "fine", Some(Stop), "fine", vec!["fine", "fine"], 1),
        (
            "fine",
            "a secret",
            Some(Stop),
            "***",
            vec!["fine", "***"],
            1,
        ),
        ("bad input", "fine", Some(Tripwire), "", vec![], 0),
        ("bad step", "fine", Some(Tripwire), "", vec![], 0),
        ("fine", "terrible", Some(Tripwire), "terrible", vec![], 1),
    ] {
        let house = House::new();
        let model = ScriptedModel::says(answer);
        let censor: Arc<dyn Processor> = Arc::new(Censor);
        let agent = agent(&model).processors([censor]).build().unwrap();
        let agent = house.with(&agent).await;
        let options = RunOptions::new().thread("t").resource("ada");
        let output = agent.generate_with(question, options).await.unwrap();
        let what = format!("{question:?}, {answer:?}");
        assert_eq!(output.finish_reason, reason, "{what}");
        assert_eq!(output.text, text, "{what}");
        assert_eq!(model.calls(), times, "{what}");
        if reason == Some(Stop) {
            let messages = agent.memory().recent("t", 10).await.unwrap();
            let messages: Vec<String> = messages.iter().map(Message::text).collect();
            assert_eq!(messages, kept, "{what}");
            assert!(asked(&model)[0].contains(&"system: Be polite.".to_owned()));
        }
        agent.engine().close().await;
    }
}

#[tokio::test]
async fn what_the_application_does_wrong_fails_the_run_at_once() {
    for (question, times) in [("broken", 0), ("panic", 0), ("stop", 1)] {
        let house = House::new();
        let model = ScriptedModel::always(Answer::calls("look", &json!({})));
        let censor: Arc<dyn Processor> = Arc::new(Censor);
        let agent = agent(&model)
            .tool(look())
            .processors([censor])
            .stop_when(|_| panic!("a condition panics"))
            .build();
        let agent = house.with(&agent.unwrap()).await;
        let output = agent.generate(question).await.unwrap();
        let reason = output.finish_reason;
        assert_eq!(reason, Some(FinishReason::Error), "{question}");
        assert_eq!(model.calls(), times, "{question}");
        agent.engine().close().await;
    }
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Order {
    id: u32,
}

#[tokio::test]
async fn an_answer_can_be_an_object() {
    let house = House::new();
    let model = ScriptedModel::says(r#"{"id": 7}"#);
    let agent = house.with(&agent(&model).build().unwrap()).await;
    let options = RunOptions::new().structured(StructuredOutput::of::<Order>());
    let output = agent.generate_with("Which?", options).await.unwrap();
    assert_eq!(output.object::<Order>().unwrap(), Order { id: 7 });
    let format = model.requests()[0].response_format.clone();
    assert!(matches!(
        format,
        ResponseFormat::Json {
            schema: Some(_),
            ..
        }
    ));
    agent.engine().close().await;
}

fn look() -> Tool {
    let look = tool("look", || async { Ok::<_, ToolError>("seen") });
    look.build().unwrap()
}

fn confirm() -> Tool {
    Tool::builder("confirm").client_side().build().unwrap()
}

#[tokio::test]
async fn a_run_stops_where_it_is_to() {
    use FinishReason::{Stop, ToolCalls};
    let calls = |tool: &'static str| ScriptedModel::new(move |_| Answer::calls(tool, &json!({})));
    let once = || ScriptedModel::listed([Answer::calls("look", &json!({})), Answer::says("Done.")]);
    let says_stop = || {
        let first = Answer::calls("look", &json!({})).finish(Stop);
        ScriptedModel::listed([first, Answer::says("Done.")])
    };
    for (what, model, max, reason, times) in [
        (
            "5 steps unless said otherwise",
            calls("look"),
            None,
            ToolCalls,
            5,
        ),
        (
            "as many as the run may",
            calls("look"),
            Some(3),
            ToolCalls,
            3,
        ),
        ("one", calls("look"), Some(1), ToolCalls, 1),
        ("the model is done", once(), Some(9), Stop, 2),
        ("whatever it calls it", says_stop(), Some(9), Stop, 2),
        (
            "the client is to call",
            calls("confirm"),
            Some(9),
            ToolCalls,
            1,
        ),
        ("a condition", calls("stopper"), Some(9), ToolCalls, 2),
    ] {
        let house = House::new();
        let stopper = tool("stopper", || async { Ok::<_, ToolError>(0) });
        let agent = agent(&model)
            .tools([look(), confirm(), stopper.build().unwrap()])
            .stop_when(|step| step.steps == 2 && step.tools.contains(&"stopper".into()))
            .build();
        let agent = house.with(&agent.unwrap()).await;
        let mut options = RunOptions::new();
        if let Some(max) = max {
            options = options.max_steps(max);
        }
        let output = agent.generate_with("Go.", options).await.unwrap();
        assert_eq!(output.finish_reason, Some(reason), "{what}");
        assert_eq!(
            (model.calls(), output.steps.len()),
            (times, times),
            "{what}"
        );
        agent.engine().close().await;
    }
}

#[tokio::test]
async fn two_calls_of_one_id_do_not_keep_a_run_from_its_end() {
    let house = House::new();
    let twice = |id: &'static str| {
        let first = Answer::new()
            .tool_call_as(id, "look", &json!({}))
            .tool_call_as(id, "look", &json!({}));
        ScriptedModel::listed([first, Answer::says("Done.")])
    };
    for id in ["same", "a.b", "\u{1F980}:\"\\"] {
        let model = twice(id);
        let agent = agent(&model).tool(look()).build().unwrap();
        let agent = house.with(&agent).await;
        let output = agent.generate("Go.").await.unwrap();
        assert_eq!(output.text, "Done.", "{id:?}: {output:?}");
        agent.engine().close().await;
    }
}

#[tokio::test]
async fn what_cannot_be_a_run_is_refused() {
    let house = House::new();
    let model = ScriptedModel::says("fine");
    let agent = house.with(&agent(&model).build().unwrap()).await;
    let large = "x".repeat(9 * 1024 * 1024);
    let taken = RunOptions::new().run_id("taken");
    agent.generate_with("Hi", taken.clone()).await.unwrap();
    let new = RunOptions::new;
    for (what, text, options, kind) in [
        ("too large", large.as_str(), new(), ErrorKind::TooLarge),
        (
            "no steps",
            "Hi",
            new().max_steps(0),
            ErrorKind::InvalidInput,
        ),
        (
            "too many steps",
            "Hi",
            new().max_steps(1001),
            ErrorKind::InvalidInput,
        ),
        ("no thread", "Hi", new().thread(""), ErrorKind::InvalidInput),
        ("a taken id", "Hi", taken, ErrorKind::AlreadyExists),
        (
            "an empty id",
            "Hi",
            new().run_id(""),
            ErrorKind::InvalidInput,
        ),
    ] {
        let refused = agent.generate_with(text, options.clone()).await;
        assert_eq!(refused.unwrap_err().kind(), kind, "{what}");
        let refused = agent.start(text, options).await;
        assert_eq!(refused.unwrap_err().kind(), kind, "{what}");
    }
    assert_eq!(model.calls(), 1);
    agent.engine().close().await;
}
