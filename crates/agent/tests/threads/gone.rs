//! A run that is gone with its mailbox while its thread still names it.

use std::time::Duration;

use bowline_agent::threads::{Accepted, ThreadEvent};
use bowline_store::{Commit, Table};
use tokio::time::{sleep, timeout};

use crate::world::{World, run_of};

const RUNS: Table = Table::new("runs");
const MAIL: Table = Table::new("agent_mail");

#[tokio::test]
async fn what_a_run_that_is_gone_was_given_is_heard_by_the_next_one() {
    let world = World::new();
    let a = world.process().await;
    let mut reader = a.read().await;
    let woken = a.send("work").await;
    let run: bowline_events::Text = run_of(&woken).to_owned().into();
    world.until_working().await;
    // As when its retention is over.
    let record = world.store.get(RUNS, &run).await.unwrap().unwrap();
    let gone = Commit::new()
        .delete(RUNS, run.clone(), record.version)
        .drop_log(Table::new("journal").log(run.clone()))
        .drop_log(MAIL.log(run.clone()));
    world.store.commit(gone).await.unwrap();
    assert!(matches!(a.send("unread").await, Accepted::Deliver { .. }));
    let (_, _, end) = reader.run().await;
    assert!(matches!(end, ThreadEvent::Failed(_)), "{end:?}");
    assert_eq!(reader.said().await.0, "heard unread");
    assert_eq!(world.heard.all(), ["work", "unread"]);
    let removed = async {
        while world
            .store
            .log_info(&MAIL.log(run.clone()))
            .await
            .unwrap()
            .is_some()
        {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let removed = timeout(Duration::from_secs(20), removed).await;
    assert!(removed.is_ok(), "its mailbox is left");
    assert!(world.store.get(MAIL, &run).await.unwrap().is_none());
}
