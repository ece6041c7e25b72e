//! Topics are opaque strings.

use bowline_events::{StartFrom, SubscribeOptions, Topic, TopicInfo};

use crate::session::{Session, numbered};
use crate::verdict::{ensure, ensure_eq};
use crate::{ClauseResult, Fixture, Need, Unmet};

/// Names that a careless backend confuses with each other or with its own.
const NAMES: [&str; 22] = [
    "",
    " ",
    "a",
    "A",
    "a ",
    " a",
    "a.",
    "a.*",
    "*",
    "a:counter",
    ":counter",
    "a\0",
    "\0",
    "a\nb",
    "\"a\"",
    "a\\",
    "żółw 🐢",
    "e\u{301}",
    "é",
    "error",
    "__proto__",
    "agent.thread-stream.user-1%00t-1",
];

/// Any string is a topic, and no topic hears the events of another one.
pub async fn topic_names_are_opaque_and_isolated(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut readers = Vec::new();
    for name in NAMES {
        readers.push(session.listen(name).await?);
    }
    for (n, name) in NAMES.iter().enumerate() {
        session.publish(name, numbered(n as u64)).await?;
    }
    for (n, (reader, name)) in readers.iter_mut().zip(NAMES).enumerate() {
        let n = n as u64;
        let told = async {
            reader.expect_numbers(n..n + 1).await?;
            reader.expect_quiet().await
        };
        told.await
            .map_err(|unmet| unmet.within(format!("topic {name:?}")))?;
    }
    session.finish().await
}

/// A topic name of 1000 characters is a topic like any other.
pub async fn long_topic_names_work(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let name = "x".repeat(1000);
    let mut reader = session.listen(&name).await?;
    let mut shorter = session.listen(&name[1..]).await?;
    session.publish(&name, numbered(0)).await?;
    reader.expect_numbers(0..1).await?;
    shorter.expect_quiet().await?;
    session.finish().await
}

/// Each topic has a history of its own.
pub async fn histories_are_isolated(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Replay]).await?;
    for (n, name) in NAMES.iter().enumerate() {
        session.publish(name, numbered(n as u64)).await?;
    }
    for (n, name) in NAMES.iter().enumerate() {
        let n = n as u64;
        let told = async {
            let mut reader = session.read_from(name, StartFrom::Earliest).await?;
            reader.expect_numbers(n..n + 1).await?;
            reader.expect_quiet().await?;
            session.kept(name, 1).await?;
            ensure_eq!(
                session.history(name, 0, 10).await?.len(),
                1,
                "events in the history"
            );
            Ok(())
        };
        told.await
            .map_err(|unmet: Unmet| unmet.within(format!("topic {name:?}")))?;
    }
    session.finish().await
}

/// `topics` lists a topic that has a subscriber, once and by its exact name; the counts that it gives are right.
pub async fn topics_are_listed(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::ListTopics]).await?;
    let mut readers = Vec::new();
    for name in ["listed", "żółw\0\n"] {
        readers.push(session.listen(name).await?);
        readers.push(session.listen(name).await?);
    }
    session.publish_numbers("listed", 0..3).await?;
    readers[0].expect_numbers(0..3).await?;
    for name in ["listed", "żółw\0\n"] {
        let info = listed(&session, name).await?;
        let info = info.ok_or_else(|| Unmet::violated(format!("{name:?} is not listed")))?;
        if let Some(subscribers) = info.subscribers {
            ensure_eq!(subscribers, 2, "subscribers of {name:?}");
        }
    }
    ensure!(
        listed(&session, "never-used").await?.is_none(),
        "a topic is listed that nobody ever used"
    );
    drop(readers);
    let mut patience = session.patience("dropped subscribers to leave the list");
    while let Some(info) = listed(&session, "listed").await? {
        if info.subscribers.is_none_or(|left| left == 0) {
            break;
        }
        patience.spend().await?;
    }
    session.finish().await
}

/// `topics` names the groups of a topic, and the number of kept events where it gives one.
pub async fn listed_topics_name_their_groups(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::ListTopics, Need::Groups]).await?;
    let mut one = session.join("listed", "one").await?;
    let _two = session
        .subscribe("listed", SubscribeOptions::new().group("zwei ✌"))
        .await?;
    session.publish_numbers("listed", 0..2).await?;
    one.expect_numbers(0..2).await?;
    let info = listed(&session, "listed")
        .await?
        .ok_or_else(|| Unmet::violated("\"listed\" is not listed"))?;
    let mut groups: Vec<&str> = info.groups.iter().map(|group| group.as_str()).collect();
    groups.sort_unstable();
    ensure_eq!(groups, ["one", "zwei ✌"], "groups");
    session.finish().await
}

async fn listed(session: &Session, name: &str) -> Result<Option<TopicInfo>, Unmet> {
    let topics = session
        .within("topics", session.subscriber.topics())
        .await??;
    let topic = Topic::from(name);
    let mut found: Vec<_> = topics
        .into_iter()
        .filter(|info| info.topic == topic)
        .collect();
    ensure!(found.len() <= 1, "{name:?} is listed {} times", found.len());
    Ok(found.pop())
}
