//! What the demo says at the end.

use serde::Serialize;

use super::reader::Account;
use crate::colour::{Colour, Painter};
use crate::demo::Findings;
use crate::table;

/// The result of a demo.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::demo) struct Report {
    /// Events of the stream.
    pub(super) events: u64,
    pub(super) readers: Vec<Account>,
    /// Steps that the readers were told to drop, because the call of the model was made again.
    pub(super) discarded: u64,
    /// Calls of the tool that the model made, and how often it was done.
    pub(super) tool_calls: u64,
    pub(super) tool_done: u64,
    /// Kill to the first event of the process that went on.
    pub(super) recovery_ms: f64,
    /// Why the run failed, if it did.
    pub(super) error: Option<String>,
    pub(super) seconds: f64,
}

impl Findings for Report {
    fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        if let Some(error) = &self.error {
            broken.push(format!("the run failed: {error}"));
        }
        for reader in &self.readers {
            let name = reader.name;
            for (count, what) in [
                (reader.missing, "missed"),
                (reader.doubled, "got twice"),
                (reader.misordered, "got out of order"),
            ] {
                if count > 0 {
                    broken.push(format!("the reader {name} {what} {count} events"));
                }
            }
            if !reader.whole {
                broken.push(format!("the reader {name} does not have the whole text"));
            }
        }
        if self.tool_done != self.tool_calls {
            broken.push(format!(
                "the tool was called {} times and done {} times",
                self.tool_calls, self.tool_done
            ));
        }
        if self.discarded == 0 {
            broken.push("no step was interrupted, so nothing was shown".to_owned());
        }
        broken
    }

    fn print(&self, painter: Painter) -> String {
        let mut text = String::from("\n");
        text.push_str(&table::align(&self.rows()));
        text.push('\n');
        let broken = self.broken();
        let verdict = match broken.is_empty() {
            true => painter.paint(
                Colour::Green,
                "Every promise was kept: no index missing or doubled, the text whole for every reader, the tool done once.",
            ),
            false => painter.paint(
                Colour::Red,
                &format!("A promise was broken: {}.", broken.join("; ")),
            ),
        };
        text.push_str(&verdict);
        text.push_str(&format!(
            "\nIt took {:.1} s; all processes and files are gone.\n",
            self.seconds
        ));
        text
    }
}

impl Report {
    fn rows(&self) -> Vec<[String; 6]> {
        let head = [
            "reader",
            "events",
            "missing",
            "doubled",
            "came back at",
            "text",
        ];
        let mut rows = vec![head.map(str::to_owned)];
        for reader in &self.readers {
            let text = if reader.whole { "whole" } else { "broken" };
            rows.push([
                reader.name.to_owned(),
                format!("{} of {}", reader.events, self.events),
                reader.missing.to_string(),
                reader.doubled.to_string(),
                reader
                    .resumed_at
                    .map_or_else(|| "-".to_owned(), |at| at.to_string()),
                text.to_owned(),
            ]);
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            events: 10,
            readers: vec![Account {
                name: "that came back",
                events: 10,
                missing: 0,
                doubled: 0,
                misordered: 0,
                resumed_at: Some(4),
                whole: true,
            }],
            discarded: 1,
            tool_calls: 1,
            tool_done: 1,
            recovery_ms: 900.0,
            error: None,
            seconds: 5.0,
        }
    }

    #[test]
    fn a_good_demo_breaks_no_promise() {
        assert!(report().broken().is_empty());
        let text = report().print(Painter::always(false));
        for part in ["that came back", "10 of 10", "Every promise was kept"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn every_broken_promise_is_told() {
        type Change = fn(&mut Report);
        let table: [(Change, &str); 7] = [
            (|r| r.readers[0].missing = 1, "missed 1"),
            (|r| r.readers[0].doubled = 2, "got twice 2"),
            (|r| r.readers[0].misordered = 3, "out of order 3"),
            (|r| r.readers[0].whole = false, "whole text"),
            (|r| r.tool_done = 2, "done 2 times"),
            (|r| r.discarded = 0, "no step was interrupted"),
            (|r| r.error = Some("no key".into()), "no key"),
        ];
        for (change, part) in table {
            let mut report = report();
            change(&mut report);
            let broken = report.broken().join("; ");
            assert!(broken.contains(part), "{part}: {broken}");
            let text = report.print(Painter::always(false));
            assert!(text.contains("A promise was broken"), "{text}");
        }
    }
}
