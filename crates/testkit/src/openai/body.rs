//! Giving an answer, message by message.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::time::Sleep;

use super::answer::Event;
use super::serve::Service;

/// The body of a response.
#[derive(Debug)]
pub(super) struct Answering {
    script: VecDeque<Event>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whether what came before a cut is on its way.
    flushed: bool,
    over: bool,
    service: Arc<Service>,
}

/// The connection is cut.
#[derive(Debug)]
pub(super) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the answer is cut on purpose")
    }
}

impl std::error::Error for Cut {}

impl Answering {
    pub(super) fn new(script: Vec<Event>, service: Arc<Service>) -> Self {
        Self {
            script: script.into(),
            sleep: None,
            flushed: false,
            over: false,
            service,
        }
    }
}

impl Body for Answering {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        loop {
            if let Some(sleep) = &mut this.sleep {
                ready!(sleep.as_mut().poll(cx));
                this.sleep = None;
            }
            if let Some(Event::Hang) = this.script.front() {
                return Poll::Pending;
            }
            if let Some(Event::Cut) = this.script.front()
                && !std::mem::replace(&mut this.flushed, true)
            {
                // The connection writes what it has when there is no more at once.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let text = match this.script.pop_front() {
                Some(Event::Message(message) | Event::Delta(message)) => {
                    format!("data: {message}\n\n")
                }
                Some(Event::Raw(text)) => text,
                Some(Event::Pause(time)) => {
                    this.sleep = Some(Box::pin(tokio::time::sleep(time)));
                    continue;
                }
                Some(Event::Cut) => {
                    this.over = true;
                    return Poll::Ready(Some(Err(Cut)));
                }
                Some(Event::Hang) | None => {
                    this.over = true;
                    return Poll::Ready(None);
                }
            };
            return Poll::Ready(Some(Ok(Frame::data(text.into()))));
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if !self.over {
            self.service.abandon();
        }
    }
}
