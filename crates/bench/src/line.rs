//! The line of a measurement, with its members in the order that `bench/README.md` fixes.

use std::fmt::Write as _;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use crate::clock::{self, CpuTime, round};
use crate::histogram::Histogram;

/// Named values in the order in which they were added.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Members(Vec<(&'static str, Member)>);

#[derive(Debug, Clone, PartialEq)]
enum Member {
    Value(Value),
    Group(Members),
}

impl Members {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.push((name, Member::Value(value.into())));
        self
    }

    pub(crate) fn with_group(mut self, name: &'static str, group: Self) -> Self {
        self.0.push((name, Member::Group(group)));
        self
    }

    pub(crate) fn append(&mut self, mut more: Self) {
        self.0.append(&mut more.0);
    }

    pub(crate) fn json(&self) -> String {
        // Strings, numbers and arrays of them always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, member) in &self.0 {
            let value = match member {
                Member::Value(Value::String(value)) => value.clone(),
                Member::Value(value) => value.to_string(),
                Member::Group(group) => format!("({})", group.text()),
            };
            let space = if text.is_empty() { "" } else { " " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{space}{name}={value}");
        }
        text
    }

    fn serialize_into<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        for (name, member) in &self.0 {
            match member {
                Member::Value(value) => map.serialize_entry(name, value)?,
                Member::Group(group) => map.serialize_entry(name, group)?,
            }
        }
        Ok(())
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.serialize_into(&mut map)?;
        map.end()
    }
}

/// What is measured: two lines with equal subjects are comparable.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Subject {
    pub(crate) workload: &'static str,
    pub(crate) params: Members,
}

impl Subject {
    pub(crate) fn new(workload: &'static str, params: Members) -> Self {
        Self { workload, params }
    }
}

/// What was measured.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) events: u64,
    pub(crate) seconds: f64,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) rss_mb: Option<f64>,
    pub(crate) extras: Members,
}

impl Outcome {
    /// `events` in `seconds`, by this process.
    pub(crate) fn new(events: u64, seconds: f64) -> Self {
        Self {
            events,
            seconds,
            p50_us: None,
            p99_us: None,
            rss_mb: clock::rss_mb(),
            extras: Members::new(),
        }
    }

    pub(crate) fn latencies(mut self, histogram: &Histogram) -> Self {
        self.p50_us = histogram.quantile_us(0.5);
        self.p99_us = histogram.quantile_us(0.99);
        self
    }

    pub(crate) fn extras(mut self, extras: Members) -> Self {
        self.extras = extras;
        self
    }
}

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// One JSON object.
    Json,
    /// For people.
    Text,
}

/// Writes lines, and keeps what each of them tells of this process.
#[derive(Debug)]
pub(crate) struct Lines {
    format: Format,
    load1: Option<f64>,
    cpu_before: CpuTime,
}

impl Lines {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            load1: clock::load1(),
            cpu_before: CpuTime::now(),
        }
    }

    pub(crate) fn render(&mut self, subject: &Subject, outcome: &Outcome) -> String {
        let cpu = CpuTime::now();
        let spent = cpu.total().saturating_sub(self.cpu_before.total());
        self.cpu_before = cpu;
        match self.format {
            Format::Json => {
                let process = Members::new()
                    .with("proc_cpu_s", round(spent.as_secs_f64(), 2))
                    .with("load1", self.load1);
                json(subject, outcome, process).json()
            }
            Format::Text => text(subject, outcome),
        }
    }
}

fn rate(outcome: &Outcome) -> Option<u64> {
    (outcome.seconds > 0.0).then(|| (outcome.events as f64 / outcome.seconds).round() as u64)
}

fn json(subject: &Subject, outcome: &Outcome, process: Members) -> Members {
    let mut line = Members::new()
        .with("workload", subject.workload)
        .with_group("params", subject.params.clone())
        .with("events", outcome.events)
        .with("seconds", round(outcome.seconds, 4))
        .with("events_per_s", rate(outcome))
        .with("p50_us", outcome.p50_us)
        .with("p99_us", outcome.p99_us)
        .with("rss_mb", outcome.rss_mb);
    line.append(outcome.extras.clone());
    line.append(process);
    line
}

fn text(subject: &Subject, outcome: &Outcome) -> String {
    let mut line = format!("{} {}:", subject.workload, subject.params.text());
    if let Some(rate) = rate(outcome) {
        // Writing to a string cannot fail.
        let _ = write!(line, " {rate} events/s");
    }
    for (name, us) in [("p50", outcome.p50_us), ("p99", outcome.p99_us)] {
        if let Some(us) = us {
            let _ = write!(line, ", {name} {us} us");
        }
    }
    if let Some(rss) = outcome.rss_mb {
        let _ = write!(line, ", {rss} MB");
    }
    if outcome.extras.0.is_empty() {
        line
    } else {
        format!("{line}, {}", outcome.extras.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_members_in_order_and_null_for_what_does_not_apply() {
        let subject = Subject::new("W", Members::new().with("b", 1).with("a", 2));
        let group = Members::new().with("min", 1.5).with("max", Value::Null);
        let outcome = Outcome {
            rss_mb: None,
            ..Outcome::new(10, 2.0)
        }
        .extras(Members::new().with("lost", 0).with_group("z", group));
        let process = Members::new().with("proc_cpu_s", 0.25);
        assert_eq!(
            json(&subject, &outcome, process).json(),
            r#"{"workload":"W","params":{"b":1,"a":2},"events":10,"seconds":2.0,"events_per_s":5,"p50_us":null,"p99_us":null,"rss_mb":null,"lost":0,"z":{"min":1.5,"max":null},"proc_cpu_s":0.25}"#
        );
        assert_eq!(
            text(&subject, &outcome),
            "W b=1 a=2: 5 events/s, lost=0 z=(min=1.5 max=null)"
        );
    }

    #[test]
    fn what_took_no_time_has_no_rate() {
        assert_eq!(rate(&Outcome::new(0, 0.0)), None);
    }
}
