//! The captured scenarios.

use std::collections::BTreeMap;

use bowline_testkit::MonitorLine;

const CAPTURE: &str = include_str!("../../testdata/redis-streams.txt");

/// Connections that only prepare a situation.
const PREPARES: [&str; 1] = ["c14"];

/// The commands of each scenario, by its number.
pub(crate) fn scenarios() -> BTreeMap<String, Vec<MonitorLine>> {
    let mut scenarios: BTreeMap<String, Vec<MonitorLine>> = BTreeMap::new();
    let mut number = String::new();
    for line in CAPTURE.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            number = title.split(' ').next().unwrap_or_default().to_owned();
            scenarios.insert(number.clone(), Vec::new());
        } else if let Some((connection, command)) = line.trim_start().split_once(' ')
            && let Some(lines) = scenarios.get_mut(&number)
            && !PREPARES.contains(&connection)
        {
            // The form of MONITOR, with the connection in the place of its address.
            let line = MonitorLine::parse(&format!("0 [0 {connection}] {command}")).unwrap();
            lines.push(trimming(line));
        }
    }
    scenarios
}

/// The copy that a refusal appends, trimmed like any other entry: scenario 12 is the line of the reference that does so, and the
/// one that we follow; in the earlier scenarios it does not yet.
fn trimming(mut line: MonitorLine) -> MonitorLine {
    let is_copy = |text: &String| {
        text.contains("\"deliveryAttempt\":") && !text.contains("\"deliveryAttempt\":1}")
    };
    if line.command() == "XADD"
        && line.arguments[2] == "*"
        && line.arguments.last().is_some_and(is_copy)
    {
        let words = ["MAXLEN", "~", "10000"].map(str::to_owned);
        line.arguments.splice(2..2, words);
    }
    line
}
