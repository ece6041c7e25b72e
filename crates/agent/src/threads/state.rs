//! What is going on in a thread: who is at work, and what waits. Decisions only; nothing here waits, reads or writes.
//!
//! The state is one record of the store. Every change of it is one commit that expects the state it was decided on, and whatever goes
//! into the mailbox of a run goes there in that commit. So a signal is at every moment in exactly one place: in the queue, in the
//! mailbox of a run, or nowhere because it was refused, forgotten or taken over by a run of another program.

use std::collections::VecDeque;

use bowline_events::Text;
use serde::{Deserialize, Serialize};

use super::Signal;
use super::options::{IfActive, IfIdle, Wanted};
use crate::{Data, RunOptions, random_id};

/// Ids of signals that a thread remembers, so that one that is sent again is not given again.
pub(super) const REMEMBERED: usize = 256;
/// Signals that wait in a thread.
pub(super) const MAX_WAITING: usize = 1000;
/// Signals with which a run begins.
const MAX_TOGETHER: usize = 100;

/// What is going on in a thread.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ThreadState {
    pub(super) thread: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) resource: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) active: Option<Active>,
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub(super) queue: VecDeque<Waiting>,
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    seen: VecDeque<Text>,
    /// Goes up while somebody looks after what was given to the run of another program.
    #[serde(default)]
    pub(super) watched: u64,
    /// The run that was at work before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<Text>,
}

/// The run that is at work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Active {
    pub(super) run: Text,
    pub(super) agent: Text,
    #[serde(default)]
    pub(super) options: RunOptions,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) context: Option<Data>,
    /// Whether the engine is known to have it.
    #[serde(default)]
    pub(super) begun: bool,
    /// Whether what waits for its end is to be forgotten.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) forget: bool,
    pub(super) keeper: Keeper,
}

/// Who tells of the run on the topic of the thread, and ends it there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Keeper {
    pub(super) source: Text,
    pub(super) stream: Text,
    pub(super) seq: u64,
    /// Goes up while the keeper lives.
    #[serde(default)]
    pub(super) beat: u64,
}

/// A signal that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Waiting {
    pub(super) signal: Signal,
    pub(super) agent: Text,
    /// The run that begins with it, if it is the first of those that one begins with.
    pub(super) run: Text,
    /// Whether it has a run for itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) own_turn: bool,
    #[serde(default)]
    pub(super) options: RunOptions,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) context: Option<Data>,
    /// The run of another program that it was given to, which has not shown it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sent: Option<Text>,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<Text>,
}

impl Waiting {
    /// A signal for `agent`. The run that it begins has `options`.
    pub(super) fn new(signal: Signal, agent: Text, mut options: RunOptions) -> Self {
        Self {
            signal,
            agent,
            run: random_id(),
            own_turn: false,
            context: options.request_context.take(),
            options,
            sent: None,
            owner: None,
        }
    }
}

/// How a run is that a signal may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reachable {
    /// It reads what it is given.
    Yes,
    /// It waits for somebody.
    Suspended,
    /// It reads nothing any more.
    Closed,
    /// It is one of another program, of which the state knows nothing.
    Foreign,
}

/// What becomes of a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Given {
    /// It was given before.
    Before,
    /// It goes into the mailbox of this run, in the same commit.
    Post(Text),
    /// It waits for the end of the run that is at work.
    Queued,
    /// It waits, and nobody is at work.
    Wake,
    /// The owner of the thread is to be asked to take it.
    Owner,
    /// It goes into the memory of the thread. It is shown unless the agent is at work.
    Persist { show: bool },
    /// Not taken: this run is in the way.
    Blocked(Text),
    /// Dropped, as wanted.
    Discard,
    /// Not taken: too much waits.
    Full,
}

/// A run that is to begin.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Claim {
    pub(super) run: Text,
    pub(super) agent: Text,
    pub(super) signals: Vec<Signal>,
}

impl ThreadState {
    pub(super) fn new(thread: Text, resource: Option<Text>) -> Self {
        Self {
            thread,
            resource,
            ..Self::default()
        }
    }

    /// Nothing that has to be remembered for long.
    pub(super) fn is_idle(&self) -> bool {
        self.active.is_none() && self.queue.is_empty()
    }

    pub(super) fn knows(&self, id: &Text) -> bool {
        self.seen.contains(id) || self.queue.iter().any(|it| it.signal.id == *id)
    }

    fn remember(&mut self, id: Text) {
        if self.seen.len() >= REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back(id);
    }

    /// Gives a signal to the thread. `reachable`: how the run at work is.
    pub(super) fn give(
        &mut self,
        waiting: Waiting,
        wanted: &Wanted,
        reachable: Reachable,
    ) -> Given {
        if self.knows(&waiting.signal.id) {
            return Given::Before;
        }
        let Some(active) = &self.active else {
            return match (reachable, wanted.if_active) {
                // If that run does not hear it, it must not wake anybody here.
                (Reachable::Foreign, IfActive::Deliver) if wanted.by_owner => Given::Owner,
                // What waits is given to the run that is at work.
                (Reachable::Foreign, IfActive::Deliver) => self.push(waiting, Given::Wake),
                (Reachable::Foreign, IfActive::Persist) => self.persist(waiting, false),
                (Reachable::Foreign, IfActive::Discard) => Given::Discard,
                _ => self.give_idle(waiting, wanted, Given::Wake),
            };
        };
        if waiting.own_turn {
            return self.push(waiting, Given::Queued);
        }
        let run = active.run.clone();
        if active.agent != waiting.agent {
            return match (wanted.if_idle, reachable) {
                (IfIdle::Wake, Reachable::Suspended) => Given::Blocked(run),
                _ => self.give_idle(waiting, wanted, Given::Queued),
            };
        }
        match (wanted.if_active, reachable) {
            (IfActive::Discard, _) => Given::Discard,
            (IfActive::Persist, _) => self.persist(waiting, false),
            (IfActive::Deliver, Reachable::Suspended) => Given::Blocked(run),
            (IfActive::Deliver, Reachable::Closed) => {
                self.give_idle(waiting, wanted, Given::Queued)
            }
            (IfActive::Deliver, Reachable::Yes | Reachable::Foreign) => {
                self.remember(waiting.signal.id);
                Given::Post(run)
            }
        }
    }

    /// Gives a signal to an agent that is not at work, or is not for long. `wakes`: whether somebody else is.
    fn give_idle(&mut self, waiting: Waiting, wanted: &Wanted, wakes: Given) -> Given {
        match wanted.if_idle {
            IfIdle::Wake if wanted.by_owner && wakes == Given::Wake => Given::Owner,
            IfIdle::Wake => self.push(waiting, wakes),
            IfIdle::Persist => self.persist(waiting, true),
            IfIdle::Discard => Given::Discard,
        }
    }

    fn persist(&mut self, waiting: Waiting, show: bool) -> Given {
        // It is of the moment only.
        if waiting.signal.transient {
            return Given::Discard;
        }
        self.remember(waiting.signal.id);
        Given::Persist { show }
    }

    /// A signal was taken by somebody else; it is not taken again. `false` when that is known.
    pub(super) fn taken(&mut self, id: &Text) -> bool {
        let news = !self.knows(id);
        if news {
            self.remember(id.clone());
        }
        news
    }

    fn push(&mut self, waiting: Waiting, given: Given) -> Given {
        if self.queue.len() >= MAX_WAITING {
            return Given::Full;
        }
        self.queue.push_back(waiting);
        given
    }

    /// Begins the next run with what waits first. `None` when somebody is at work, or nothing waits, or what waits first was given to
    /// the run of another program.
    pub(super) fn claim(&mut self, source: &Text, stream: Text) -> Option<Claim> {
        if self.active.is_some() {
            return None;
        }
        if self.queue.front()?.sent.is_some() {
            return None;
        }
        let first = self.queue.pop_front()?;
        let mut signals = vec![first.signal];
        while !first.own_turn
            && signals.len() < MAX_TOGETHER
            && let Some(next) = self.queue.front()
            && !next.own_turn
            && next.sent.is_none()
            && next.agent == first.agent
            && let Some(next) = self.queue.pop_front()
        {
            signals.push(next.signal);
        }
        for signal in &signals {
            self.remember(signal.id.clone());
        }
        let mut active = Active::new(first.run.clone(), first.agent.clone(), source, stream);
        active.options = first.options;
        active.context = first.context;
        self.active = Some(active);
        Some(Claim {
            run: first.run,
            agent: first.agent,
            signals,
        })
    }

    /// Begins a run that brings what it begins with itself. `false` when somebody is at work.
    pub(super) fn occupy(&mut self, run: Text, agent: Text, source: &Text, stream: Text) -> bool {
        if self.active.is_some() {
            return false;
        }
        self.active = Some(Active::new(run, agent, source, stream));
        true
    }

    /// The keeper of the run lives. `false` when it is not the keeper any more.
    pub(super) fn beat(&mut self, run: &str, stream: &str) -> bool {
        match &mut self.active {
            Some(active) if active.run == run && active.keeper.stream == stream => {
                active.keeper.beat += 1;
                true
            }
            _ => false,
        }
    }

    /// The engine has the run.
    pub(super) fn begun(&mut self, run: &str) -> bool {
        match &mut self.active {
            Some(active) if active.run == run && !active.begun => {
                active.begun = true;
                true
            }
            _ => false,
        }
    }

    /// Somebody else tells of the run, or the same anew. Returns how it was told before.
    pub(super) fn take_over(&mut self, run: &str, source: &Text, stream: Text) -> Option<Keeper> {
        let active = self.active.as_mut().filter(|it| it.run == run)?;
        let next = Keeper {
            source: source.clone(),
            stream,
            seq: active.keeper.seq + 1,
            beat: 0,
        };
        Some(std::mem::replace(&mut active.keeper, next))
    }

    /// The run has ended without having read `unread`, which is next. `false` when it was settled before.
    pub(super) fn settle(&mut self, run: &str, unread: Vec<Signal>) -> bool {
        let Some(active) = self.active.take_if(|it| it.run == run) else {
            return false;
        };
        self.last = Some(active.run.clone());
        if active.forget {
            self.forget_queue();
            return true;
        }
        for signal in unread.into_iter().rev() {
            let mut waiting = Waiting::new(signal, active.agent.clone(), active.options.clone());
            waiting.context.clone_from(&active.context);
            self.queue.push_front(waiting);
        }
        true
    }

    /// The run is to stop; what waits for its end is forgotten.
    pub(super) fn forget(&mut self, run: &str) -> bool {
        match &mut self.active {
            Some(active) if active.run == run => {
                active.forget = true;
                self.forget_queue();
                true
            }
            _ => false,
        }
    }

    /// Forgets what waits; it is not taken again. Whether something did wait.
    pub(super) fn forget_queue(&mut self) -> bool {
        let some = !self.queue.is_empty();
        for waiting in std::mem::take(&mut self.queue) {
            self.remember(waiting.signal.id);
        }
        some
    }

    /// Signals to give to the run `owner` of another program, which holds the thread.
    pub(super) fn forward(&mut self, owner: &Text) -> Vec<Signal> {
        let waiting = self.queue.iter_mut();
        let unsent = waiting.filter(|it| !it.own_turn && it.sent.as_ref() != Some(owner));
        let sent = unsent.map(|it| {
            it.sent = Some(owner.clone());
            it.signal.clone()
        });
        sent.collect()
    }

    /// The run of another program that was given it has shown the signal.
    pub(super) fn heard(&mut self, id: &str) -> bool {
        let at = self
            .queue
            .iter()
            .position(|it| it.signal.id == id && it.sent.is_some());
        let Some(waiting) = at.and_then(|at| self.queue.remove(at)) else {
            return false;
        };
        self.remember(waiting.signal.id);
        true
    }

    /// What was given to runs of other programs and was not shown is not with them any more.
    pub(super) fn take_back(&mut self) -> bool {
        let mut some = false;
        for waiting in &mut self.queue {
            some |= waiting.sent.take().is_some();
        }
        some
    }

    /// How many signals wait; those of `owner`, if it is given.
    pub(super) fn waiting(&self, owner: Option<&Text>) -> usize {
        let waiting = self.queue.iter();
        let meant = waiting.filter(|it| owner.is_none() || it.owner.as_ref() == owner);
        meant.count()
    }

    /// Forgets signals that wait and that are `meant`. Returns them.
    pub(super) fn cancel(&mut self, meant: impl Fn(&Waiting) -> bool) -> Vec<Text> {
        let mut gone = Vec::new();
        self.queue.retain(|it| {
            let stays = !meant(it);
            if !stays {
                gone.push(it.signal.id.clone());
            }
            stays
        });
        for id in &gone {
            self.remember(id.clone());
        }
        gone
    }
}

impl Active {
    fn new(run: Text, agent: Text, source: &Text, stream: Text) -> Self {
        Self {
            run,
            agent,
            options: RunOptions::default(),
            context: None,
            begun: false,
            forget: false,
            keeper: Keeper {
                source: source.clone(),
                stream,
                seq: 1,
                beat: 0,
            },
        }
    }
}
