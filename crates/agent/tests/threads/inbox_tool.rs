//! The inbox as a model sees it, through its tool.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bowline_agent::memory::MemoryOptions;
use bowline_agent::model::{PromptContent, PromptMessage};
use bowline_agent::scripted::{Answer, ScriptedModel};
use bowline_agent::threads::{
    Delivery, Notification, NotificationPolicy, NotificationRecord, NotificationStatus, Priority,
    ThreadEvent, ThreadId, Threads, inbox_tool,
};
use bowline_agent::tool::TestTool;
use bowline_agent::{Agent, Chunk, Data, DurableAgent};
use bowline_workflow::Engine;
use serde_json::{Value, json};

use crate::world::{Reader, World, thread};

const CLERK: &str = "clerk";

/// A process with an agent that calls the tool as it is told, and then says something.
struct Office {
    threads: Threads,
    model: ScriptedModel,
    thread: ThreadId,
    _strangers: Threads,
    _engine: Engine,
}

impl Office {
    async fn new(calls: &[Value]) -> Self {
        Self::with_ids(calls, |n| format!("call-{n}")).await
    }

    async fn with_ids(calls: &[Value], id: impl Fn(usize) -> String) -> Self {
        let world = World::new();
        let answers = calls.iter().enumerate().map(|(n, args)| match args {
            Value::Null => Answer::says("nothing to do"),
            args => Answer::new().tool_call_as(id(n), "notification-inbox", args),
        });
        let answers = Mutex::new(answers.collect::<VecDeque<_>>());
        let model = ScriptedModel::new(move |_| {
            let next = answers.lock().unwrap().pop_front();
            next.unwrap_or_else(|| Answer::says("done"))
        });
        let model = model.keep_requests(100);
        let agent = Agent::builder(CLERK)
            .model(model.clone())
            .tool(inbox_tool())
            .max_steps(50)
            .memory(MemoryOptions {
                last_messages: 0,
                ..MemoryOptions::default()
            })
            .build()
            .unwrap();
        let agent = DurableAgent::new(agent, world.store.clone(), world.bus.clone());
        let engine = Engine::builder(world.store.clone(), world.bus.clone())
            .workflow(agent.workflow().unwrap())
            .start()
            .await
            .unwrap();
        // Another one in the same process, which is not meant.
        let other = World::new();
        let strangers = Threads::builder(other.store, other.bus)
            .agent(agent.on(&engine).unwrap())
            .start();
        let threads = Threads::builder(Arc::clone(&world.store), Arc::clone(&world.bus))
            .agent(agent.on(&engine).unwrap())
            .start();
        Self {
            threads,
            model,
            thread: thread().clone(),
            _strangers: strangers,
            _engine: engine,
        }
    }

    async fn has(&self, news: Notification, delivery: Delivery) -> NotificationRecord {
        let policy = NotificationPolicy::new().otherwise(delivery);
        let told = self
            .threads
            .send_notification_with(CLERK, &self.thread, news, &policy);
        told.await.unwrap().record
    }

    /// What the calls return, when the agent is asked to make them.
    async fn results(&self) -> Vec<Value> {
        let mut reader = Reader(self.threads.subscribe(&self.thread).await.unwrap());
        let sent = self.threads.send_message(CLERK, &self.thread, "Look.");
        sent.await.unwrap();
        let mut results = Vec::new();
        loop {
            match reader.next().await.event {
                ThreadEvent::Part(part) => match Chunk::of(&part) {
                    Chunk::ToolResult(it) => results.push(it.result.unwrap().parse().unwrap()),
                    Chunk::ToolError(it) => results.push(json!(it.error.message)),
                    _ => {}
                },
                ThreadEvent::Completed => return results,
                _ => {}
            }
        }
    }

    /// What the model was told before it was asked last.
    fn told(&self) -> String {
        let requests = self.model.requests();
        let mut told = String::new();
        for message in &requests.last().unwrap().prompt {
            let PromptMessage::User(contents) = message else {
                continue;
            };
            for content in contents {
                if let PromptContent::Text { text, .. } = content {
                    told.push_str(text);
                }
            }
        }
        told
    }

    async fn status(&self, id: &str) -> NotificationStatus {
        let record = self.threads.inbox(&self.thread).get(id).await.unwrap();
        record.unwrap().status
    }
}

fn news(id: &str, source: &str, summary: &str) -> Notification {
    Notification::new(source.to_owned(), "news", summary).with_id(id.to_owned())
}

fn ids(result: &Value) -> Vec<&str> {
    let found = result["notifications"].as_array().unwrap();
    let mut ids: Vec<&str> = found.iter().map(|it| it["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn a_model_lists_and_searches_and_has_seen_what_it_was_shown() {
    let office = Office::new(&[
        json!({ "action": "list", "source": "github" }),
        json!({ "action": "list" }),
        json!({ "action": "list" }),
        json!({ "action": "list", "status": "seen", "limit": 1 }),
        json!({ "action": "search", "query": "RED" }),
    ])
    .await;
    let payload = Data::of(&json!({ "log": "long" })).unwrap();
    let first = news("n1", "github", "The build is red").payload(payload);
    office
        .has(first.priority(Priority::High), Delivery::persist())
        .await;
    office
        .has(news("n2", "slack", "Ahoy"), Delivery::persist())
        .await;
    let results = office.results().await;
    let counts = |result: &Value| (result["markedSeen"].clone(), result["hasMore"].clone());
    assert_eq!(ids(&results[0]), ["n1"]);
    assert_eq!(counts(&results[0]), (json!(1), json!(false)));
    let shown = &results[0]["notifications"][0];
    assert_eq!(
        (&shown["status"], &shown["payload"]),
        (&json!("seen"), &Value::Null)
    );
    assert_eq!(ids(&results[1]), ["n2"]);
    assert!(ids(&results[2]).is_empty());
    assert_eq!(counts(&results[2]), (json!(0), json!(false)));
    assert_eq!(ids(&results[3]).len(), 1);
    assert_eq!(counts(&results[3]), (json!(0), json!(true)));
    assert_eq!(ids(&results[4]), ["n1"]);
}

#[tokio::test]
async fn a_model_reads_in_full_what_it_was_told_of_and_nothing_twice() {
    let office = Office::new(&[
        json!({ "action": "read", "id": "n1" }),
        json!({ "action": "read" }),
        json!({ "action": "read", "id": "n1" }),
        json!({ "action": "read" }),
        json!({ "action": "read", "id": "nowhere" }),
    ])
    .await;
    for (id, text) in [("n1", "The build is red."), ("n2", "Ahoy.")] {
        office.has(news(id, "s", text), Delivery::persist()).await;
    }
    let results = office.results().await;
    let read = |delivered: usize, already: usize| {
        let message = match delivered {
            0 => "No unread notifications needed delivery.".to_owned(),
            n => format!("{n} notification(s) will now be delivered."),
        };
        json!({
            "message": message,
            "delivered": delivered,
            "markedSeen": delivered,
            "unavailable": 0,
            "alreadyRead": already,
        })
    };
    assert_eq!(
        results[..4],
        [read(1, 0), read(1, 0), read(0, 1), read(0, 0)]
    );
    assert!(results[4].to_string().contains("was not found"));
    let told = office.told();
    for text in ["The build is red.", "Ahoy."] {
        assert_eq!(told.matches(text).count(), 1, "{told}");
    }
    assert_eq!(office.status("n1").await, NotificationStatus::Seen);
}

#[tokio::test]
async fn a_call_that_is_made_again_says_the_same() {
    // In one run the id of a call stands for the call.
    for action in ["list", "read"] {
        let call = json!({ "action": action, "limit": 1 });
        let office = Office::with_ids(&[call.clone(), call], |_| "same".to_owned()).await;
        for id in ["n1", "n2"] {
            let text = format!("{id}.");
            office.has(news(id, "s", &text), Delivery::persist()).await;
        }
        let results = office.results().await;
        match action {
            "list" => {
                assert_eq!(results[0]["notifications"], results[1]["notifications"]);
                assert_eq!(results[1]["markedSeen"], 1);
            }
            _ => {
                // What the first call had not come to is read as well.
                assert_eq!(results[0]["delivered"], 1);
                assert_eq!(results[1]["delivered"], 2);
                let told = office.told();
                for text in ["n1.", "n2."] {
                    assert_eq!(told.matches(text).count(), 1, "{told}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_was_delivered_is_read_again_when_the_model_wants_it() {
    let office = Office::new(&[Value::Null, json!({ "action": "read" })]).await;
    let mut reader = Reader(office.threads.subscribe(&office.thread).await.unwrap());
    let news = news("n1", "s", "The build is red.");
    let told = office.has(news, Delivery::deliver()).await;
    assert_eq!(told.status, NotificationStatus::Delivered);
    reader.run().await;
    assert!(office.told().contains("The build is red."));
    assert_eq!(office.results().await[0]["delivered"], 1);
    assert_eq!(office.told().matches("The build is red.").count(), 1);
    assert_eq!(office.status("n1").await, NotificationStatus::Seen);
}

#[tokio::test]
async fn a_model_marks_what_is_its_own() {
    let office = Office::new(&[
        json!({ "action": "markSeen", "id": "n1" }),
        json!({ "action": "dismiss", "id": "n2" }),
        json!({ "action": "archive", "id": "n3" }),
        json!({ "action": "archive", "id": "n3", "threadId": "elsewhere" }),
        json!({ "action": "dismiss" }),
        json!({ "action": "search" }),
    ])
    .await;
    for id in ["n1", "n2", "n3"] {
        office.has(news(id, "s", "?"), Delivery::persist()).await;
    }
    let results = office.results().await;
    for (n, status) in ["seen", "dismissed", "archived"].into_iter().enumerate() {
        assert_eq!(results[n]["notification"]["status"], status);
    }
    for (result, problem) in results[3..]
        .iter()
        .zip(["was not found", "needs id", "needs query"])
    {
        assert!(result.to_string().contains(problem), "{result}");
    }
    assert_eq!(office.status("n3").await, NotificationStatus::Archived);
}

#[tokio::test]
async fn without_threads_there_is_no_inbox() {
    let tool = TestTool::new(inbox_tool());
    let called = tool.call(&json!({ "action": "list" })).await;
    assert!(called.is_err());
}
