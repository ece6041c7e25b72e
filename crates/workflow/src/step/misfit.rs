//! Saying where a value is not what a step takes.

use super::StepError;

const INPUT: &str = "WORKFLOW_STEP_INPUT_VALIDATION_FAILED";
const RESUME: &str = "WORKFLOW_STEP_RESUME_DATA_VALIDATION_FAILED";
const SUSPEND: &str = "WORKFLOW_STEP_SUSPEND_DATA_VALIDATION_FAILED";

/// The input of a step does not fit.
pub(crate) fn input(text: &str, error: &serde_json::Error) -> StepError {
    refuse(INPUT, "input", &format!("- {}", describe(text, error)))
}

/// What a step is resumed with does not fit.
pub(crate) fn resume(text: &str, error: &serde_json::Error) -> StepError {
    refuse(
        RESUME,
        "resume data",
        &format!("- {}", describe(text, error)),
    )
}

/// What a step suspends with cannot be written.
pub(crate) fn suspend(error: crate::Error) -> StepError {
    let message = format!(
        "Step suspend data validation failed: \n- : {}",
        error.message()
    );
    StepError::fail("Error", message)
        .code(SUSPEND)
        .no_retry()
        .cause(error)
}

/// The input of a step is not what was declared.
#[cfg(feature = "schema")]
pub(crate) fn input_faults(lines: &str) -> StepError {
    refuse(INPUT, "input", lines)
}

/// What a step is resumed with is not what was declared.
#[cfg(feature = "schema")]
pub(crate) fn resume_faults(lines: &str) -> StepError {
    refuse(RESUME, "resume data", lines)
}

/// What a step suspends with is not what was declared.
#[cfg(feature = "schema")]
pub(crate) fn suspend_faults(lines: &str) -> StepError {
    refuse(SUSPEND, "suspend data", lines)
}

/// The state that a step leaves is not what was declared. The reference has no code for it.
#[cfg(feature = "schema")]
pub(crate) fn state_faults(lines: &str) -> StepError {
    let message = format!("Step state data validation failed: \n{lines}");
    StepError::fail("Error", message).no_retry()
}

fn refuse(code: &'static str, what: &str, lines: &str) -> StepError {
    let message = format!("Step {what} validation failed: \n{lines}");
    StepError::fail("Error", message).code(code).no_retry()
}

/// Where and what: `path.to.it: message`. The path of the whole value is empty.
pub(crate) fn describe(text: &str, error: &serde_json::Error) -> String {
    let message = error.to_string();
    let message = match message.rfind(" at line ") {
        Some(end) if error.line() > 0 => &message[..end],
        _ => &message,
    };
    format!("{}: {message}", path_at(text, error.line(), error.column()))
}

/// The path of the value that ends at, or has in it, a position in JSON text, as the parser counts: lines and bytes from 1.
/// A parser reports the last byte that it read, so that behind a comma or bracket the value before is meant.
fn path_at(text: &str, line: usize, column: usize) -> String {
    if line == 0 {
        return String::new();
    }
    let before: usize = text
        .split_inclusive('\n')
        .take(line - 1)
        .map(str::len)
        .sum();
    let end = before.saturating_add(column).min(text.len());
    let mut scan = Scan::default();
    scan.run(&text.as_bytes()[..end]);
    scan.path()
}

/// A walk through JSON text that knows where it is.
#[derive(Default)]
struct Scan {
    open: Vec<Level>,
    /// What was closed by the last byte, which still belongs to it.
    closed: Option<Level>,
}

enum Level {
    Array(usize),
    /// With the last key, and whether its value has begun.
    Object(String, bool),
}

impl Scan {
    fn run(&mut self, text: &[u8]) {
        let mut i = 0;
        while let Some(&byte) = text.get(i) {
            self.closed = None;
            match byte {
                b'"' => {
                    let end = string_end(text, i);
                    if let Some(Level::Object(key, false)) = self.open.last_mut() {
                        *key = serde_json::from_slice(&text[i..end]).unwrap_or_default();
                    }
                    i = end;
                    continue;
                }
                b'{' => self.open.push(Level::Object(String::new(), false)),
                b'[' => self.open.push(Level::Array(0)),
                b'}' | b']' => self.closed = self.open.pop(),
                b':' => {
                    if let Some(Level::Object(_, value)) = self.open.last_mut() {
                        *value = true;
                    }
                }
                b',' if i + 1 < text.len() => match self.open.last_mut() {
                    Some(Level::Array(index)) => *index += 1,
                    Some(Level::Object(_, value)) => *value = false,
                    None => {}
                },
                _ => {}
            }
            i += 1;
        }
    }

    fn path(&self) -> String {
        let mut parts = Vec::new();
        for level in &self.open {
            match level {
                Level::Array(index) => parts.push(index.to_string()),
                Level::Object(key, true) => parts.push(key.clone()),
                Level::Object(_, false) => {}
            }
        }
        parts.join(".")
    }
}

/// The end of the string that begins at `start`.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut i = start + 1;
    while let Some(&byte) = text.get(i) {
        match byte {
            b'"' => return i + 1,
            b'\\' => i += 2,
            _ => i += 1,
        }
    }
    text.len()
}
