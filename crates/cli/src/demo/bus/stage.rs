//! What the demo knows: everything its processes said so far.

use std::time::Duration;

use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{Instant, timeout_at};

use super::process::{Heard, Peer, Who};
use super::tally::{Calls, Inbox, LateInbox};
use super::wire::{Order, Word};
use crate::demo::scratch::Scratch;
use crate::outcome::Failure;

/// How long one step may take. The whole demo lasts a few seconds.
const STEP_WITHIN: Duration = Duration::from_secs(8);

/// How long a process has to leave the bus at the end.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// Words that wait to be read at most.
const UNREAD: usize = 1024;

/// The processes and what they said.
#[derive(Debug)]
pub(crate) struct Stage {
    peers: Vec<(Who, Peer)>,
    words: Receiver<Heard>,
    /// Events that were published, with the instant of the call.
    pub(crate) calls: Calls,
    /// Events that the bus refused to publish, with its reason.
    pub(crate) refused: Vec<(u64, String)>,
    pub(crate) streamed: bool,
    pub(crate) first: Inbox,
    pub(crate) second: Inbox,
    pub(crate) late: LateInbox,
    ready: Vec<Who>,
    roles: Vec<(Who, bool)>,
    /// The one that was killed on purpose.
    killed: Option<Who>,
    // Last, so that the processes are gone when the folder goes.
    scratch: Scratch,
}

impl Stage {
    /// Starts every process, each when the one before is on the bus; `told` hears of each.
    pub(crate) async fn set(
        scratch: Scratch,
        mut told: impl FnMut(Who, u32) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let (ear, words) = channel(UNREAD);
        let mut stage = Self {
            peers: Vec::new(),
            words,
            calls: Calls::new(),
            refused: Vec::new(),
            streamed: false,
            first: Inbox::default(),
            second: Inbox::default(),
            late: LateInbox::new(0),
            ready: Vec::new(),
            roles: Vec::new(),
            killed: None,
            scratch,
        };
        for who in Who::ALL {
            let peer = Peer::start(who, &stage.scratch.socket(), ear.clone())?;
            let pid = peer.pid;
            stage.peers.push((who, peer));
            stage
                .until("a process to be on the bus", |stage| {
                    stage.ready.contains(&who)
                })
                .await?;
            told(who, pid)?;
        }
        Ok(stage)
    }

    /// Listens until `reached`.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        reached: impl Fn(&Self) -> bool,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + STEP_WITHIN;
        while !reached(self) {
            let heard = timeout_at(deadline, self.words.recv()).await.map_err(|_| {
                Failure::failed(format!(
                    "waited {} s for {what}, in vain",
                    STEP_WITHIN.as_secs()
                ))
            })?;
            match heard {
                Some((who, Some(word))) => self.take(who, word),
                Some((who, None)) if self.killed == Some(who) => {}
                Some((who, None)) => {
                    return Err(Failure::failed(format!(
                        "the {} ended before its time",
                        who.name()
                    )));
                }
                None => return Err(Failure::failed("all processes ended before their time")),
            }
        }
        Ok(())
    }

    fn take(&mut self, who: Who, word: Word) {
        match (who, word) {
            (_, Word::Ready { .. }) => self.ready.push(who),
            (_, Word::Published { n, called }) => drop(self.calls.insert(n, called)),
            (_, Word::Refused { n, error }) => self.refused.push((n, error)),
            (_, Word::Streamed) => self.streamed = true,
            (Who::First, Word::Received { n, got }) => self.first.take(n, got),
            (Who::Second, Word::Received { n, got }) => self.second.take(n, got),
            (_, Word::Received { .. }) => {}
            (_, Word::Replayed { n }) => self.late.take(n),
            (_, Word::Role { broker }) => self.roles.push((who, broker)),
        }
    }

    /// Gives an order to `who`.
    pub(crate) async fn order(&mut self, who: Who, order: Order) -> Result<(), Failure> {
        match self.peers.iter_mut().find(|(name, _)| *name == who) {
            Some((_, peer)) => peer.order(order).await,
            None => Err(Failure::failed(format!("the {} is gone", who.name()))),
        }
    }

    /// Kills `who` with SIGKILL and waits until it is gone.
    pub(crate) async fn kill(&mut self, who: Who) -> Result<(), Failure> {
        self.killed = Some(who);
        match self.peers.iter().position(|(name, _)| *name == who) {
            Some(position) => self.peers.remove(position).1.kill().await,
            None => Ok(()),
        }
    }

    /// The processes that believe to be the broker, with their process ids.
    pub(crate) async fn brokers(&mut self) -> Result<Vec<(Who, u32)>, Failure> {
        self.roles.clear();
        for (_, peer) in &mut self.peers {
            peer.order(Order::Role).await?;
        }
        let asked = self.peers.len();
        self.until("an answer", |stage| stage.roles.len() == asked)
            .await?;
        let is_broker = |who: Who| self.roles.contains(&(who, true));
        Ok(self
            .peers
            .iter()
            .filter(|(who, _)| is_broker(*who))
            .map(|(who, peer)| (*who, peer.pid))
            .collect())
    }

    /// Lets all processes leave, the publisher first.
    pub(crate) async fn clear(mut self) {
        while let Some((_, peer)) = self.peers.pop() {
            peer.leave(LEAVE_WITHIN).await;
        }
    }
}
