//! What has come out of a run, and what of it was committed when a process died.

use std::sync::Arc;

use bowline_agent::message::Part;
use bowline_agent::{Memory, RunOutput};
use bowline_store::{Store, Table};
use serde_json::Value;

use crate::scene;
use crate::seen::Seen;

/// What has come out of a run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) status: String,
    /// What the thread remembers, without ids and times.
    pub(crate) messages: Vec<String>,
    pub(crate) output: RunOutput,
    pub(crate) seen: Seen,
}

fn part(part: &Part) -> String {
    match part {
        Part::Text { text, .. } => text.clone(),
        Part::Tool { invocation, .. } => {
            let result = invocation.result.as_ref().map(ToString::to_string);
            format!(
                "{} {} {:?} {result:?}",
                invocation.tool_call_id, invocation.args, invocation.state
            )
        }
        other => format!("{other:?}"),
    }
}

/// What the thread of a run remembers, without ids and times.
pub(crate) async fn remembered(store: &Arc<dyn Store>, run: &str) -> Vec<String> {
    let memory = Memory::new(Arc::clone(store));
    let messages = memory.recent(&scene::thread(run), 100).await.unwrap();
    let text = |message: &bowline_agent::Message| {
        let parts: Vec<String> = message.content.parts.iter().map(part).collect();
        format!("{:?}: {}", message.role, parts.join(" | ")).replace(run, "RUN")
    };
    messages.iter().map(text).collect()
}

/// What of the things that a run does to the world is committed.
pub(crate) async fn committed(store: &Arc<dyn Store>, run: &str) -> Vec<String> {
    let mut done = Vec::new();
    for fact in journal(&**store, run).await {
        let completion = &fact["ended"]["completion"];
        let asks = &completion["outcome"]["suspended"]["payload"];
        if asks["type"] == "suspension" {
            done.push("ask".to_owned());
        }
        let Value::Object(state) = &completion["state"] else {
            continue;
        };
        for key in state.keys() {
            let named = match key.split_once('.') {
                Some((_, "pay-1")) => "pay".to_owned(),
                Some((_, "ask-1")) => "hear".to_owned(),
                Some((_, "oslo")) => "Oslo".to_owned(),
                Some((_, "rome")) => "Rome".to_owned(),
                Some((_, "lima")) => "Lima".to_owned(),
                None if key.starts_with('s') => format!("model {}", &key[1..]),
                _ => continue,
            };
            done.push(named);
        }
    }
    done.into_iter()
        .map(|what| format!("{run}/{what}"))
        .collect()
}

/// The facts of a run, as they are kept.
async fn journal(store: &dyn Store, run: &str) -> Vec<Value> {
    let log = Table::new("journal").log(run.to_owned());
    let mut facts = Vec::new();
    loop {
        let page = store.read_log(&log, facts.len() as u64, 1000).await;
        let entries = page.unwrap().entries;
        if entries.is_empty() {
            return facts;
        }
        for entry in entries {
            let entry: Value = serde_json::from_slice(&entry.body).unwrap();
            facts.push(entry["f"].clone());
        }
    }
}
