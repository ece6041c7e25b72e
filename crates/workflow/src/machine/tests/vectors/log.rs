//! A recorded run: what was published, in order.

use std::collections::BTreeSet;

use serde_json::Value;

const WATCH: &str = "workflow.events.v2.";

/// The instants of a step: those of the recording are not those of a replay.
const TIMES: [&str; 4] = ["startedAt", "endedAt", "suspendedAt", "resumedAt"];

#[derive(Debug)]
pub(super) struct Log {
    pub(super) name: &'static str,
    pub(super) lines: Vec<Line>,
}

/// One published event.
#[derive(Debug)]
pub(super) struct Line {
    topic: String,
    pub(super) kind: String,
    pub(super) data: Value,
}

impl Log {
    /// The vector `name`, with the ids of nested runs and of sleeps as they are here.
    pub(super) fn read(name: &str) -> Self {
        let name: &'static str = String::from(name).leak();
        let mut text = read(name);
        let lines = parse(&text);
        let root = lines[0].run().to_owned();
        for (nested, line) in nested_starts(&lines, &root).iter().enumerate() {
            let step = line.data["parentWorkflow"]["stepId"].as_str().unwrap();
            let id = format!("{root}.{step}.{}", nested + 1);
            text = text.replace(line.run(), &id);
        }
        for line in &lines {
            let id = line.data["payload"]["id"].as_str().unwrap_or_default();
            if line.data["type"] == "workflow-step-waiting" {
                text = text.replace(id, "sleep");
            }
        }
        Self {
            name,
            lines: parse(&text),
        }
    }

    pub(super) fn root(&self) -> &str {
        self.lines[0].run()
    }

    /// The runs that somebody could watch, nested ones included.
    pub(super) fn runs(&self) -> BTreeSet<&str> {
        let watched = self.lines.iter().filter_map(Line::watched);
        watched.chain([self.root()]).collect()
    }

    /// What the watchers of a run were told.
    pub(super) fn told(&self, run: &str) -> Vec<Value> {
        let told = self.lines.iter().filter(|line| line.watched() == Some(run));
        told.map(|line| masked(&line.data)).collect()
    }
}

impl Line {
    /// The run whose watchers it was for.
    pub(super) fn watched(&self) -> Option<&str> {
        self.topic.strip_prefix(WATCH)
    }

    /// Whether it is one of those that move the run.
    pub(super) fn moves(&self) -> bool {
        self.topic == "workflows"
    }

    pub(super) fn run(&self) -> &str {
        self.data["runId"].as_str().unwrap()
    }

    pub(super) fn path(&self) -> Vec<usize> {
        let path = self.data["executionPath"].as_array();
        let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
        path.map(|path| path.iter().map(number).collect())
            .unwrap_or_default()
    }

    pub(super) fn result(&self) -> &Value {
        &self.data["prevResult"]
    }
}

/// `value` with every instant of a step replaced.
pub(super) fn masked(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let masked = members.iter().map(|(key, value)| {
                let time = TIMES.contains(&key.as_str()) && value.is_number();
                let value = if time { "time".into() } else { masked(value) };
                (key.clone(), value)
            });
            masked.collect()
        }
        Value::Array(elements) => elements.iter().map(masked).collect(),
        value => value.clone(),
    }
}

pub(super) fn read(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vectors");
    std::fs::read_to_string(format!("{folder}/{name}.ndjson")).unwrap()
}

fn parse(text: &str) -> Vec<Line> {
    let line = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        Line {
            topic: line["topic"].as_str().unwrap().to_owned(),
            kind: line["type"].as_str().unwrap().to_owned(),
            data: line["data"].take(),
        }
    };
    text.lines().map(line).collect()
}

fn nested_starts<'a>(lines: &'a [Line], root: &str) -> Vec<&'a Line> {
    let starts = lines.iter().filter(|line| line.kind == "workflow.start");
    starts.filter(|line| line.run() != root).collect()
}
