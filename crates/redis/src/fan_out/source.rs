//! An ungrouped subscription: the history where it was asked for, then a cursor in the local log.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bowline_events::{
    Delivery, Error, ErrorKind, Event, Fill, OpFuture, Settle, SubscribeOptions, Subscription,
    SubscriptionSource,
};
use tokio::time::{Instant, Sleep, sleep_until};

use super::gate::GatedWaker;
use super::inbox::{Again, End, Inbox};
use super::ledger::Notice;
use super::live::{Attached, Seen};
use super::past::Past;
use super::seam::Step;
use super::settle::{NOWHERE, Settler};
use super::share::Share;
use super::track::{Marks, Place, Track};
use crate::stream::decode;

pub(super) struct Source {
    share: Share,
    inbox: Arc<Inbox>,
    settle: Arc<dyn Settle>,
    waker: GatedWaker,
    /// For the local log, where the subscriber is not attached yet.
    options: SubscribeOptions,
    past: Option<Past>,
    local: Option<(Subscription, Track)>,
    /// Deliveries of the local log that are not placed yet.
    taken: VecDeque<Delivery>,
    /// What is to be said before anything else.
    notices: VecDeque<Notice>,
    /// Events of this process only.
    waiting: VecDeque<Arc<Event>>,
    again: VecDeque<Again>,
    alarm: Option<Pin<Box<Sleep>>>,
    end: Option<End>,
}

impl Source {
    /// A subscriber that begins in the past, or will be attached at once.
    pub(super) fn new(
        share: Share,
        inbox: Arc<Inbox>,
        options: SubscribeOptions,
        past: Option<Past>,
    ) -> Self {
        let settle = Arc::new(Settler {
            common: Arc::clone(share.common()),
            live: Arc::clone(share.live()),
            inbox: Arc::clone(&inbox),
        });
        Self {
            waker: GatedWaker::new(&share.live().gate),
            share,
            inbox,
            settle,
            options,
            past,
            local: None,
            taken: VecDeque::new(),
            notices: VecDeque::new(),
            waiting: VecDeque::new(),
            again: VecDeque::new(),
            alarm: None,
            end: None,
        }
    }

    /// Attaches to the local log, which passes over entries up to `seen`.
    pub(super) fn attach(&mut self, seen: Seen) -> bowline_events::Result<()> {
        let options = self.options.clone();
        let live = self.share.live();
        let Attached {
            inner,
            track,
            present,
        } = live.attach(
            &self.share.common().local,
            self.share.reader(),
            options,
            seen,
        )?;
        self.local = Some((inner, track));
        if let Some(past) = &mut self.past {
            past.seam.attached(&present);
        }
        Ok(())
    }

    fn collect_mail(&mut self) {
        let mut none = Marks::default();
        let marks = match &mut self.local {
            Some((_, track)) => track.marks(),
            None => &mut none,
        };
        let Some(mail) = self.inbox.take(marks) else {
            return;
        };
        self.waiting.extend(mail.waiting);
        self.again.extend(mail.again);
        self.end = mail.end;
        if mail.overflowed {
            self.notices.push_back(Notice::Truncated(None));
        }
    }

    /// Delivers what does not come from the stream. Whether there was anything.
    fn deliver_others(&mut self, cx: &mut Context<'_>, into: &mut VecDeque<Delivery>) -> bool {
        let before = into.len();
        for event in std::mem::take(&mut self.waiting) {
            into.push_back(self.delivery(event, None));
        }
        let now = Instant::now();
        while self.again.front().is_some_and(|again| again.at <= now) {
            if let Some(again) = self.again.pop_front() {
                into.push_back(self.delivery(again.event, again.position));
            }
        }
        if into.len() > before {
            return true;
        }
        let Some(next) = self.again.front() else {
            return false;
        };
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(sleep_until(next.at)));
        if alarm.deadline() != next.at {
            alarm.as_mut().reset(next.at);
        }
        if alarm.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        false
    }

    fn delivery(&self, event: Arc<Event>, position: Option<u64>) -> Delivery {
        let settle = Arc::clone(&self.settle);
        Delivery::with_settle(event, position, settle, position.unwrap_or(NOWHERE))
    }

    /// Takes a step in the past. `Ready(None)`: there is something new to look at.
    fn poll_past(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut VecDeque<Delivery>,
        max: usize,
    ) -> Poll<Option<Fill>> {
        let Some(past) = &mut self.past else {
            return Poll::Ready(None);
        };
        if !past.entries.is_empty() {
            let count = past.entries.len().min(max);
            let entries: Vec<_> = past.entries.drain(..count).collect();
            for (position, entry) in entries {
                // The shared reader of the process that was there first took care of entries without an event.
                if let Ok(event) = decode(&entry) {
                    into.push_back(self.delivery(Arc::new(event), position));
                }
            }
            return Poll::Ready((!into.is_empty()).then_some(Fill::Some));
        }
        match past.seam.step(&self.share.live().present()) {
            Step::Page { after, upto } => {
                let page = std::task::ready!(past.poll_page(cx, after, upto));
                match page {
                    Ok(notices) => self.notices.extend(notices),
                    Err(failure) => {
                        return Poll::Ready(Some(Fill::Failed(self.error(failure, "XRANGE"))));
                    }
                }
            }
            Step::Attach(seen) => {
                if let Err(error) = self.attach(seen) {
                    return Poll::Ready(Some(Fill::Failed(error)));
                }
            }
            Step::Live => {
                self.notices.extend(past.seam.last_words());
                self.past = None;
            }
        }
        Poll::Ready(None)
    }

    /// Takes what the local log has. `Ready(None)`: there is something new to look at.
    fn poll_local(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut VecDeque<Delivery>,
        max: usize,
    ) -> Poll<Option<Fill>> {
        let Some((inner, track)) = &mut self.local else {
            return Poll::Ready(Some(Fill::End));
        };
        // A gathering subscription asks for one at a time, so that it sees when its buffer is full.
        let max = if self.options.batch.is_some() { 1 } else { max };
        if self.taken.is_empty() {
            match inner.poll_fill(cx, &mut self.taken, max) {
                Poll::Pending => {
                    return match track.notice() {
                        Some(notice) => {
                            self.notices.push_back(notice);
                            Poll::Ready(None)
                        }
                        None => Poll::Pending,
                    };
                }
                Poll::Ready(Fill::Some) => {}
                Poll::Ready(Fill::Notice(notice)) => {
                    // The marks that belong to what was missed are in the mail by now.
                    self.collect_mail();
                    return Poll::Ready(self.missed(notice));
                }
                Poll::Ready(other) => return Poll::Ready(Some(other)),
            }
            self.collect_mail();
        }
        self.place(into);
        Poll::Ready((!into.is_empty()).then_some(Fill::Some))
    }

    /// Translates the notice of the local log, which knows nothing of the stream.
    fn missed(&mut self, notice: Error) -> Option<Fill> {
        let (Some(range), Some((_, track))) = (notice.truncated(), &mut self.local) else {
            return Some(Fill::Notice(notice));
        };
        self.notices.extend(track.missed(range.wanted, range.first));
        None
    }

    /// Moves deliveries to where they belong in the stream, up to the next thing that is to be said.
    fn place(&mut self, into: &mut VecDeque<Delivery>) {
        while let Some(delivery) = self.taken.front() {
            let Some((_, track)) = &mut self.local else {
                return;
            };
            let number = delivery.seq().unwrap_or(0);
            if let Some(notice) = track.notice_before(number) {
                self.notices.push_back(notice);
                return;
            }
            let place = track.place(number);
            let event = delivery.share();
            self.taken.pop_front();
            if let Place::Deliver(position) = place {
                let delivery = self.delivery(event, position);
                into.push_back(delivery);
            }
        }
    }

    fn say(&self, notice: Notice) -> Error {
        let topic = &self.share.live().topic;
        match notice {
            Notice::Truncated(Some(range)) => Error::truncation(topic, range.wanted, range.first),
            Notice::Truncated(None) => {
                let message = "events may have been trimmed here before they were read; reading goes on with the next";
                Error::new(ErrorKind::Truncated, "read", message).with_subject(topic)
            }
            Notice::Cleared => {
                let message = "the stream was deleted; reading goes on at the start of the new one";
                Error::new(ErrorKind::Cleared, "read", message).with_subject(topic)
            }
        }
    }

    fn error(&self, failure: crate::wire::Failure, command: &str) -> Error {
        let live = self.share.live();
        self.share
            .common()
            .bus
            .error(failure, "read", command, &live.key)
    }

    fn poll_any(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut VecDeque<Delivery>,
        max: usize,
    ) -> Poll<Fill> {
        loop {
            self.collect_mail();
            if let Some(notice) = self.notices.pop_front() {
                return Poll::Ready(Fill::Notice(self.say(notice)));
            }
            if self.deliver_others(cx, into) {
                return Poll::Ready(Fill::Some);
            }
            let polled = match &self.past {
                Some(_) => self.poll_past(cx, into, max),
                None => self.poll_local(cx, into, max),
            };
            match polled {
                Poll::Ready(Some(fill)) => return Poll::Ready(fill),
                Poll::Ready(None) => {}
                Poll::Pending => match self.end.clone() {
                    Some(End::Closed) => return Poll::Ready(Fill::End),
                    Some(End::Failed(failure)) => {
                        return Poll::Ready(Fill::Failed(self.error(failure, "XREADGROUP")));
                    }
                    None if self.inbox.park(cx.waker()) => return Poll::Pending,
                    None => {}
                },
            }
        }
    }
}

impl SubscriptionSource for Source {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut VecDeque<Delivery>,
        max: usize,
    ) -> Poll<Fill> {
        let waker = self.waker.of(cx);
        self.poll_any(&mut Context::from_waker(&waker), into, max)
    }

    fn take_flush(&mut self) -> bool {
        match &mut self.local {
            Some((inner, _)) => inner.take_flush(),
            None => false,
        }
    }

    fn unsubscribe(self: Box<Self>) -> OpFuture<'static, ()> {
        let Self { share, local, .. } = *self;
        drop(local);
        share.unsubscribe()
    }
}
