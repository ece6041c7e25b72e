//! How a command ends: an exit code, and one line when it failed.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use bowline_events::{Error, ErrorKind};

/// A command that did what it could.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Outcome {
    /// Exit code 0.
    Done,
    /// Exit code 1 although the command itself worked: what it looked at is broken.
    FoundProblems,
    /// Exit code 3.
    TimedOut,
    /// The exit code of a part that has its own.
    #[cfg(feature = "bench")]
    Exit(ExitCode),
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::FoundProblems => Self::from(1),
            Outcome::TimedOut => Self::from(3),
            #[cfg(feature = "bench")]
            Outcome::Exit(code) => code,
        }
    }
}

/// A command that failed: one line that names the thing, the limit and the remedy.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// The world is not as it should be: exit code 1.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self {
            code: 1,
            message: message.into(),
        }
    }

    /// The call is wrong: exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            code: 2,
            message: message.into(),
        }
    }

    /// Somebody ended the command before it was done: the exit code of shells for Ctrl-C.
    pub(crate) fn interrupted() -> Self {
        Self {
            code: 130,
            message: "interrupted; everything is cleaned up".to_owned(),
        }
    }

    /// Somebody ended the command, and what it was about goes on: the exit code of shells for Ctrl-C.
    pub(crate) fn left(message: impl Into<String>) -> Self {
        Self {
            code: 130,
            message: message.into(),
        }
    }

    /// The same failure, said to be about `what`.
    pub(crate) fn about(self, what: impl fmt::Display) -> Self {
        Self {
            message: format!("{what}: {}", self.message),
            ..self
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, line) in self.message.lines().map(str::trim).enumerate() {
            if n > 0 {
                f.write_str(" ")?;
            }
            f.write_str(line)?;
        }
        Ok(())
    }
}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> Self {
        Self::from(failure.code)
    }
}

/// What an error says, with its causes, as far as they add something.
pub(crate) fn explain(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let text = source.to_string();
        if !message.contains(&text) {
            message = format!("{message} ({text})");
        }
        cause = source.source();
    }
    message
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            ErrorKind::InvalidInput | ErrorKind::InvalidPayload | ErrorKind::Unsupported => 2,
            _ => 1,
        };
        let message = explain(&error);
        Self { code, message }
    }
}

impl From<bowline_workflow::Error> for Failure {
    fn from(error: bowline_workflow::Error) -> Self {
        let code = match error.kind() {
            bowline_workflow::ErrorKind::InvalidInput => 2,
            _ => 1,
        };
        let message = explain(&error);
        Self { code, message }
    }
}

impl From<bowline_agent::Error> for Failure {
    fn from(error: bowline_agent::Error) -> Self {
        use bowline_agent::ErrorKind;
        let code = match error.kind() {
            ErrorKind::InvalidInput | ErrorKind::InvalidDefinition => 2,
            _ => 1,
        };
        let message = explain(&error);
        Self { code, message }
    }
}

/// What clap has to say: help and version are results, everything else is a wrong call in one line.
pub(crate) fn of_usage(error: &clap::Error) -> Result<Outcome, Failure> {
    if !error.use_stderr() {
        return match error.print() {
            Err(problem) if problem.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::failed(format!("cannot write: {problem}")))
            }
            _ => Ok(Outcome::Done),
        };
    }
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // Nobody is left to tell when standard error is gone too.
        let _ = io::stderr().write_all(error.render().to_string().as_bytes());
        return Err(Failure::usage("name a command"));
    }
    let text = error.render().to_string();
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:"))
        .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
        .collect();
    let message = lines.join(", ").replace(":, ", ": ");
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    Err(Failure::usage(format!(
        "{message}; bowline --help explains"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_with_its_causes() {
        let error = Error::new(ErrorKind::Io, "publish", "it broke; mend it")
            .with_subject("orders")
            .with_source(io::Error::other("no\nluck"));
        let failure = Failure::from(error).about("line 3");
        assert_eq!(
            failure.to_string(),
            "line 3: publish \"orders\": i/o failure: it broke; mend it (no luck)"
        );
        assert_eq!(failure.code, 1);
    }

    #[test]
    fn wrong_input_is_a_usage_failure() {
        for (kind, code) in [
            (ErrorKind::InvalidInput, 2),
            (ErrorKind::InvalidPayload, 2),
            (ErrorKind::TooLarge, 1),
            (ErrorKind::Unavailable, 1),
        ] {
            assert_eq!(Failure::from(Error::new(kind, "x", "y")).code, code);
        }
    }
}
