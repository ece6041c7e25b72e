//! The subscription of the caching layer.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::splice::{Outcome, Splice, Step};
use crate::{
    CachePage, Delivery, ErrorKind, EventCache, Fill, OpFuture, StartFrom, Subscription,
    SubscriptionSource, Text, Topic,
};

/// Events that are read from the cache in one go.
const PAGE: usize = 256;

pub(super) struct CachingSource {
    topic: Topic,
    cache: Arc<dyn EventCache>,
    live: Subscription,
    splice: Splice,
    taken: VecDeque<Delivery>,
    page: Option<OpFuture<'static, CachePage>>,
}

impl CachingSource {
    pub(super) fn new(
        topic: &Topic,
        cache: Arc<dyn EventCache>,
        live: Subscription,
        start: StartFrom,
        head: Option<&CachePage>,
    ) -> Self {
        let splice = Splice::new(Text::from(Arc::clone(topic.name())), start, head);
        Self {
            topic: topic.clone(),
            cache,
            live,
            splice,
            taken: VecDeque::new(),
            page: None,
        }
    }

    fn poll_page(
        &mut self,
        cx: &mut Context<'_>,
        from: u64,
        into: &mut VecDeque<Delivery>,
    ) -> Poll<Outcome> {
        let page = self
            .page
            .get_or_insert_with(|| self.cache.read(&self.topic, from, PAGE));
        let result = ready!(Pin::new(page).poll(cx));
        self.page = None;
        Poll::Ready(match result {
            Ok(page) => self.splice.page(page, into),
            Err(error) => self.splice.page_failed(error, into),
        })
    }

    /// Takes live deliveries until one of them has to wait for the cache.
    fn poll_live(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut VecDeque<Delivery>,
        max: usize,
    ) -> Poll<Option<Fill>> {
        if self.taken.is_empty() {
            match ready!(self.live.poll_fill(cx, &mut self.taken, max)) {
                Fill::Some => {}
                Fill::Notice(notice) => match notice.kind() {
                    ErrorKind::Cleared => self.splice.live_cleared(),
                    ErrorKind::Truncated => self.splice.live_lost(),
                    _ => return Poll::Ready(Some(Fill::Notice(notice))),
                },
                other => return Poll::Ready(Some(other)),
            }
        }
        while !self.splice.is_holding() {
            let Some(delivery) = self.taken.pop_front() else {
                break;
            };
            self.splice.live(delivery, into);
        }
        Poll::Ready(None)
    }
}

impl SubscriptionSource for CachingSource {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut VecDeque<Delivery>,
        max: usize,
    ) -> Poll<Fill> {
        loop {
            match self.splice.step() {
                Step::Read(from) => {
                    if let Outcome::Notice(notice) = ready!(self.poll_page(cx, from, into)) {
                        return Poll::Ready(Fill::Notice(notice));
                    }
                }
                Step::Live => {
                    if let Some(fill) = ready!(self.poll_live(cx, into, max)) {
                        return Poll::Ready(fill);
                    }
                }
            }
            if !into.is_empty() {
                return Poll::Ready(Fill::Some);
            }
        }
    }

    fn unsubscribe(self: Box<Self>) -> OpFuture<'static, ()> {
        self.live.unsubscribe()
    }

    fn take_flush(&mut self) -> bool {
        self.live.take_flush()
    }
}
