//! Reading the history of a topic, page by page, as its subscriber reads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bowline_events::Topic;
use tokio::time::sleep;

use super::ledger::Notice;
use super::seam::Seam;
use crate::bus::Bus;
use crate::history::PAGE;
use crate::stream::{Entry, StreamId, StreamInfo};
use crate::wire::{BoxFuture, Failure, Repeat, Reply, backoff};

type Fetched = Result<(Option<StreamInfo>, Vec<Entry>), Failure>;

/// A subscriber that is not in the present yet.
pub(super) struct Past {
    bus: Arc<Bus>,
    topic: Topic,
    pub(super) seam: Seam,
    fetching: Option<BoxFuture<'static, Fetched>>,
    /// What was read and not delivered yet.
    pub(super) entries: VecDeque<(Option<u64>, Entry)>,
}

impl Past {
    pub(super) fn new(bus: &Arc<Bus>, topic: &Topic, seam: Seam) -> Self {
        Self {
            bus: Arc::clone(bus),
            topic: topic.clone(),
            seam,
            fetching: None,
            entries: VecDeque::new(),
        }
    }

    /// Reads a page. What it says comes before its entries.
    pub(super) fn poll_page(
        &mut self,
        cx: &mut Context<'_>,
        after: Option<StreamId>,
        upto: Option<StreamId>,
    ) -> Poll<Result<Vec<Notice>, Failure>> {
        let fetching = self.fetching.get_or_insert_with(|| {
            let (bus, topic) = (Arc::clone(&self.bus), self.topic.clone());
            Box::pin(async move { fetch(&bus, &topic, after, upto).await })
        });
        let fetched = ready!(fetching.as_mut().poll(cx));
        self.fetching = None;
        Poll::Ready(fetched.map(|(info, entries)| {
            let page = self.seam.page(info.as_ref(), entries);
            self.entries.extend(page.entries);
            page.notices
        }))
    }
}

/// Reads a page, for as long as it takes the server to come back.
async fn fetch(
    bus: &Bus,
    topic: &Topic,
    after: Option<StreamId>,
    upto: Option<StreamId>,
) -> Fetched {
    let mut failed = 0;
    loop {
        match fetch_once(bus, topic, after, upto).await {
            Err(failure)
                if !bus.is_closed()
                    && matches!(failure, Failure::Lost(_) | Failure::Unreachable(_)) =>
            {
                tracing::debug!(%topic, ?failure, "the history cannot be read yet");
                failed += 1;
                sleep(backoff(failed)).await;
            }
            fetched => return fetched,
        }
    }
}

async fn fetch_once(
    bus: &Bus,
    topic: &Topic,
    after: Option<StreamId>,
    upto: Option<StreamId>,
) -> Fetched {
    let commands = bus.stream(topic);
    let from = after.map_or_else(|| "-".to_owned(), |id| format!("({id}"));
    let to = upto.map_or_else(|| "+".to_owned(), |id| id.to_string());
    let range = commands.range(from, to, PAGE);
    let both = [commands.info(), range.clone()];
    let mut replies = match bus.link.run_all(&both, true, Repeat::Yes).await {
        Ok(replies) => replies.into_iter(),
        // Who may not look at the stream reads without positions.
        Err(failure) if failure.code() == Some("NOPERM") => {
            let reply = bus.link.run(&range, Repeat::Yes).await?;
            return Ok((None, Entry::list(reply)?));
        }
        Err(failure) => return Err(failure),
    };
    let info = match replies.next().unwrap_or(Reply::Nil) {
        Reply::Error(error) if error.message.contains("no such key") => StreamInfo::default(),
        reply => StreamInfo::from_reply(reply)?,
    };
    let entries = Entry::list(replies.next().unwrap_or(Reply::Nil).into_result()?)?;
    Ok((Some(info), entries))
}
