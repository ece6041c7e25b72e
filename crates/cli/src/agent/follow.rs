//! Reading a run to its end.

use std::time::Duration;

use bowline_agent::stream::AgentStream;
use bowline_agent::{AgentRuns, StreamEvent};
use tokio::time::{Instant, sleep_until, timeout};

use super::printer::Printer;
use crate::bus::note;
use crate::outcome::{Failure, Outcome};
use crate::output::{Output, Written};
use crate::signals::Signals;

/// How often the history is looked at when no bus tells what happens in other processes.
const LOOK: Duration = Duration::from_millis(300);

/// Why reading ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum End {
    /// The run ended, well or not.
    Ended(Outcome),
    /// A signal.
    Interrupted,
    /// Nobody reads what is printed.
    Closed,
    TimedOut,
}

/// A run that is read.
pub(super) struct Follow<'a> {
    pub(super) runs: AgentRuns,
    pub(super) stream: &'a mut AgentStream,
    /// Whether the bus tells what happens in other processes.
    pub(super) is_shared: bool,
    pub(super) json: bool,
    pub(super) limit: Option<Duration>,
}

impl Follow<'_> {
    /// Prints until the run has ended.
    pub(super) async fn finish(mut self) -> Result<End, Failure> {
        let output = Output::stdout()?;
        let mut signals = Signals::listen()?;
        let mut printer = Printer::new(self.json, self.stream.run_id().clone(), &output);
        let limit = self
            .limit
            .and_then(|limit| Instant::now().checked_add(limit));
        let end = tokio::select! {
            end = self.print(&mut printer) => end,
            () = signals.end() => Ok(End::Interrupted),
            () = output.closed() => Ok(End::Closed),
            () = passed(limit) => Ok(End::TimedOut),
        };
        if !matches!(end, Ok(End::Closed)) {
            printer.end_line().await?;
        }
        end
    }

    async fn print(&mut self, printer: &mut Printer<'_>) -> Result<End, Failure> {
        let mut last = None;
        while let Some(item) = self.next().await? {
            match item {
                Ok(item) => {
                    if printer.print(&item).await? == Written::Closed {
                        return Ok(End::Closed);
                    }
                    last = Some(item.event);
                }
                // Something was missed or skipped, and more comes.
                Err(error) if self.stream.is_open() => note(error),
                Err(error) => return Err(error.into()),
            }
        }
        let good = last.as_ref().is_some_and(is_good);
        Ok(End::Ended(match good {
            true => Outcome::Done,
            false => Outcome::FoundProblems,
        }))
    }

    /// What comes next; where no bus tells it, it is looked for.
    async fn next(
        &mut self,
    ) -> Result<Option<bowline_agent::Result<bowline_agent::StreamItem>>, Failure> {
        if self.is_shared {
            return Ok(self.stream.next().await);
        }
        loop {
            match timeout(LOOK, self.stream.next()).await {
                Ok(item) => return Ok(item),
                Err(_) => {
                    // A run that is gone would be looked for without end.
                    self.runs.status(self.stream.run_id()).await?;
                    self.stream.reopen().await?;
                }
            }
        }
    }
}

fn is_good(event: &StreamEvent) -> bool {
    use bowline_agent::model::FinishReason;

    match event {
        StreamEvent::Finished(finish) => !matches!(
            finish.step_result.reason,
            FinishReason::Error | FinishReason::Abort | FinishReason::Tripwire
        ),
        _ => false,
    }
}

async fn passed(limit: Option<Instant>) {
    match limit {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
