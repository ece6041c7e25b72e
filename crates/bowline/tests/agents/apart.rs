//! Agents that have a store, a bus or a cache of their own in an application.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bowline::agent::threads::{
    Accepted, Delivery, Notification, NotificationPolicy, NotificationStatus, ThreadEvent,
    ThreadId, ThreadStream,
};
use bowline::agent::{ErrorKind, RunOptions};
use bowline::store::MemoryStore;
use bowline::workflow::RunQuery;
use bowline::{Bowline, BowlineBuilder, InProcessPubSub, MemoryCache, Text};

use crate::{app, greeter, pilot, pilot_of};

/// Says how the next run of a thread ends.
async fn end_of_next(stream: &mut ThreadStream) -> (Text, ThreadEvent) {
    loop {
        let item = stream.next().await.unwrap().unwrap();
        if item.event.is_end() {
            return (item.run_id, item.event);
        }
    }
}

#[tokio::test]
async fn whatever_an_agent_has_of_its_own_one_run_is_at_work_in_a_thread_and_told_there() {
    let looked_up = Arc::default();
    let pilot = |id| pilot_of(id, &looked_up).durable();
    let bus = || Arc::new(InProcessPubSub::new());
    let store = || Arc::new(MemoryStore::new());
    let agents = [
        pilot("shared"),
        pilot("own bus").bus(bus()),
        pilot("own cache").cache(Arc::new(MemoryCache::new())),
        pilot("uncached").no_cache(),
        pilot("own store").store(store()),
        pilot("own store and bus").store(store()).bus(bus()),
    ];
    let app = agents.into_iter().fold(app(), BowlineBuilder::agent);
    let app = app.start().await.unwrap();
    assert_eq!(app.agents().len(), 6);
    for agent in app.agents() {
        let id = agent.id();
        let agent = app.agent(id).unwrap();
        let threads = agent.threads().unwrap();
        let thread = ThreadId::new(format!("talk with {id}"));
        let mut stream = threads.subscribe(&thread).await.unwrap();
        let options = || RunOptions::new().thread(thread.id().clone());
        let halted = agent.generate_with("Is Oslo open?", options()).await;
        let run = halted.unwrap().run_id;
        assert_eq!(
            threads.active_run(&thread).await.unwrap(),
            Some(run.clone())
        );
        let second = agent.stream_with("Is it?", options()).await.unwrap_err();
        assert_eq!(second.kind(), ErrorKind::Conflict, "{id}: {second}");
        let call = agent.suspended(&run).await.unwrap().remove(0);
        agent.approve(&run, &call.tool_call_id).await.unwrap();
        assert_eq!(
            end_of_next(&mut stream).await,
            (run, ThreadEvent::Completed),
            "{id}"
        );
        let woken = threads.send_message(id, &thread, "Is Rome?").await.unwrap();
        let Accepted::Wake { run_id } = woken else {
            panic!("{id}: {woken:?}");
        };
        agent.abort(&run_id).await.unwrap();
        let (run, _) = end_of_next(&mut stream).await;
        assert_eq!(run, run_id, "{id}");
    }
    app.close().await.unwrap();
}

#[tokio::test]
async fn a_thread_of_agents_on_different_buses_is_one_and_each_bus_tells_its_own() {
    let looked_up = Arc::default();
    let app = app().agent(pilot(&looked_up)).agent(
        greeter("apart")
            .durable()
            .bus(Arc::new(InProcessPubSub::new())),
    );
    let app = app.start().await.unwrap();
    let (pilot, apart) = (app.agent("pilot").unwrap(), app.agent("apart").unwrap());
    let thread = ThreadId::new("talk");
    let options = || RunOptions::new().thread("talk");
    let halted = pilot.generate_with("Is Oslo open?", options()).await;
    let run = halted.unwrap().run_id;
    let refused = apart.start("Hi", options()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    let mut streams = [
        app.threads().unwrap().subscribe(&thread).await.unwrap(),
        apart.threads().unwrap().subscribe(&thread).await.unwrap(),
    ];
    pilot.abort(&run).await.unwrap();
    let greeting = apart.generate_with("Hi", options()).await.unwrap();
    assert_eq!(greeting.text, "Hello!");
    let ended = end_of_next(&mut streams[0]).await;
    assert_eq!(ended, (run, ThreadEvent::Aborted));
    let ended = end_of_next(&mut streams[1]).await;
    assert_eq!(ended, (greeting.run_id, ThreadEvent::Completed));
    app.close().await.unwrap();
}

#[tokio::test]
async fn what_an_agent_with_a_store_of_its_own_does_is_there_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("pilot.db").display());
    let looked_up = Arc::default();
    let store = bowline::store::open(&url).await.unwrap();
    let pilot = pilot(&looked_up).durable().store(Arc::clone(&store));
    let first = app().agent(pilot).agent(greeter("greeter"));
    let first = first.start().await.unwrap();
    let agent = first.agent("pilot").unwrap();
    let options = RunOptions::new()
        .run_id("run-1")
        .thread("talk")
        .resource("ann");
    let halted = agent.generate_with("Is Oslo open?", options).await.unwrap();
    assert!(halted.error.is_none(), "{halted:?}");
    let runs = agent.runs(RunQuery::new()).await.unwrap().runs;
    assert_eq!(runs.len(), 1);
    let everywhere = first.agent_runs();
    let unknown = everywhere.status("run-1").await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound, "{unknown}");
    assert!(
        everywhere
            .list("pilot", RunQuery::new())
            .await
            .unwrap()
            .runs
            .is_empty()
    );
    assert!(agent.memory().thread("talk").await.unwrap().is_some());
    assert!(first.memory().thread("talk").await.unwrap().is_none());
    first.close().await.unwrap();
    store.close().await.unwrap();

    // In that store the run is found by whoever has it.
    let clerk = Bowline::builder()
        .store(&url)
        .workers(false)
        .start()
        .await
        .unwrap();
    let runs = clerk.agent_runs();
    let call = runs.suspended("run-1").await.unwrap().remove(0);
    runs.approve("run-1", &call.tool_call_id).await.unwrap();
    clerk.close().await.unwrap();
    let store = bowline::store::open(&url).await.unwrap();
    let pilot = crate::pilot(&looked_up).durable().store(Arc::clone(&store));
    let second = app().agent(pilot).start().await.unwrap();
    let agent = second.agent("pilot").unwrap();
    while !agent.status("run-1").await.unwrap().is_final() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(looked_up.load(Ordering::SeqCst), 1);
    let last = agent
        .memory()
        .recent("talk", 10)
        .await
        .unwrap()
        .pop()
        .unwrap();
    assert_eq!(last.text(), "The port is open.");
    second.close().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_becomes_of_notifications_is_said_of_all_agents() {
    let own = greeter("apart")
        .durable()
        .store(Arc::new(MemoryStore::new()));
    let app = app()
        .agent(greeter("shared"))
        .agent(own)
        .notifications(NotificationPolicy::new().of_source("noise", Delivery::discard()))
        .notification_retention(Duration::ZERO);
    let app = app.start().await.unwrap();
    let thread = ThreadId::new("talk");
    for id in ["shared", "apart"] {
        let threads = app.agent(id).unwrap().threads().unwrap();
        let news = Notification::new("noise", "hum", "It hums.");
        let told = threads.send_notification(id, &thread, news).await.unwrap();
        let record = told.record;
        assert_eq!(record.status, NotificationStatus::Discarded, "{id}");
        let inbox = threads.inbox(&thread);
        while inbox.get(&record.id).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    app.close().await.unwrap();
}
