//! What is in the inbox of a thread, and when it is told.

use std::time::Duration;

use bowline_agent::ErrorKind;
use bowline_agent::threads::{
    Accepted, Delivery, MAX_PENDING, Notification, NotificationFilter, NotificationPolicy,
    NotificationRecord, NotificationStatus, Priority, ThreadId, Threads,
};
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use crate::notifications::{ship, tell, tell_as, until, until_status};
use crate::stores::{Handles, every_store};
use crate::world::{AGENT, OTHER, Process, World, thread};

async fn list(process: &Process, filter: NotificationFilter) -> Vec<NotificationRecord> {
    let page = process.threads.inbox(thread()).list(filter).await.unwrap();
    page.notifications
}

fn ids(records: &[NotificationRecord]) -> Vec<&str> {
    let mut ids: Vec<&str> = records.iter().map(|it| it.id.as_str()).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn notifications_of_one_key_are_one_while_it_is_pending() {
    let world = World::new();
    let processes = [world.process().await, world.process().await];
    let keep = async |n: usize, source: &str| {
        let news = Notification::new(source.to_owned(), "ci", format!("Red {n}"));
        let news = news.with_id(format!("{source}-{n}")).dedupe_key("main");
        tell_as(&processes[n % 2], news, Delivery::persist()).await
    };
    join_all((0..20).map(|n| keep(n, "github"))).await;
    keep(1, "gitlab").await;
    // Whoever sends one again that was taken changes nothing.
    for n in 0..20 {
        let again = keep(n, "github").await;
        assert_eq!(again.accepted, Some(Accepted::Before));
        assert_eq!(again.record.coalesced_count, 20);
    }
    let all = list(&processes[0], NotificationFilter::new()).await;
    let mut counts: Vec<(&str, u32)> = all
        .iter()
        .map(|it| (it.source.as_str(), it.coalesced_count))
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, [("github", 20), ("gitlab", 1)]);
    // Once it is dealt with, the next one is another.
    let inbox = processes[0].threads.inbox(thread());
    for record in &all {
        let marked = inbox.mark(&record.id, NotificationStatus::Seen).await;
        assert!(marked.unwrap().seen_at.is_some());
    }
    assert_eq!(keep(20, "github").await.record.coalesced_count, 1);
    // The keys of another agent are other keys.
    let policy = NotificationPolicy::new().otherwise(Delivery::persist());
    let news = Notification::new("github", "ci", "Red").dedupe_key("main");
    let other = processes[0]
        .threads
        .send_notification_with(OTHER, thread(), news, &policy);
    assert_eq!(other.await.unwrap().record.coalesced_count, 1);
}

#[tokio::test]
async fn what_is_joined_to_something_is_told_as_what_it_has_become() {
    let world = World::new();
    let a = world.process().await;
    let mut reader = a.read().await;
    let news = |text: &str| Notification::new("ci", "build", text).coalesce_key("main");
    let first = tell_as(&a, news("Red."), Delivery::persist()).await;
    let second = tell(&a, news("Redder.").priority(Priority::Urgent)).await;
    assert!(matches!(second.accepted, Some(Accepted::Wake { .. })));
    assert_eq!(second.record.id, first.record.id);
    let (said, _) = reader.said().await;
    assert!(
        said.contains("Redder.") && said.contains("coalescedCount=\"2\""),
        "{said}"
    );
}

async fn deferred_on(stores: &Handles) {
    let one = World {
        store: stores.one.clone(),
        ..World::new()
    };
    let other = World {
        store: stores.other.clone(),
        ..one.clone()
    };
    let (a, b) = (one.process().await, other.process().await);
    let mut reader = a.read().await;
    let wait = Duration::from_millis(300);
    let told = tell_as(&a, ship(Priority::Low), Delivery::defer(wait)).await;
    assert_eq!(
        (told.accepted, told.record.status),
        (None, NotificationStatus::Pending)
    );
    let (said, _) = reader.said().await;
    assert_eq!(said.matches("A ship.").count(), 1, "{said}");
    until_status(&b, &told.record.id, NotificationStatus::Delivered).await;
    // Whatever else would have been told is told before this.
    a.send("last").await;
    assert_eq!(reader.said().await.0, "heard last", "{}", stores.name);
}

#[tokio::test]
async fn what_is_put_off_is_told_once_by_one_of_two_processes_on_every_store() {
    for stores in every_store().await {
        deferred_on(&stores).await;
    }
}

#[tokio::test]
async fn what_nobody_can_deliver_is_in_nobodys_way() {
    let world = World::new();
    let a = world.process().await;
    let wait = Duration::from_secs(3);
    let policy = NotificationPolicy::new().otherwise(Delivery::defer(wait));
    // More than are looked at together.
    for _ in 0..120 {
        let news = ship(Priority::Low);
        let kept = a
            .threads
            .send_notification_with(OTHER, thread(), news, &policy);
        kept.await.unwrap();
    }
    a.threads.close().await;
    // The other agent is gone with that process.
    let threads = Threads::builder(world.store.clone(), world.bus.clone())
        .agent(a.agent.clone())
        .lease(Duration::from_millis(600))
        .start();
    let policy = NotificationPolicy::new().otherwise(Delivery::defer(wait));
    let own = threads.send_notification_with(AGENT, thread(), ship(Priority::Low), &policy);
    let own = own.await.unwrap().record;
    let delivered = |it: &NotificationRecord| it.status == NotificationStatus::Delivered;
    until(&threads, thread(), &own.id, delivered).await;
    let inbox = threads.inbox(thread());
    let left = inbox.list(NotificationFilter::new().agent(OTHER)).await;
    for record in left.unwrap().notifications {
        assert_eq!(record.status, NotificationStatus::Pending);
    }
}

#[tokio::test]
async fn what_was_dealt_with_is_not_told() {
    let world = World::new();
    let (a, b) = (world.process().await, world.process().await);
    let mut reader = a.read().await;
    let later = |text: &str, millis| {
        let news = Notification::new("harbour", "arrival", text);
        let delivery = Delivery::defer(Duration::from_millis(millis));
        (news, delivery)
    };
    let (news, delivery) = later("nobody", 2000);
    let first = tell_as(&a, news, delivery).await.record;
    let inbox = b.threads.inbox(thread());
    let marked = inbox.mark(&first.id, NotificationStatus::Dismissed).await;
    assert!(marked.unwrap().dismissed_at.is_some());
    let (news, delivery) = later("somebody", 2100);
    tell_as(&a, news, delivery).await;
    let (said, _) = reader.said().await;
    assert!(said.contains("somebody"), "{said}");
    assert!(!world.heard.all().concat().contains("nobody"));
    let first = inbox.get(&first.id).await.unwrap().unwrap();
    assert_eq!(first.status, NotificationStatus::Dismissed);
}

#[tokio::test]
async fn an_inbox_is_looked_into() {
    let world = World::new();
    let a = world.process().await;
    let inbox = a.threads.inbox(thread());
    for (id, source, text, priority) in [
        ("n1", "github", "The build is RED", Priority::High),
        ("n2", "slack", "Ahoy", Priority::Low),
        ("n3", "slack", "red alert", Priority::Low),
    ] {
        let news = Notification::new(source, "news", text).with_id(id);
        tell_as(&a, news.priority(priority), Delivery::persist()).await;
    }
    inbox.mark("n2", NotificationStatus::Seen).await.unwrap();
    let filter = NotificationFilter::new;
    for (filter, wanted) in [
        (filter(), vec!["n1", "n2", "n3"]),
        (filter().unread(), vec!["n1", "n3"]),
        (filter().status(NotificationStatus::Seen), vec!["n2"]),
        (filter().source("slack").unread(), vec!["n3"]),
        (filter().priority(Priority::High), vec!["n1"]),
        (filter().query("Red"), vec!["n1", "n3"]),
        (filter().query("SLACK"), vec!["n2", "n3"]),
        (filter().agent(OTHER), vec![]),
        (filter().agent(AGENT), vec!["n1", "n2", "n3"]),
    ] {
        let found = list(&a, filter.clone()).await;
        assert_eq!(ids(&found), wanted, "{filter:?}");
    }
    // Page by page each comes once.
    let mut found = Vec::new();
    let mut next = None;
    loop {
        let page = next.take().map_or_else(filter, |next| filter().after(next));
        let page = inbox.list(page.limit(1)).await.unwrap();
        assert_eq!(page.notifications.len(), 1);
        found.extend(page.notifications);
        match page.next {
            Some(place) => next = Some(place),
            None => break,
        }
    }
    assert_eq!(ids(&found), ["n1", "n2", "n3"]);
    // What belongs to another thread does not.
    let other = a.threads.inbox(&ThreadId::new("thread-1"));
    assert!(other.list(filter()).await.unwrap().notifications.is_empty());
    assert_eq!(other.get("n1").await.unwrap(), None);
}

#[tokio::test]
async fn a_record_is_marked_with_what_somebody_has_done() {
    let world = World::new();
    let a = world.process().await;
    let inbox = a.threads.inbox(thread());
    let news = ship(Priority::Low).with_id("n1");
    tell_as(&a, news, Delivery::persist()).await;
    for wrong in [NotificationStatus::Pending, NotificationStatus::Failed] {
        let marked = inbox.mark("n1", wrong).await;
        assert_eq!(marked.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let missing = inbox.mark("n9", NotificationStatus::Seen).await;
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
    let all = inbox.mark_all(["n1", "n9", "n1"], NotificationStatus::Archived);
    let all = all.await.unwrap();
    assert_eq!(ids(&all), ["n1"]);
    assert!(all[0].archived_at.is_some());
    let missing = inbox.list(NotificationFilter::new().after("nowhere")).await;
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn so_many_are_pending_and_no_more() {
    let world = World::new();
    let a = world.process().await;
    let policy = NotificationPolicy::new().otherwise(Delivery::persist());
    let keep = async |n: usize| {
        let news = Notification::new("s", "k", "?").with_id(format!("{n}"));
        let news = news.coalesce_key(format!("{}", n % (MAX_PENDING + 1)));
        let kept = a
            .threads
            .send_notification_with(AGENT, thread(), news, &policy);
        kept.await
    };
    for n in 0..MAX_PENDING {
        keep(n).await.unwrap();
    }
    let full = keep(MAX_PENDING).await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::TooLarge);
    assert!(full.to_string().contains("1000"), "{full}");
    // What is joined to another one needs no room.
    let joined = keep(MAX_PENDING + 1).await.unwrap();
    assert_eq!(joined.record.coalesced_count, 2);
    let inbox = a.threads.inbox(thread());
    inbox.mark("7", NotificationStatus::Seen).await.unwrap();
    keep(MAX_PENDING).await.unwrap();
}

#[tokio::test]
async fn what_is_done_is_removed_after_a_time() {
    let world = World::new();
    let a = world.process().await;
    let threads = Threads::builder(world.store.clone(), world.bus.clone())
        .agent(a.agent.clone())
        .lease(Duration::from_millis(50))
        .notification_retention(Duration::from_millis(1))
        .start();
    let pending = tell_as(&a, ship(Priority::Low), Delivery::persist()).await;
    let policy = NotificationPolicy::new().otherwise(Delivery::discard());
    let gone = threads.send_notification_with(AGENT, thread(), ship(Priority::Low), &policy);
    let gone = gone.await.unwrap().record.id;
    let inbox = threads.inbox(thread());
    let removed = async {
        while inbox.get(&gone).await.unwrap().is_some() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(60), removed).await.unwrap();
    assert!(inbox.get(&pending.record.id).await.unwrap().is_some());
}

#[tokio::test]
async fn what_cannot_be_delivered_fails_after_five_attempts() {
    let world = World::new();
    let a = world.process().await;
    // The thread is one of user-1.
    let mut reader = a.read().await;
    a.send("hello").await;
    reader.said().await;
    let threads = Threads::builder(world.store.clone(), world.bus.clone())
        .agent(a.agent.clone())
        .lease(Duration::from_millis(50))
        .start();
    a.threads.close().await;
    let strange = ThreadId::new("thread-1").resource("user-2");
    let told = threads.send_notification(AGENT, &strange, ship(Priority::Urgent));
    let told = told.await.unwrap();
    assert_eq!(
        (told.accepted, told.record.delivery_attempts),
        (None, 1),
        "{:?}",
        told.record
    );
    let failed = |it: &NotificationRecord| it.status == NotificationStatus::Failed;
    let record = until(&threads, &strange, &told.record.id, failed).await;
    assert_eq!(record.delivery_attempts, 5);
    assert!(record.last_delivery_error.is_some());
    assert!(record.delivered_at.is_none());
}
