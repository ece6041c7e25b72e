//! A subscriber's share in its topic.

use std::sync::Arc;

use bowline_events::{OpFuture, Result, SubscribeOptions, Topic};
use tokio::task::JoinHandle;

use super::live::{Live, Seen};
use super::past::Past;
use super::reading::Common;
use super::source::Source;
use super::topics::{Member, Shared};

/// One subscriber's share in a topic; given up when it is dropped.
pub(super) struct Share {
    shared: Arc<Shared>,
    topic: Topic,
    member: Member,
    /// The subscriber, once it is registered.
    reader: Option<u64>,
    left: bool,
}

impl Share {
    /// For a subscriber that the topic has counted already.
    pub(super) fn new(shared: &Arc<Shared>, topic: &Topic, member: &Member) -> Self {
        Self {
            shared: Arc::clone(shared),
            topic: topic.clone(),
            member: member.clone(),
            reader: None,
            left: false,
        }
    }

    pub(super) fn live(&self) -> &Arc<Live> {
        &self.member.live
    }

    pub(super) fn common(&self) -> &Arc<Common> {
        &self.member.reading.common
    }

    pub(super) fn reader(&self) -> u64 {
        self.reader.unwrap_or(u64::MAX)
    }

    /// The subscription: in the past where there is one to read, otherwise attached, passing over entries up to `seen`.
    pub(super) fn source(
        mut self,
        options: SubscribeOptions,
        past: Option<Past>,
        seen: Seen,
    ) -> Result<Source> {
        let (reader, inbox) = self.live().register();
        self.reader = Some(reader);
        let in_the_past = past.is_some();
        let mut source = Source::new(self, inbox, options, past);
        if !in_the_past {
            source.attach(seen)?;
        }
        Ok(source)
    }

    /// Gives the share up. If it was the last, the group is removed by the returned task.
    fn leave(&mut self) -> Option<JoinHandle<Result<()>>> {
        if std::mem::replace(&mut self.left, true) || !self.member.live.leave(self.reader) {
            return None;
        }
        let (shared, topic, member) = (
            Arc::clone(&self.shared),
            self.topic.clone(),
            self.member.clone(),
        );
        let runtime = self.common().runtime.clone();
        Some(runtime.spawn(async move { shared.retire(&topic, &member).await }))
    }

    pub(super) fn unsubscribe(mut self) -> OpFuture<'static, ()> {
        match self.leave() {
            None => OpFuture::ready(Ok(())),
            Some(retired) => OpFuture::new(async move {
                // The runtime may be shut down meanwhile; then nothing is delivered any more, either.
                retired.await.unwrap_or(Ok(()))
            }),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        drop(self.leave());
    }
}
