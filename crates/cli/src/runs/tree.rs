//! The steps of a run as a tree, for people.

use bowline_events::Timestamp;
use bowline_workflow::{Data, PartKind, RunInfo, RunPart, RunStatus, StepStatus, SuspendedStep};
use serde::Deserialize;

use super::info::between;
use super::shorten;
use crate::colour::{Colour, Painter, shown};
use crate::time::{duration, relative};

/// Iterations of one array that are shown at most, unless all are asked for.
const ITERATIONS: usize = 10;

/// Draws a run.
pub(super) struct Tree<'a> {
    pub(super) run: &'a RunInfo,
    pub(super) now: Timestamp,
    pub(super) full: bool,
    pub(super) painter: Painter,
}

/// A line of the tree.
struct Row {
    depth: usize,
    status: Option<StepStatus>,
    name: String,
    begin: String,
    took: String,
    remark: String,
}

impl Row {
    fn width(&self) -> usize {
        self.depth * 2 + self.name.chars().count()
    }
}

impl Tree<'_> {
    /// The lines of `parts`.
    pub(super) fn draw(&self, parts: &[RunPart]) -> String {
        let mut rows = Vec::new();
        self.collect(parts, 0, &mut Vec::new(), &mut rows);
        let width = |of: fn(&Row) -> usize| rows.iter().map(of).max().unwrap_or_default();
        let name = width(Row::width);
        let begin = width(|row| row.begin.len());
        let took = width(|row| row.took.len());
        let mut text = String::new();
        for row in &rows {
            let mut line = String::new();
            let gap = " ".repeat(name - row.width());
            let indent = " ".repeat(row.depth * 2);
            let mark = self
                .painter
                .paint(colour_of_step(row.status), mark(row.status));
            let times = format!("{:>begin$}  {:>took$}", row.begin, row.took);
            let times = self.painter.paint(Colour::Dim, &times);
            line.push_str(&format!("{indent}{mark} {}{gap}  {times}  ", row.name));
            line.push_str(&row.remark);
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn collect(
        &self,
        parts: &[RunPart],
        depth: usize,
        path: &mut Vec<String>,
        rows: &mut Vec<Row>,
    ) {
        let is_long = parts.first().is_some_and(|part| part.index.is_some());
        let shown = match is_long && !self.full {
            true => parts.len().min(ITERATIONS),
            false => parts.len(),
        };
        for part in &parts[..shown] {
            // A group and an iteration are no step of their own in a path.
            let is_step = part.id.is_some() && part.index.is_none();
            if let Some(id) = part.id.as_ref().filter(|_| is_step) {
                path.push(id.to_string());
            }
            rows.push(self.row(part, depth, path));
            self.collect(&part.parts, depth + 1, path, rows);
            if is_step {
                path.pop();
            }
        }
        if shown < parts.len() {
            rows.push(Row {
                depth,
                status: None,
                name: format!("{} more iterations", parts.len() - shown),
                begin: String::new(),
                took: String::new(),
                remark: "--full shows them".to_owned(),
            });
        }
    }

    fn row(&self, part: &RunPart, depth: usize, path: &[String]) -> Row {
        let result = part.result.as_ref();
        let began = result.and_then(|result| result.started_at);
        let ended = result.and_then(|result| result.ended_at.or(result.suspended_at));
        let runs = matches!(part.status, Some(StepStatus::Running | StepStatus::Waiting));
        let until = ended.filter(|_| !runs).or_else(|| runs.then_some(self.now));
        let took = began
            .zip(until)
            .map(|(from, to)| duration(between(from, to)));
        let name = match (part.index, &part.id) {
            (Some(index), _) => format!("[{index}]"),
            (None, Some(id)) => shown(id),
            (None, None) => part.kind.as_str().to_owned(),
        };
        Row {
            depth,
            status: part.status,
            name,
            begin: began.map_or_else(String::new, |began| {
                format!("+{}", duration(between(self.run.created, began)))
            }),
            took: took.unwrap_or_default(),
            remark: self.remark(part, path),
        }
    }

    /// What else there is to say.
    fn remark(&self, part: &RunPart, path: &[String]) -> String {
        let mut remarks = Vec::new();
        let result = part.result.as_ref();
        match part.kind {
            PartKind::Step | PartKind::Parallel | PartKind::Branch => {}
            PartKind::Loop => {
                let times = result.map_or(0, |result| result.iterations + 1);
                remarks.push(format!("loop, {times} times"));
            }
            kind => remarks.push(kind.as_str().to_owned()),
        }
        if let Some(status) = part.status.filter(|status| *status != StepStatus::Success) {
            remarks.push(status.as_str().to_owned());
        }
        if part.attempts > 1 {
            remarks.push(format!("{} attempts", part.attempts));
        }
        if let Some(due) = part.due {
            remarks.push(format!("goes on {}", relative(due, self.now)));
        }
        let mut text = remarks.join(", ");
        let mut add = |more: String| {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&more);
        };
        // A whole whose parts tell it says it but once.
        let is_told = !part.parts.is_empty();
        if let Some(error) = result
            .and_then(|result| result.error.as_ref())
            .filter(|_| !is_told)
        {
            add(self
                .painter
                .paint(Colour::Red, &shorten(&message(error), self.full)));
        }
        if let Some(step) = self.suspended(part, path).filter(|_| !is_told) {
            add(self.waiting(step));
        }
        text
    }

    fn suspended(&self, part: &RunPart, path: &[String]) -> Option<&SuspendedStep> {
        let mut all = self.run.suspended.iter();
        let is_waiting = part.status == Some(StepStatus::Suspended);
        all.find(|step| is_waiting && step.path == path && step.index == part.index)
    }

    fn waiting(&self, step: &SuspendedStep) -> String {
        let mut text = shown(&shorten(step.payload.as_str(), self.full));
        if !step.labels.is_empty() {
            text.push_str(&format!(" (label {})", shown(&step.labels.join(", "))));
        }
        self.painter.paint(Colour::Yellow, &text)
    }
}

/// What an error says: its name and message, or all of it.
pub(super) fn message(error: &Data) -> String {
    #[derive(Deserialize)]
    struct Parts {
        name: Option<String>,
        message: String,
    }
    match error.parse::<Parts>() {
        Ok(Parts {
            name: Some(name),
            message,
        }) => format!("{name}: {message}"),
        Ok(Parts { message, .. }) => message,
        Err(_) => error.to_string(),
    }
}

fn mark(status: Option<StepStatus>) -> &'static str {
    match status {
        None => "·",
        Some(StepStatus::Success) => "✓",
        Some(StepStatus::Failed) => "✗",
        Some(StepStatus::Suspended) => "‖",
        Some(StepStatus::Waiting) => "◷",
        Some(StepStatus::Skipped) => "-",
        Some(StepStatus::Canceled) => "■",
        Some(_) => "▶",
    }
}

fn colour_of_step(status: Option<StepStatus>) -> Colour {
    match status {
        None | Some(StepStatus::Skipped) => Colour::Dim,
        Some(StepStatus::Success) => Colour::Green,
        Some(StepStatus::Failed | StepStatus::Canceled) => Colour::Red,
        Some(StepStatus::Suspended | StepStatus::Waiting) => Colour::Yellow,
        Some(_) => Colour::Cyan,
    }
}

/// The colour of a run.
pub(super) fn colour_of(status: RunStatus) -> Colour {
    match status {
        RunStatus::Success => Colour::Green,
        RunStatus::Failed | RunStatus::Tripwire | RunStatus::Canceled => Colour::Red,
        RunStatus::Suspended | RunStatus::Paused | RunStatus::Waiting => Colour::Yellow,
        _ => Colour::Cyan,
    }
}
