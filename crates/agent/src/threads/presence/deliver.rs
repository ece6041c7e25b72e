//! Finding the owner of a thread, and giving it a signal.

use bowline_events::{Text, Topic};

use super::ask::Asking;
use super::record::{OwnerRequest, PresenceRecord};
use crate::threads::options::Accepted;
use crate::threads::record::{IdleSignal, ThreadRecord};
use crate::threads::runtime::Shared;
use crate::threads::state::Waiting;
use crate::threads::thread::ThreadId;
use crate::{Error, ErrorKind, Result, random_id};

impl Shared {
    /// Another process that has claimed a thread.
    pub(super) async fn find_owner(
        &self,
        operation: &'static str,
        thread: &ThreadId,
    ) -> Result<Option<Text>> {
        let (id, key) = (random_id(), thread.key());
        let asking = Asking {
            reply: Topic::thread_owner_discovery(Some(&id)),
            wait: self.presence.discovery,
            id,
        };
        let request = |expires_at| {
            let request = PresenceRecord::OwnerRequest(OwnerRequest {
                key: key.clone(),
                request_id: asking.id.clone(),
                reply_topic: asking.reply.as_str().to_owned().into(),
                source_id: self.source.clone(),
                expires_at: Some(expires_at),
            });
            request.to_event()
        };
        let topic = Topic::thread_owner_discovery(None);
        let found = self.ask(&asking, topic, request, |record| match record {
            PresenceRecord::OwnerResponse(it) if it.key == key && it.request_id == asking.id => {
                Some(it.source_id)
            }
            _ => None,
        });
        found.await.map_err(|error| Error::bus(operation, error))
    }

    /// Gives a signal for a thread in which nobody is at work to the process that has claimed it.
    pub(in crate::threads) async fn give_to_owner(
        &self,
        thread: &ThreadId,
        waiting: &Waiting,
    ) -> Result<Accepted> {
        let failed = |kind, message: String| {
            Error::new(kind, "signal", message).with_subject(thread.id().clone())
        };
        let Some(owner) = self.find_owner("signal", thread).await? else {
            let message = format!(
                "no process has answered within {:?} that it owns the thread; claim it with `claim_ownership` where its runs are to begin, or send the signal without `require_claimed_owner`",
                self.presence.discovery
            );
            return Err(failed(ErrorKind::NotFound, message));
        };
        let run_id = match self.deliver_to(&owner, thread, waiting).await? {
            Some(PresenceRecord::IdleAccepted(it)) => it.run_id,
            Some(PresenceRecord::IdleRejected(it)) => {
                let message = format!(
                    "the process {owner} owns the thread and refuses: {}",
                    it.error
                );
                return Err(failed(ErrorKind::WrongState, message));
            }
            _ => {
                let message = format!(
                    "the process {owner} owns the thread and has not answered within {:?}; look into the thread whether it has taken the signal before you send it again",
                    self.presence.acceptance
                );
                return Err(failed(ErrorKind::Timeout, message));
            }
        };
        let id = &waiting.signal.id;
        let taken = self
            .ledger
            .change(thread, |state| state.taken(id).then_some(()));
        if let Err(error) = taken.await {
            tracing::warn!(thread = %thread.id(), %error, "that its owner took a signal was not written down");
        }
        Ok(Accepted::Deliver { run_id })
    }

    /// What `owner` answers to a signal.
    async fn deliver_to(
        &self,
        owner: &Text,
        thread: &ThreadId,
        waiting: &Waiting,
    ) -> Result<Option<PresenceRecord>> {
        let id = random_id();
        let asking = Asking {
            reply: Topic::idle_acceptance(&thread.topic(), &id),
            wait: self.presence.acceptance,
            id,
        };
        let request = |expires_at| {
            let signal = ThreadRecord::IdleSignal(IdleSignal {
                run_id: waiting.run.clone(),
                signal: waiting.signal.clone(),
                source_id: self.source.clone(),
                request_id: asking.id.clone(),
                reply_topic: asking.reply.as_str().to_owned().into(),
                target_source_id: owner.clone(),
                expires_at: Some(expires_at),
            });
            signal.to_event(&thread.key())
        };
        let answered = self.ask(&asking, thread.topic(), request, |record| {
            let (request, source) = match &record {
                PresenceRecord::IdleAccepted(it) => (&it.request_id, &it.source_id),
                PresenceRecord::IdleRejected(it) => (&it.request_id, &it.source_id),
                _ => return None,
            };
            (*request == asking.id && source == owner).then_some(record)
        });
        answered.await.map_err(|error| Error::bus("signal", error))
    }
}
