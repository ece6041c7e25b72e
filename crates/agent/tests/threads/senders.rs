//! The ledger of a thread on every store, with two processes that write it at once.

use crate::stores::{Handles, every_store};
use crate::world::{Process, World};

async fn say(process: &Process, texts: &[String]) {
    for (n, text) in texts.iter().enumerate() {
        match n % 3 {
            2 => process.queue(text.as_str()).await,
            _ => process.send(text.as_str()).await,
        };
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_processes_say_at_once_is_heard_once_on_every_store() {
    for handles in every_store().await {
        // The folder goes when the round is over.
        let Handles {
            name,
            one,
            other,
            folder: _folder,
        } = handles;
        let mut world = World::new();
        world.store = one;
        let second = World {
            store: other,
            ..world.clone()
        };
        let (a, b) = (world.process().await, second.process().await);
        let mut reader = b.read().await;
        let texts = |who: &str| -> Vec<String> { (0..8).map(|n| format!("{who}-{n}.")).collect() };
        let (of_a, of_b) = (texts("a"), texts("b"));
        tokio::join!(say(&a, &of_a), say(&b, &of_b));
        a.queue("last").await;
        while !reader.said().await.0.contains("last") {}
        let heard = a.heard().await;
        for text in of_a.iter().chain(&of_b) {
            let times = heard.matches(text.as_str()).count();
            assert_eq!(times, 1, "{text} on {name}: {heard}");
        }
    }
}
