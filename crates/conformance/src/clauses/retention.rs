//! History, and what readers are told when it goes.

use bowline_events::{ErrorKind, StartFrom, Topic};

use crate::reader::Reader;
use crate::session::{Session, number, numbered};
use crate::verdict::{ensure, ensure_eq};
use crate::{ClauseResult, Fixture, Need, Unmet};

const TOPIC: &str = "retention";

/// The history can be read page by page, from any offset; limits of 0 and beyond the end are harmless.
pub async fn history_is_read_in_pages(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Replay]).await?;
    session.publish_numbers(TOPIC, 0..50).await?;
    session.kept(TOPIC, 50).await?;
    let mut offset = 0;
    while offset < 50 {
        let page = session.history(TOPIC, offset, 7).await?;
        ensure_eq!(
            page.len(),
            (50 - offset).min(7) as usize,
            "events of the page at {offset}"
        );
        for event in page {
            ensure_eq!(number(&event)?, offset, "next event of the pages");
            offset += 1;
        }
    }
    for (offset, limit, wanted) in [
        (0, 0, 0),
        (49, usize::MAX, 1),
        (50, 10, 0),
        (51, 10, 0),
        (u64::MAX, usize::MAX, 0),
        (0, usize::MAX, 50),
    ] {
        let events = session.history(TOPIC, offset, limit).await?;
        ensure_eq!(
            events.len(),
            wanted,
            "events from {offset} with limit {limit}"
        );
    }
    session.finish().await
}

/// The history of a topic that nobody ever used is empty.
pub async fn unused_topics_have_no_history(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    ensure!(
        session.history("never-used", 0, 10).await?.is_empty(),
        "an unused topic has a history"
    );
    session.clear("never-used").await?;
    session.trim("never-used", 10).await?;
    ensure!(
        session.history("never-used", 0, 10).await?.is_empty(),
        "clearing an unused topic made a history"
    );
    session.finish().await
}

/// Trimming removes the events before the position and nothing else; positions stay what they were.
pub async fn trim_removes_only_what_is_before(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Replay]).await?;
    session.publish_numbers(TOPIC, 0..20).await?;
    session.publish_numbers("other", 0..5).await?;
    session.kept(TOPIC, 20).await?;
    session.kept("other", 5).await?;
    session.trim(TOPIC, 0).await?;
    ensure_eq!(
        session.history(TOPIC, 0, 100).await?.len(),
        20,
        "events after trimming before 0"
    );
    session.trim(TOPIC, 8).await?;
    let kept = session.history(TOPIC, 8, 100).await?;
    ensure_eq!(kept.len(), 12, "events from 8 after trimming before 8");
    ensure_eq!(number(&kept[0])?, 8, "event at position 8");
    ensure_eq!(
        session.history("other", 0, 100).await?.len(),
        5,
        "events of the other topic"
    );
    let mut reader = session.read_from(TOPIC, StartFrom::Earliest).await?;
    session.publish(TOPIC, numbered(20)).await?;
    skip_truncation(&mut reader, 8).await?;
    reader.expect_numbers(9..21).await?;
    session.finish().await
}

/// A reader that starts at a trimmed position is told the range that it missed, and goes on with the first kept event.
pub async fn a_trimmed_offset_is_told(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Replay]).await?;
    session.publish_numbers(TOPIC, 0..20).await?;
    session.kept(TOPIC, 20).await?;
    session.trim(TOPIC, 8).await?;
    let mut reader = session.read_from(TOPIC, StartFrom::Offset(3)).await?;
    let notice = reader.notice().await?;
    ensure_eq!(notice.kind(), ErrorKind::Truncated, "kind of the notice");
    ensure!(notice.is_notice(), "the notice does not count as one");
    let range = notice
        .truncated()
        .ok_or_else(|| Unmet::violated("the notice names no range"))?;
    ensure_eq!((range.wanted, range.first), (3, 8), "missed range");
    reader.expect_numbers(8..20).await?;
    session.publish(TOPIC, numbered(20)).await?;
    reader.expect_numbers(20..21).await?;
    session.finish().await
}

/// An attached reader whose next event is trimmed is told, and goes on; one that has read it is not bothered.
pub async fn an_attached_reader_is_told_of_a_trim(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Replay]).await?;
    let mut behind = session.listen(TOPIC).await?;
    let mut ahead = session.listen(TOPIC).await?;
    session.publish_numbers(TOPIC, 0..20).await?;
    ahead.expect_numbers(0..20).await?;
    session.kept(TOPIC, 20).await?;
    session.trim(TOPIC, 8).await?;
    session.publish(TOPIC, numbered(20)).await?;
    ahead.expect_numbers(20..21).await?;
    // A backend may have handed the events over before the trim; what it may not do is leave a gap without a notice.
    expect_no_silent_gap(&mut behind, 0, 21).await?;
    session.finish().await
}

/// An attached reader is told that its topic was cleared, then gets what is published afterwards.
pub async fn an_attached_reader_is_told_of_a_clear(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Clear]).await?;
    let mut reader = session.listen(TOPIC).await?;
    session.publish_numbers(TOPIC, 0..5).await?;
    reader.expect_numbers(0..5).await?;
    session.clear(TOPIC).await?;
    session.publish_numbers(TOPIC, 5..8).await?;
    let notice = reader.notice().await?;
    ensure_eq!(notice.kind(), ErrorKind::Cleared, "kind of the notice");
    ensure!(notice.is_notice(), "the notice does not count as one");
    reader.expect_numbers(5..8).await?;
    reader.expect_quiet().await?;
    session.finish().await
}

/// A reader that was behind when its topic was cleared gets the new events behind the notice, and none of the old ones.
pub async fn nothing_old_follows_a_clear(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Clear]).await?;
    let mut behind = session.listen(TOPIC).await?;
    session.publish_numbers(TOPIC, 0..10).await?;
    session.clear(TOPIC).await?;
    session.publish_numbers(TOPIC, 100..103).await?;
    loop {
        match behind.item().await? {
            Some(Err(error)) if error.kind() == ErrorKind::Cleared => break,
            Some(Err(error)) if error.is_notice() => {}
            Some(Ok(delivery)) if number(&delivery)? < 100 => {}
            Some(Ok(delivery)) => {
                let seen = number(&delivery)?;
                return Err(Unmet::violated(format!(
                    "event {seen} came before the notice of the clear"
                )));
            }
            Some(Err(error)) => return Err(error.into()),
            None => return Err(Unmet::violated("the stream ended")),
        }
    }
    behind.expect_numbers(100..103).await?;
    session.finish().await
}

/// Clearing empties the history; the topic fills again, for readers from the beginning too. Other topics keep theirs.
pub async fn clear_starts_a_new_history(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Clear, Need::Replay]).await?;
    session.publish_numbers(TOPIC, 0..10).await?;
    session.publish_numbers("other", 0..5).await?;
    session.kept(TOPIC, 10).await?;
    session.kept("other", 5).await?;
    session.clear(TOPIC).await?;
    ensure!(
        session.history(TOPIC, 0, 100).await?.is_empty(),
        "the history is not empty after the clear"
    );
    ensure_eq!(
        session.history("other", 0, 100).await?.len(),
        5,
        "events of the other topic"
    );
    session.publish_numbers(TOPIC, 100..103).await?;
    session.kept(TOPIC, 3).await?;
    let kept = session.history(TOPIC, 0, 100).await?;
    let kept: Vec<u64> = kept
        .iter()
        .map(|event| number(event))
        .collect::<Result<_, _>>()?;
    ensure_eq!(kept, [100, 101, 102], "history after the clear");
    let mut reader = session.read_from(TOPIC, StartFrom::Earliest).await?;
    reader.expect_numbers(100..103).await?;
    session.clear(TOPIC).await?;
    session.clear(TOPIC).await?;
    session.finish().await
}

/// A group survives a clear: it gets the events that are published afterwards.
pub async fn a_group_survives_a_clear(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Clear, Need::Groups]).await?;
    let mut member = session.join(TOPIC, "workers").await?;
    session.publish_numbers(TOPIC, 0..3).await?;
    member.expect_numbers(0..3).await?;
    session.clear(TOPIC).await?;
    session.publish_numbers(TOPIC, 3..6).await?;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        match member.item().await? {
            Some(Ok(delivery)) => {
                seen.push(number(&delivery)?);
                member.ack(delivery).await?;
            }
            Some(Err(error)) if error.is_notice() => {}
            Some(Err(error)) => return Err(error.into()),
            None => return Err(Unmet::violated("the stream ended")),
        }
    }
    ensure_eq!(seen, [3, 4, 5], "events of the group after the clear");
    session.finish().await
}

/// A bus that keeps nothing says so: its history is empty, and a reader from the beginning gets what is live.
pub async fn without_replay_there_is_no_history(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    if session.capabilities.replay {
        session.finish().await?;
        return Err(Unmet::NotApplicable("no replay".to_owned()));
    }
    let mut witness = session.listen(TOPIC).await?;
    session.publish_numbers(TOPIC, 0..10).await?;
    witness.expect_numbers(0..10).await?;
    ensure!(
        session.history(TOPIC, 0, 10).await?.is_empty(),
        "there is a history, but replay is not declared"
    );
    let topic = Topic::from(TOPIC);
    for start in [StartFrom::Earliest, StartFrom::Offset(5)] {
        let options = bowline_events::SubscribeOptions::new().start(start);
        let subscribe = session.subscriber.subscribe_with(&topic, options);
        match session.within("subscribe", subscribe).await? {
            Ok(subscription) => drop(subscription),
            Err(error) => ensure_eq!(
                error.kind(),
                ErrorKind::Unsupported,
                "kind of the refusal of {start:?}"
            ),
        }
    }
    session.finish().await
}

/// Reads numbers up to `end`, which may skip some only behind a notice.
pub(super) async fn expect_no_silent_gap(
    reader: &mut Reader,
    mut next: u64,
    end: u64,
) -> ClauseResult {
    let mut told = false;
    while next < end {
        match reader
            .item()
            .await
            .map_err(|unmet| unmet.within(format!("waiting for event {next}")))?
        {
            Some(Ok(delivery)) => {
                let seen = number(&delivery)?;
                ensure!(
                    seen >= next,
                    "event {seen} came again, or late: {next} was due"
                );
                ensure!(
                    seen == next || told,
                    "event {seen} came instead of {next}, without any notice"
                );
                (next, told) = (seen + 1, false);
            }
            Some(Err(error)) if error.is_notice() => told = true,
            Some(Err(error)) => return Err(error.into()),
            None => {
                return Err(Unmet::violated(format!(
                    "the stream ended before event {next}"
                )));
            }
        }
    }
    Ok(())
}

/// Reads the event `first`, before which the backend may tell a reader from the beginning that there once was more.
async fn skip_truncation(reader: &mut Reader, first: u64) -> ClauseResult {
    loop {
        match reader.item().await? {
            Some(Ok(delivery)) => {
                ensure_eq!(number(&delivery)?, first, "first kept event");
                return Ok(());
            }
            Some(Err(error)) if error.kind() == ErrorKind::Truncated => {}
            Some(Err(error)) => return Err(error.into()),
            None => return Err(Unmet::violated("the stream ended")),
        }
    }
}
