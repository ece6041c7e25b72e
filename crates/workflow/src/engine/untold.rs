//! What of a run was told by a process that could not write down that it was.

use std::collections::HashSet;
use std::time::Duration;

use bowline_events::{PubSub, Topic};
use tokio::time::sleep;

use crate::machine::Notice;

/// Events that are looked at together.
const PAGE: usize = 1000;
/// How often a bus that is away is asked, and the first pause between.
const ATTEMPTS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// How many of `notices`, which are all of a run in their order, were told; `certain` of them were for certain.
///
/// What is told is told in order, so it is the notices up to the last that the bus has. A bus that keeps nothing, or does
/// not answer, is told everything again that is not certain.
pub(super) async fn first(bus: &dyn PubSub, notices: &[Notice], certain: u64) -> u64 {
    let sure = usize::try_from(certain).unwrap_or(usize::MAX);
    if sure >= notices.len() || !bus.capabilities().replay {
        return certain;
    }
    let topics: HashSet<Topic> = notices[sure..].iter().map(Notice::topic).collect();
    let mut told = sure;
    for topic in &topics {
        let on_it = |(_, notice): &(usize, &Notice)| notice.topic() == *topic;
        let own: Vec<(usize, &Notice)> = notices.iter().enumerate().filter(on_it).collect();
        let texts: Vec<&str> = own.iter().map(|(_, notice)| notice.json.as_str()).collect();
        let kept = kept(bus, topic, &texts).await;
        if let Some((last, _)) = kept.checked_sub(1).and_then(|last| own.get(last)) {
            told = told.max(last + 1);
        }
    }
    told as u64
}

/// How many of `texts` a topic has. Notices can be equal, so that their order decides; between them is what the
/// steps wrote, and the first of them may be trimmed.
async fn kept(bus: &dyn PubSub, topic: &Topic, texts: &[&str]) -> usize {
    let mut next = None;
    let mut from = 0;
    let mut seen = None;
    loop {
        let Some(events) = page(bus, topic, from).await else {
            return next.unwrap_or(0);
        };
        let Some(last) = events.last() else {
            return next.unwrap_or(0);
        };
        from = last
            .index
            .map_or(from + events.len() as u64, |index| index + 1);
        // A bus that does not say where its events are gives those again that it has trimmed up to.
        let known = events
            .iter()
            .position(|event| Some(&event.id) == seen.as_ref());
        seen = Some(last.id.clone());
        for event in &events[known.map_or(0, |known| known + 1)..] {
            let Ok(json) = event.data.to_json() else {
                continue;
            };
            let same = |text: &&&str| text.as_bytes() == &json[..];
            next = match next {
                None => texts
                    .iter()
                    .position(|text| same(&text))
                    .map(|found| found + 1),
                Some(n) if texts.get(n).as_ref().is_some_and(same) => Some(n + 1),
                Some(n) => Some(n),
            };
        }
    }
}

async fn page(
    bus: &dyn PubSub,
    topic: &Topic,
    from: u64,
) -> Option<Vec<std::sync::Arc<bowline_events::Event>>> {
    let mut pause = FIRST_PAUSE;
    for _ in 0..ATTEMPTS {
        match bus.history(topic, from, PAGE).await {
            Ok(events) => return Some(events),
            Err(error) if error.is_retryable() => {
                tracing::debug!(topic = %topic, %error, "the bus was not asked what it knows; trying again");
            }
            Err(error) => {
                tracing::warn!(topic = %topic, %error, "the bus does not say what it knows");
                return None;
            }
        }
        sleep(pause).await;
        pause *= 2;
    }
    None
}
