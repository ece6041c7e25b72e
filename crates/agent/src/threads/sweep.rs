//! Looking after threads that nobody looks after: whoever did it has ended.

use std::collections::HashMap;
use std::sync::Weak;
use std::time::Duration;

use bowline_events::Text;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::foreign;
use super::keeper::{self, Telling};
use super::record::{RunRef, ThreadRecord};
use super::runtime::Shared;
use super::state::Active;
use super::thread::ThreadId;
use crate::{Result, random_id};

/// Threads that are looked at in one go.
const PAGE: usize = 100;

/// The sign of life of a keeper, and since when it has not changed by the clock of this process.
type Silence = HashMap<Text, ((Text, u64), Instant)>;

/// Looks after threads while the application lives.
pub(super) async fn run(shared: Weak<Shared>) {
    let Some(ttl) = shared.upgrade().map(|it| it.ttl) else {
        return;
    };
    let mut turns = interval(ttl / 3);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silence = Silence::new();
    loop {
        turns.tick().await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        if let Err(error) = shared.sweep(&mut silence, ttl).await {
            tracing::warn!(%error, "threads are looked after later");
        }
    }
}

impl Shared {
    async fn sweep(&self, silence: &mut Silence, ttl: Duration) -> Result<()> {
        let due = self.ledger.due(PAGE).await?;
        let mut seen = Silence::with_capacity(due.len());
        for state in due {
            let thread = ThreadId::of(state.thread.clone(), state.resource.clone());
            let looked_after = match &state.active {
                None if self.runs(&foreign::name(&thread)) => Ok(()),
                None => self.go_on(&thread).await,
                Some(active) if self.runs(&keeper::name(&thread, &active.run)) => Ok(()),
                Some(active) => {
                    let life = (active.keeper.stream.clone(), active.keeper.beat);
                    let before = silence.remove(&thread.key());
                    let since = match before {
                        Some((same, since)) if same == life => since,
                        _ => Instant::now(),
                    };
                    if since.elapsed() < ttl {
                        seen.insert(thread.key(), (life, since));
                        continue;
                    }
                    self.take_over(&thread, active).await
                }
            };
            if let Err(error) = looked_after {
                tracing::warn!(thread = %thread.id(), %error, "a thread is looked after later");
            }
        }
        *silence = seen;
        Ok(())
    }

    /// Begins what waits, whoever it was given to: nobody looks after that any more.
    async fn go_on(&self, thread: &ThreadId) -> Result<()> {
        let held = self.leases.owner(&thread.key()).await.flatten();
        if held.is_none() {
            let back = self.ledger.change(thread, |state| {
                let idle = state.active.is_none();
                (idle && state.take_back()).then_some(())
            });
            back.await?;
        }
        self.advance(thread, None).await?;
        Ok(())
    }

    /// Goes on with what another process did for a run, which has become silent.
    pub(super) async fn take_over(&self, thread: &ThreadId, active: &Active) -> Result<()> {
        if !self.agents.contains_key(&active.agent) {
            return Ok(());
        }
        let stream = random_id();
        let (run, silent) = (&active.run, &active.keeper);
        let taken = self.ledger.change(thread, |state| {
            // It is not silent any more, or somebody else was faster.
            let same = |now: &Active| now.run == *run && now.keeper == *silent;
            let kept = state.active.as_ref().is_some_and(same);
            kept.then(|| state.take_over(run, &self.source, stream.clone()))?
        });
        let Some(before) = taken.await? else {
            return Ok(());
        };
        let discarded = ThreadRecord::Discarded(RunRef {
            run_id: run.clone(),
            stream_id: Some(before.stream),
        });
        self.mention(thread, &discarded).await;
        let seq = before.seq + 1;
        if !active.begun && !self.has_run(active).await? {
            let letters = self.unread_letters(run).await?;
            if letters == 0 {
                // Whoever wanted it has not got an answer, and begins it again.
                let settled = self
                    .ledger
                    .change(thread, |state| state.settle(run, Vec::new()).then_some(()));
                settled.await?;
                self.leases.release(&thread.key(), run).await;
                return Ok(());
            }
            self.start(thread, active, &stream).await?;
        }
        self.keep(thread, run, &active.agent, Telling { stream, seq })
            .await;
        Ok(())
    }

    pub(super) async fn has_run(&self, active: &Active) -> Result<bool> {
        let agent = self.agent("signal", &active.agent)?;
        match agent.status(&active.run).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == crate::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn unread_letters(&self, run: &str) -> Result<usize> {
        let mail = crate::durable::mailbox::unread(&*self.store, run, 0).await?;
        Ok(mail.letters.len())
    }
}
