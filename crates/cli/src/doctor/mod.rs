//! `bowline doctor`: looks at a bus without taking part in it, and says how to mend what is wrong.

mod abilities;
mod finding;
mod judge;
mod place;
mod probe;

use std::io;

use bowline_runtime::{BusConfig, OpenBus, UnixConfig};
use serde::Serialize;

use self::finding::{Finding, Level};
use self::place::{Entry, Place};
use crate::args::DoctorArgs;
use crate::bus;
use crate::colour::{Colour, Painter};
use crate::outcome::{Failure, Outcome};
use crate::table;

#[derive(Debug, Serialize)]
struct Report {
    bus: String,
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    broker: Option<Seen>,
    findings: Vec<Finding>,
    capabilities: Vec<Ability>,
}

impl Report {
    fn is_broken(&self) -> bool {
        self.findings
            .iter()
            .any(|found| found.level == Level::Problem)
    }
}

/// The broker, as the report tells it.
#[derive(Debug, Serialize)]
struct Seen {
    pid: Option<i32>,
    user: Option<u32>,
    program: Option<String>,
}

#[derive(Debug, Serialize)]
struct Ability {
    name: String,
    value: String,
    meaning: String,
}

pub(crate) fn run(args: &DoctorArgs) -> Result<Outcome, Failure> {
    let settings = bus::settings(&args.bus)?;
    let config = settings.bus()?;
    let report = examine(config, settings.origin().map(ToString::to_string));
    let text = if args.json {
        // Strings and numbers serialise always.
        serde_json::to_string(&report).unwrap_or_default() + "\n"
    } else {
        print(&report, Painter::for_stream(&io::stdout()))
    };
    crate::output::print(&text)?;
    Ok(if report.is_broken() {
        Outcome::FoundProblems
    } else {
        Outcome::Done
    })
}

fn examine(config: &BusConfig, from: Option<String>) -> Report {
    let mut report = Report {
        bus: config.to_string(),
        from,
        broker: None,
        findings: Vec::new(),
        capabilities: Vec::new(),
    };
    match config {
        BusConfig::Unix(unix) => examine_unix(unix, &mut report),
        _ => report.findings.push(Finding::ok(
            "a memory bus needs nothing; it ends with its process, and no other process sees it",
        )),
    }
    // Opening does not start the bus, so this neither becomes the broker nor connects.
    match OpenBus::open(config) {
        Ok(opened) => {
            let rows = abilities::rows(&opened.pubsub().capabilities());
            report.capabilities = rows
                .into_iter()
                .map(|[name, value, meaning]| Ability {
                    name,
                    value,
                    meaning,
                })
                .collect();
        }
        // A broken place is the cause, and was told with its remedy already.
        Err(_) if report.is_broken() => {}
        Err(error) => report.findings.push(Finding::problem(
            error.to_string(),
            "change what it names in the bus URL",
        )),
    }
    report
}

fn examine_unix(config: &UnixConfig, report: &mut Report) {
    let place = Place::gather(config);
    report.findings = place.judge();
    if !matches!(place.entry, Entry::Socket(_)) {
        return;
    }
    let (broker, finding) = probe::probe(&config.path);
    report.findings.push(finding);
    report.broker = broker.map(|broker| Seen {
        pid: broker.pid,
        user: broker.user,
        program: broker.program,
    });
}

fn print(report: &Report, painter: Painter) -> String {
    let mut text = String::new();
    painter.put(&mut text, Colour::Bold, &report.bus);
    if let Some(from) = &report.from {
        painter.put(&mut text, Colour::Dim, &format!(" (from {from})"));
    }
    text.push_str("\n\n");
    for finding in &report.findings {
        finding.print(painter, &mut text);
    }
    if !report.capabilities.is_empty() {
        text.push('\n');
        painter.put(&mut text, Colour::Bold, "What this bus can do");
        text.push('\n');
        let rows: Vec<[String; 3]> = report
            .capabilities
            .iter()
            .map(|can| [can.name.clone(), can.value.clone(), can.meaning.clone()])
            .collect();
        text.push_str(&table::align(&rows));
    }
    text
}
