//! The end of a run in its thread.

use bowline_workflow::RunStatus;
use tokio::time::sleep;

use super::Keeper;
use crate::durable::mailbox;
use crate::threads::Signal;
use crate::threads::part::Ending;
use crate::threads::record::{RunCompleted, RunFailed, RunRef, ThreadRecord};
use crate::threads::runtime::Shared;
use crate::{Error, ErrorKind, Result};

impl Keeper {
    /// How the run ended, if the store says that it has.
    pub(super) async fn ending(&self) -> Option<Ending> {
        let agent = self.shared.agents.get(&self.agent)?;
        match agent.status(&self.run).await {
            Ok(RunStatus::Success) => Some(Ending::Completed),
            Ok(RunStatus::Canceled) => Some(Ending::Aborted),
            Ok(RunStatus::Failed | RunStatus::Tripwire) => {
                Some(Ending::Failed("the run failed".into()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Some(Ending::Failed("the run is gone".into()))
            }
            _ => None,
        }
    }

    /// The thread belongs to another run: this one has to end, and does so unheard. What it has not read waits for the other one.
    pub(super) async fn stop(&self) {
        let aborted = ThreadRecord::Aborted(self.this());
        self.shared.mention(&self.thread, &aborted).await;
        loop {
            let stopped = self
                .shared
                .abort(&self.thread, &self.agent, &self.run, false);
            if let Err(error) = stopped.await {
                tracing::warn!(run = %self.run, %error, "a run whose lease is lost was not stopped");
            } else if self.ending().await.is_some() {
                return;
            }
            sleep(self.pace()).await;
        }
    }

    /// Nobody is at work in the thread any more. What the run has not read is next.
    pub(super) async fn settle(&self) -> Result<()> {
        let (unread, gone) = self.shared.unread(&self.agent, &self.run).await?;
        let run = &self.run;
        let settled = self.shared.ledger.change(&self.thread, |state| {
            state.settle(run, unread.clone()).then_some(())
        });
        settled.await?;
        if gone {
            mailbox::remove(&*self.shared.store, run).await;
        }
        Ok(())
    }

    pub(super) fn ended(&self, ending: Ending) -> ThreadRecord {
        let RunRef { run_id, stream_id } = self.this();
        match ending {
            Ending::Completed => ThreadRecord::Completed(RunCompleted {
                run_id,
                stream_id,
                persisted: Some(true),
            }),
            Ending::Aborted => ThreadRecord::Aborted(RunRef { run_id, stream_id }),
            Ending::Failed(error) => ThreadRecord::Failed(RunFailed {
                run_id,
                stream_id,
                error,
            }),
        }
    }
}

impl Shared {
    /// What a run that has ended was given and has not read, and whether its retention is over. Nobody can give it anything
    /// afterwards.
    async fn unread(&self, agent: &str, run: &str) -> Result<(Vec<Signal>, bool)> {
        let agent = self.agent("settle", agent)?;
        let read = match agent.engine().run(run).await {
            Ok(known) => {
                let ended = known.result().await;
                let ended = ended.map_err(|error| Error::engine("settle", error))?;
                Some(mailbox::read_by(&ended.state_under_way())?)
            }
            // It has ended long ago, and its mailbox is gone with it.
            Err(error) if error.kind() == bowline_workflow::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::engine("settle", error)),
        };
        let store = &*self.store;
        if read.is_none() && mailbox::unread(store, run, 0).await?.closed {
            // One that is left of it: it is not known what was read.
            return Ok((Vec::new(), true));
        }
        let letters = mailbox::seal(store, run, read.unwrap_or(0)).await?;
        let signals = letters
            .iter()
            .filter_map(|it| Signal::of_message(&it.message));
        Ok((signals.collect(), read.is_none()))
    }
}
