//! What to do with a signal, and what became of it.

use bowline_events::Text;
use serde::Serialize;

use super::signal::attribute;
use crate::message::Extra;
use crate::{Result, RunOptions};

/// What becomes of a signal when the agent is at work in the thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum IfActive {
    /// Its run reads the signal before it asks its model the next time.
    #[default]
    Deliver,
    /// The signal is kept in the memory of the thread, for the next run.
    Persist,
    /// It is dropped.
    Discard,
}

/// What becomes of a signal when the agent is not at work in the thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum IfIdle {
    /// It wakes the agent, at once or when the run of another agent has ended.
    #[default]
    Wake,
    /// The signal is kept in the memory of the thread and shown to those who read it. Nobody wakes.
    Persist,
    /// It is dropped.
    Discard,
}

/// What became of a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Accepted {
    /// It woke the agent: this run begins with it.
    Wake {
        /// The run.
        run_id: Text,
    },
    /// The run that is at work gets it, or one that the owner of the thread begins. If that ends without having read it, the next one
    /// does.
    Deliver {
        /// The run.
        run_id: Text,
    },
    /// It waits: for the end of the run that is at work, or for a process that can wake the agent.
    Queued,
    /// It was given before; nothing changes.
    Before,
    /// It is in the memory of the thread, as wanted.
    Persist,
    /// It was dropped, as wanted.
    Discard,
    /// It is a state that the thread knows; nothing changes.
    Skipped,
    /// It is not taken, because this run waits for somebody.
    Blocked {
        /// The run.
        run_id: Text,
    },
}

/// What to do with a signal.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Wanted {
    pub(super) if_active: IfActive,
    pub(super) if_idle: IfIdle,
    pub(super) active_attributes: Extra,
    pub(super) idle_attributes: Extra,
    /// Whether nobody but the owner of the thread may wake the agent.
    pub(super) by_owner: bool,
}

impl Wanted {
    /// Whether it matters if a run of another program is at work.
    pub(super) fn asks_for_others(&self) -> bool {
        *self != Self::default()
    }

    /// The attributes that a signal gets on its way to a run at work, or otherwise.
    pub(super) fn attributes(&self, active: bool) -> &Extra {
        match active {
            true => &self.active_attributes,
            false => &self.idle_attributes,
        }
    }
}

/// What to do with a signal, and with the run that it starts.
///
/// ```
/// use bowline_agent::threads::{IfActive, IfIdle, SendOptions};
///
/// // Whoever is at work hears it at once, and is told so; otherwise it is there for the next run.
/// let options = SendOptions::new().active_attribute("urgent", true)?.if_idle(IfIdle::Persist);
/// // Only the memory is told.
/// let quiet = SendOptions::new().if_active(IfActive::Persist).if_idle(IfIdle::Persist);
/// # Ok::<(), bowline_agent::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[must_use]
pub struct SendOptions {
    pub(super) wanted: Wanted,
    pub(super) run: RunOptions,
}

impl SendOptions {
    /// The run that is at work gets the signal; if nobody is, it wakes the agent.
    pub fn new() -> Self {
        Self::default()
    }

    /// What becomes of the signal when the agent is at work, or the run of another program.
    pub fn if_active(mut self, behavior: IfActive) -> Self {
        self.wanted.if_active = behavior;
        self
    }

    /// What becomes of the signal when the agent is not at work.
    pub fn if_idle(mut self, behavior: IfIdle) -> Self {
        self.wanted.if_idle = behavior;
        self
    }

    /// An attribute that the signal gets when the agent is at work, instead of its own of this name.
    ///
    /// # Errors
    /// As of [`Signal::with_attribute`](super::Signal::with_attribute).
    pub fn active_attribute(
        mut self,
        name: impl Into<Text>,
        value: impl Serialize,
    ) -> Result<Self> {
        let (name, value) = attribute(name.into(), &value)?;
        self.wanted.active_attributes.insert(name, value);
        Ok(self)
    }

    /// An attribute that the signal gets when the agent is not at work, instead of its own of this name.
    ///
    /// # Errors
    /// As of [`Signal::with_attribute`](super::Signal::with_attribute).
    pub fn idle_attribute(mut self, name: impl Into<Text>, value: impl Serialize) -> Result<Self> {
        let (name, value) = attribute(name.into(), &value)?;
        self.wanted.idle_attributes.insert(name, value);
        Ok(self)
    }

    /// Where no run of ours is at work, the signal goes only to the process that has [claimed](super::Threads::claim_ownership) the
    /// thread, which wakes the agent; without one it is not taken, and sending it is an error.
    pub fn require_claimed_owner(mut self) -> Self {
        self.wanted.by_owner = true;
        self
    }

    /// How a run is that begins with the signal. Its id, thread and resource are those that the thread says, and a claimed owner of
    /// another process has options of its own.
    pub fn run(mut self, options: RunOptions) -> Self {
        self.run = options;
        self
    }
}

/// How a message waits, and the run that answers it.
#[derive(Debug, Clone, PartialEq, Default)]
#[must_use]
pub struct QueueOptions {
    pub(super) owner: Option<Text>,
    pub(super) run: RunOptions,
}

impl QueueOptions {
    /// A message that belongs to nobody in particular.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whose message it is, for [`QueueEvents::of_owner`](super::QueueEvents::of_owner) and
    /// [`cancel_queued_of`](super::Threads::cancel_queued_of): a group, and no permission.
    pub fn owner(mut self, owner: impl Into<Text>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// How the run is that answers it. Its id, thread and resource are those that the thread says.
    pub fn run(mut self, options: RunOptions) -> Self {
        self.run = options;
        self
    }
}

impl From<RunOptions> for QueueOptions {
    fn from(run: RunOptions) -> Self {
        Self::new().run(run)
    }
}
