//! Stopping the run at work in a thread.

use bowline_events::{NewEvent, PubSubExt, Text, Topic};

use super::record::{AbortRequested, ThreadRecord};
use super::runtime::{Shared, Threads};
use super::thread::ThreadId;
use crate::{Error, ErrorKind, Result};

impl Threads {
    /// The run that is at work in a thread, of whatever program.
    ///
    /// # Errors
    /// `Store`.
    pub async fn active_run(&self, thread: &ThreadId) -> Result<Option<Text>> {
        let shared = self.shared();
        let loaded = shared.ledger.load(thread).await?;
        if let Some(active) = loaded.state.active {
            return Ok(Some(active.run));
        }
        let owner = shared.leases.owner(&thread.key()).await;
        Ok(owner.flatten())
    }

    /// Stops the run that is at work in a thread, wherever it runs. With `forget`, what waits for its end is forgotten; otherwise it is
    /// next. `false` when nobody is at work. A run of another program is asked to stop.
    ///
    /// # Errors
    /// `NotFound` when this process does not have the agent of the run, `Store`.
    pub async fn abort(&self, thread: &ThreadId, forget: bool) -> Result<bool> {
        let shared = self.shared();
        let loaded = shared.ledger.load(thread).await?;
        if let Some(active) = loaded.state.active {
            shared
                .abort(thread, &active.agent, &active.run, forget)
                .await?;
            return Ok(true);
        }
        let Some(Some(owner)) = shared.leases.owner(&thread.key()).await else {
            return Ok(false);
        };
        shared.ask_to_abort(thread, owner, forget).await?;
        Ok(true)
    }
}

impl Shared {
    /// Asks the run of another program to stop.
    async fn ask_to_abort(&self, thread: &ThreadId, run: Text, forget: bool) -> Result<()> {
        if forget {
            let forgotten = self
                .ledger
                .change(thread, |state| state.forget_queue().then_some(()));
            forgotten.await?;
        }
        let stream_id = self.streams().get(&run).cloned();
        let record = ThreadRecord::AbortRequested(AbortRequested {
            run_id: run.clone(),
            stream_id,
            clear_pending_signals: forget,
        });
        let bus = |error| Error::bus("abort", error);
        self.tell(thread, &record).await.map_err(bus)?;
        // Durable runs listen here, too, and need not know how they are told on the thread.
        let event = NewEvent::new("abort-request", run.clone()).with_json("{}");
        let topic = Topic::agent_control(&run);
        let asked = self.bus.publish(topic, event.map_err(bus)?).await;
        asked.map_err(bus)?;
        Ok(())
    }

    pub(super) async fn abort(
        &self,
        thread: &ThreadId,
        agent: &str,
        run: &Text,
        forget: bool,
    ) -> Result<()> {
        let agent = self.agent("abort", agent)?;
        if forget {
            let forgotten = self
                .ledger
                .change(thread, |state| state.forget(run).then_some(()));
            forgotten.await?;
        }
        match agent.abort(run).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
