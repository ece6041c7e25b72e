//! Watching a run.

use std::pin::Pin;
use std::task::{Context, Poll};

use bowline_events::{PubSubExt, StartFrom, SubscribeOptions, Subscription, Text, Topic};
use futures_core::Stream;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Engine;
use crate::machine::RunStatus;
use crate::{Data, Error, ErrorKind, Result};

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct WatchEvent {
    /// What, by its name on the wire: `workflow-step-start`, `workflow-finish`, or what a step calls it.
    pub kind: String,
    /// The step that it is about.
    pub step: Option<String>,
    /// The whole event, as on the wire.
    pub data: Data,
    /// Its position, to watch from there again; `None` where the bus has none.
    pub index: Option<u64>,
}

/// The events of a run; ends with the run. Made by [`Run::watch`](super::Run::watch).
///
/// What is reported as an error is a gap: events were trimmed, or the run was cleared; the events after it follow.
#[derive(Debug)]
pub struct RunWatch {
    events: Subscription,
    ended: bool,
    whole: bool,
}

impl RunWatch {
    pub(super) async fn open(engine: &Engine, run: &Text, offset: u64) -> Result<Self> {
        let start = match engine.shared.bus.capabilities().replay {
            true => StartFrom::Offset(offset),
            false => StartFrom::Latest,
        };
        let options = SubscribeOptions::new().start(start);
        let events = engine
            .shared
            .bus
            .subscribe(Topic::workflow_events(run), options)
            .await;
        let events = events.map_err(|error| {
            let message = error.to_string();
            Error::new(ErrorKind::Bus, "watch", message)
                .with_subject(run.clone())
                .with_source(error)
        })?;
        Ok(Self {
            events,
            ended: false,
            whole: start != StartFrom::Latest,
        })
    }

    /// Whether it shows what happened before it began, too.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// The next event; `None` after the end of the run. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<WatchEvent>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for RunWatch {
    type Item = Result<WatchEvent>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let Poll::Ready(delivery) = Pin::new(&mut self.events).poll_next(cx) else {
            return Poll::Pending;
        };
        let delivery = match delivery {
            None => {
                self.ended = true;
                return Poll::Ready(None);
            }
            Some(Ok(delivery)) => delivery,
            Some(Err(error)) => {
                let gap = Error::new(ErrorKind::Bus, "watch", error.to_string());
                return Poll::Ready(Some(Err(gap.with_source(error))));
            }
        };
        let event = WatchEvent::read(&delivery);
        self.ended = event.as_ref().is_ok_and(WatchEvent::is_end);
        Poll::Ready(Some(event))
    }
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Payload {
    id: Option<String>,
    step_name: Option<String>,
    workflow_status: Option<String>,
}

impl WatchEvent {
    fn read(event: &bowline_events::Event) -> Result<Self> {
        let broken = |message: String| Error::new(ErrorKind::Corrupt, "watch", message);
        let json = event
            .data
            .to_json()
            .map_err(|error| broken(error.to_string()))?;
        let text = String::from_utf8(json.to_vec()).map_err(|error| broken(error.to_string()))?;
        Self::from_json(text, event.index)
    }

    /// The event that is `text` on the wire.
    pub(super) fn from_json(text: String, index: Option<u64>) -> Result<Self> {
        let broken = |message: String| Error::new(ErrorKind::Corrupt, "watch", message);
        let head: Head<'_> = serde_json::from_str(&text)
            .map_err(|error| broken(format!("it is no event of a run: {error}")))?;
        let payload: Payload = head
            .payload
            .and_then(|payload| serde_json::from_str(payload.get()).ok())
            .unwrap_or_default();
        Ok(Self {
            kind: head.kind,
            step: payload.id.or(payload.step_name),
            index,
            data: Data::made(text),
        })
    }

    /// The status that the run ended with, or stopped with after an entry, if this is the end.
    pub fn finished(&self) -> Option<RunStatus> {
        #[derive(Deserialize)]
        struct Finish {
            payload: Payload,
        }
        if self.kind != "workflow-finish" {
            return None;
        }
        let finish: Finish = self.data.parse().ok()?;
        RunStatus::parse(finish.payload.workflow_status.as_deref()?)
    }

    fn is_end(&self) -> bool {
        self.finished().is_some_and(RunStatus::is_final)
    }
}
