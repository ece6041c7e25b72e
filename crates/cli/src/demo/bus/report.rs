//! What the demo says at the end.

use serde::Serialize;

use super::tally::{Account, LateAccount};
use crate::colour::{Colour, Painter};
use crate::demo::Findings;
use crate::table;

/// The result of a demo.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Report {
    pub(crate) published: u64,
    /// Publishes that the bus refused; their callers know, so they are not lost.
    pub(crate) refused: u64,
    pub(crate) subscribers: Vec<Account>,
    pub(crate) late_reader: LateAccount,
    /// Processes that are the broker after the crash; one is right.
    pub(crate) brokers_after: u64,
    pub(crate) seconds: f64,
}

impl Findings for Report {
    fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        if self.brokers_after != 1 {
            broken.push(format!("{} processes are the broker", self.brokers_after));
        }
        for account in &self.subscribers {
            let name = &account.name;
            if account.inexcusable > 0 {
                let lost = account.inexcusable;
                broken.push(format!(
                    "{name} lost {lost} events that were not with the dead broker"
                ));
            }
            if account.doubled > 0 {
                broken.push(format!("{name} got {} events twice", account.doubled));
            }
            if account.failover_ms.is_none() {
                broken.push(format!("{name} never heard of the new broker"));
            }
        }
        let late = &self.late_reader;
        if !late.is_good() {
            broken.push(format!(
                "the late reader missed {}, got {} twice and {} out of order",
                late.missing, late.doubled, late.misordered
            ));
        }
        broken
    }

    fn print(&self, painter: Painter) -> String {
        let mut text = String::from("\n");
        text.push_str(&table::align(&self.rows()));
        text.push('\n');
        let lost = self
            .subscribers
            .iter()
            .map(|a| a.lost)
            .max()
            .unwrap_or_default();
        if lost > 0 {
            text.push_str(&format!(
                "Lost means: up to {lost} events were inside the broker when it died. A socket keeps no history; \
                 the late reader\nread the history that the publisher keeps, and missed nothing.\n"
            ));
        }
        let broken = self.broken();
        if broken.is_empty() {
            let verdict = "Every promise was kept: nothing doubled, nothing lost but what was inside the dead broker.";
            text.push_str(&painter.paint(Colour::Green, verdict));
        } else {
            let verdict = format!("A promise was broken: {}.", broken.join("; "));
            text.push_str(&painter.paint(Colour::Red, &verdict));
        }
        text.push_str(&format!(
            "\nIt took {:.1} s; all processes and files are gone.\n",
            self.seconds
        ));
        text
    }
}

impl Report {
    fn rows(&self) -> Vec<[String; 5]> {
        let head = ["", "events", "lost", "doubled", "failover"];
        let mut rows = vec![head.map(str::to_owned)];
        rows.push([
            "published".to_owned(),
            self.published.to_string(),
            String::new(),
            String::new(),
            String::new(),
        ]);
        for account in &self.subscribers {
            rows.push([
                account.name.clone(),
                account.delivered.to_string(),
                account.lost.to_string(),
                account.doubled.to_string(),
                account
                    .failover_ms
                    .map_or_else(|| "never".to_owned(), |ms| format!("{ms:.1} ms")),
            ]);
        }
        rows.push([
            format!("late reader from {}", self.late_reader.from),
            self.late_reader.replayed.to_string(),
            self.late_reader.missing.to_string(),
            self.late_reader.doubled.to_string(),
            "-".to_owned(),
        ]);
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            published: 10,
            refused: 0,
            subscribers: vec![Account {
                name: "subscriber A".into(),
                delivered: 8,
                lost: 2,
                inexcusable: 0,
                doubled: 0,
                failover_ms: Some(4.25),
            }],
            late_reader: LateAccount {
                from: 3,
                replayed: 7,
                missing: 0,
                doubled: 0,
                misordered: 0,
            },
            brokers_after: 1,
            seconds: 5.0,
        }
    }

    #[test]
    fn a_good_demo_breaks_no_promise() {
        assert!(report().broken().is_empty());
        let text = report().print(Painter::always(false));
        for part in [
            "subscriber A",
            "4.2 ms",
            "late reader from 3",
            "Every promise was kept",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn every_broken_promise_is_told() {
        type Change = fn(&mut Report);
        let table: [(Change, &str); 7] = [
            (|r| r.brokers_after = 0, "0 processes"),
            (|r| r.brokers_after = 2, "2 processes"),
            (|r| r.subscribers[0].inexcusable = 1, "lost 1 events"),
            (|r| r.subscribers[0].doubled = 1, "1 events twice"),
            (|r| r.subscribers[0].failover_ms = None, "never heard"),
            (|r| r.late_reader.missing = 1, "missed 1"),
            (|r| r.late_reader.misordered = 1, "1 out of order"),
        ];
        for (change, part) in table {
            let mut report = report();
            change(&mut report);
            let broken = report.broken().join("; ");
            assert!(broken.contains(part), "{part}: {broken}");
            assert!(
                report
                    .print(Painter::always(false))
                    .contains("A promise was broken")
            );
        }
    }
}
