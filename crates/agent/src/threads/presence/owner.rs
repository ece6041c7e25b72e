//! Claiming a thread: answering for it, and beginning its runs.

use std::fmt;
use std::sync::{Arc, Weak};

use bowline_events::{PubSubExt, SubscribeOptions, Subscription, Text, Topic};
use tokio::time::sleep;

use super::handled::{Begun, Reply};
use super::record::{IdleAccepted, IdleRejected, OwnerResponse, PresenceRecord};
use super::{is_stale, locked};
use crate::threads::keeper::next;
use crate::threads::options::{Accepted, Wanted};
use crate::threads::record::{IdleSignal, ThreadRecord};
use crate::threads::runtime::{Shared, Threads};
use crate::threads::state::Waiting;
use crate::threads::thread::ThreadId;
use crate::{Error, ErrorKind, Result, RunOptions};

/// Bytes of the id of a request, of which many are remembered.
const MAX_REQUEST: usize = 256;

/// A thread for which this process answers, until this is dropped.
#[must_use = "dropping it gives the thread up"]
pub struct Ownership {
    shared: Weak<Shared>,
    thread: ThreadId,
}

impl Threads {
    /// Claims a thread for this process: while the guard lives, whoever asks for the owner of the thread finds it, and signals that
    /// [require a claimed owner](crate::threads::SendOptions::require_claimed_owner) wake `agent` here, with runs of `options`, whatever
    /// program of the bus they come from.
    ///
    /// A claim says who is to be asked; that one run at a time is at work is the business of the store and of leases, as always. Of
    /// two processes that claim a thread in the same moment both may succeed, and either is asked then.
    ///
    /// # Errors
    /// `Conflict` when this process or one that answers has claimed it, `NotFound` for an agent that this process does not have, `Bus`.
    pub async fn claim_ownership(
        &self,
        agent: &str,
        thread: &ThreadId,
        options: RunOptions,
    ) -> Result<Ownership> {
        let shared = self.shared();
        shared.check_open("claim")?;
        shared.agent("claim", agent)?;
        options.check()?;
        if !locked(&shared.presence.claims).insert(thread.key()) {
            return Err(claimed(thread, "this process"));
        }
        let ownership = Ownership {
            shared: Arc::downgrade(shared),
            thread: thread.clone(),
        };
        let owner = shared.find_owner("claim", thread).await?;
        if let Some(owner) = owner {
            return Err(claimed(thread, &format!("the process {owner}")));
        }
        let owner = Owner {
            shared: Arc::clone(shared),
            thread: thread.clone(),
            agent: agent.to_owned().into(),
            options,
        };
        let ears = owner.listen().await;
        let ears = ears.map_err(|error| Error::bus("claim", error))?;
        shared.spawn(name(thread), owner.run(ears));
        Ok(ownership)
    }
}

fn claimed(thread: &ThreadId, by: &str) -> Error {
    let message = format!("{by} has claimed the thread; drop that claim first, or send it signals");
    Error::new(ErrorKind::Conflict, "claim", message).with_subject(thread.id().clone())
}

fn name(thread: &ThreadId) -> Text {
    format!("own {}", thread.key()).into()
}

impl Ownership {
    /// The thread.
    pub fn thread(&self) -> &ThreadId {
        &self.thread
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.end(&name(&self.thread));
            locked(&shared.presence.claims).remove(&self.thread.key());
        }
    }
}

impl fmt::Debug for Ownership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ownership").field(&self.thread).finish()
    }
}

struct Owner {
    shared: Arc<Shared>,
    thread: ThreadId,
    agent: Text,
    options: RunOptions,
}

/// What an owner listens to.
struct Ears {
    requests: Subscription,
    signals: Subscription,
}

impl Owner {
    async fn listen(&self) -> bowline_events::Result<Ears> {
        let subscribe = |topic| (self.shared.thread_bus).subscribe(topic, SubscribeOptions::new());
        // Nobody finds the owner before it can be given something.
        let signals = subscribe(self.thread.topic()).await?;
        let requests = subscribe(Topic::thread_owner_discovery(None)).await?;
        Ok(Ears { requests, signals })
    }

    async fn run(self, mut ears: Ears) {
        loop {
            // Either ends when the bus breaks.
            tokio::select! {
                () = self.answer_requests(&mut ears.requests) => {}
                () = self.take_signals(&mut ears.signals) => {}
            }
            ears = loop {
                sleep(self.shared.ttl / 3).await;
                match self.listen().await {
                    Ok(ears) => break ears,
                    Err(error) => {
                        tracing::warn!(thread = %self.thread.id(), %error, "the owner of a thread listens again later");
                    }
                }
            };
        }
    }

    async fn answer_requests(&self, requests: &mut Subscription) {
        let (key, source) = (self.thread.key(), &self.shared.source);
        while let Some(request) = next(requests).await {
            let Ok(Some(PresenceRecord::OwnerRequest(it))) = PresenceRecord::read(request.event())
            else {
                continue;
            };
            if it.key != key || it.source_id == *source || is_stale(it.expires_at) {
                continue;
            }
            let response = PresenceRecord::OwnerResponse(OwnerResponse {
                key: it.key,
                request_id: it.request_id,
                source_id: source.clone(),
            });
            self.shared.answer(&it.reply_topic, &response).await;
        }
    }

    async fn take_signals(&self, signals: &mut Subscription) {
        let source = &self.shared.source;
        while let Some(word) = next(signals).await {
            let Ok(Some(ThreadRecord::IdleSignal(it))) = ThreadRecord::read(word.event()) else {
                continue;
            };
            let for_us = it.target_source_id == *source && it.source_id != *source;
            if !for_us || is_stale(it.expires_at) {
                continue;
            }
            if it.request_id.len() > MAX_REQUEST {
                tracing::warn!(thread = %self.thread.id(), "a request whose id is longer than {MAX_REQUEST} bytes is not read");
                continue;
            }
            let request = it.request_id.clone();
            let begun = locked(&self.shared.presence.handled).begin(&request);
            let reply = match begun {
                Begun::New => self.take(it).await,
                Begun::Again(Some(lost)) => *lost,
                Begun::Again(None) => continue,
            };
            if let Err(error) = self.shared.say(reply.0.clone(), &reply.1).await {
                tracing::warn!(thread = %self.thread.id(), %error, "an answer waits until it is asked for again");
                locked(&self.shared.presence.handled).lost(&request, reply);
            }
        }
    }

    /// Gives a signal to the thread. Returns what to answer.
    async fn take(&self, given: IdleSignal) -> Reply {
        let waiting = Waiting::new(given.signal, self.agent.clone(), self.options.clone());
        let run = waiting.run.clone();
        let wanted = Wanted::default();
        let sent = self.shared.send_boxed(&self.thread, waiting, &wanted).await;
        let taken = match sent {
            Ok(Accepted::Wake { run_id } | Accepted::Deliver { run_id }) => Ok(run_id),
            Ok(Accepted::Blocked { run_id }) => Err(format!(
                "the run {run_id} waits for somebody; the signal is not taken"
            )),
            Ok(Accepted::Queued) => Ok(run),
            Ok(_) => Ok(given.run_id.clone()),
            Err(error) => Err(error.to_string()),
        };
        let (request_id, source_id) = (given.request_id, self.shared.source.clone());
        let answer = match taken {
            Ok(run_id) => PresenceRecord::IdleAccepted(IdleAccepted {
                request_id,
                run_id,
                source_id,
            }),
            Err(error) => PresenceRecord::IdleRejected(IdleRejected {
                request_id,
                run_id: given.run_id,
                source_id,
                error,
            }),
        };
        (Topic::new(given.reply_topic.as_str()), answer)
    }
}
