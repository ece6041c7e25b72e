//! What becomes of notifications when processes end and stores fail.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bowline_agent::threads::{
    Delivery, Notification, NotificationFilter, NotificationPolicy, Priority,
};

use crate::failures::{Mortal, reach};
use crate::frail::frail;
use crate::notifications::{ship, tell_as, until};
use crate::world::{AGENT, Process, Reader, World, heard_once, thread};

/// Asserts that each of `texts` is heard by one run, when everything that is in the inbox is told.
async fn told_once(process: &Process, reader: &mut Reader, texts: &[String], seed: usize) {
    let inbox = process.threads.inbox(thread());
    let filter = || NotificationFilter::new().limit(100);
    let mut next = None;
    loop {
        let page = next.take().map_or_else(filter, |next| filter().after(next));
        let page = inbox.list(page).await.unwrap();
        for record in page.notifications {
            let told = until(&process.threads, thread(), &record.id, |it| {
                it.delivered_signal_id.is_some()
                    || (it.summary_at.is_none() && it.summary_signal_id.is_some())
            });
            told.await;
        }
        match page.next {
            Some(place) => next = Some(place),
            None => break,
        }
    }
    heard_once(process, reader, texts, format!("after {seed}")).await;
}

/// A notification, what is to become of it, and what is heard of it then.
fn news(n: usize) -> (Notification, Delivery, String) {
    let text = format!("news-{n}.");
    let (source, summary, delivery, said) = match n % 3 {
        0 => ("s", text.as_str(), Delivery::deliver(), text.clone()),
        1 => ("s", text.as_str(), Delivery::queue(), text.clone()),
        _ => {
            // Of a summary the contents count, and not what programs are told of it.
            let said = format!("{text}: 1");
            (text.as_str(), "?", Delivery::summarize(), said)
        }
    };
    let news = Notification::new(source.to_owned(), "k", summary);
    (news, delivery, said)
}

/// A process takes notifications and is killed somewhere on the way; what it has taken is told once by the other.
async fn killed_after(steps: usize) {
    let world = World::new();
    let mortal = Mortal::born(&world).await;
    let taken = Arc::new(Mutex::new(Vec::new()));
    let (process, note) = (Arc::clone(&mortal.process), Arc::clone(&taken));
    mortal.runtime.spawn(async move {
        for n in 0.. {
            let (news, delivery, said) = news(n);
            tell_as(&process, news, delivery).await;
            note.lock().unwrap().push(said);
        }
    });
    reach(&taken, steps).await;
    mortal.kill().await;
    let b = world.process().await;
    let mut reader = b.read().await;
    let taken = taken.lock().unwrap().clone();
    told_once(&b, &mut reader, &taken, steps).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_has_taken_is_told_once_wherever_it_is_killed() {
    futures_util::future::join_all((0..24).map(killed_after)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_has_put_off_is_told_by_another() {
    let world = World::new();
    let mortal = Mortal::born(&world).await;
    let process = Arc::clone(&mortal.process);
    let put_off = mortal.runtime.spawn(async move {
        let soon = std::time::Duration::from_millis(300);
        tell_as(&process, ship(Priority::Low), Delivery::defer(soon)).await
    });
    put_off.await.unwrap();
    mortal.kill().await;
    let b = world.process().await;
    let mut reader = b.read().await;
    told_once(&b, &mut reader, &["A ship.".to_owned()], 0).await;
}

/// Notifications that are sent until they are taken, with a store that fails as `seed` says.
async fn sent_again_and_again(seed: u64) {
    let (store, world) = frail(seed);
    let processes = [world.process().await, world.process().await];
    let mut reader = processes[0].read().await;
    store.healed.store(false, Ordering::SeqCst);
    let mut texts = Vec::new();
    for n in 0..9 {
        let (news, delivery, said) = news(n);
        let policy = NotificationPolicy::new().otherwise(delivery);
        let threads = &processes[n % 2].threads;
        while threads
            .send_notification_with(AGENT, thread(), news.clone(), &policy)
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
        texts.push(said);
    }
    store.healed.store(true, Ordering::SeqCst);
    let seed = usize::try_from(seed).unwrap();
    told_once(&processes[0], &mut reader, &texts, seed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_until_it_is_taken_is_told_once_however_the_store_fails() {
    futures_util::future::join_all((1..20).map(sent_again_and_again)).await;
}
