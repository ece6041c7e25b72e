//! The engine: runs workflows on a store and a bus.

mod builder;
mod commit;
mod driver;
mod execute;
mod lease;
mod options;
mod outbox;
mod publish;
mod record;
mod recovery;
mod run;
mod shared;
mod signal;
mod start;
mod steer;
mod take;
mod watch;

use std::sync::{Arc, Mutex};

use bowline_events::PubSub;
use bowline_store::Store;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

pub use builder::EngineBuilder;
pub use run::{Run, RunResult};
use shared::{Shared, lock};
pub use start::Start;
pub use steer::TimeTravel;
pub use watch::{RunWatch, WatchEvent};

/// Runs workflows.
///
/// Engines of any number of processes on one store share the work; a run is worked on by one of them at a time. When a process
/// dies, another one goes on with its runs where their last committed step ended, after the lease of the dead one is over.
///
/// Cheap to clone. Dropping the last clone does not stop it; [`close`](Self::close) does.
#[derive(Debug, Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Engine {
    /// Sets up an engine on `store` and `bus`.
    pub fn builder(store: Arc<dyn Store>, bus: Arc<dyn PubSub>) -> EngineBuilder {
        EngineBuilder::new(store, bus)
    }

    fn new(shared: Arc<Shared>, tasks: Vec<JoinHandle<()>>) -> Self {
        Self {
            shared,
            tasks: Arc::new(Mutex::new(tasks)),
        }
    }

    /// The workflows that it knows, by id.
    pub fn workflows(&self) -> Vec<crate::Workflow> {
        let mut workflows: Vec<_> = self.shared.workflows.values().cloned().collect();
        workflows.sort_by(|a, b| a.id().as_str().cmp(b.id().as_str()));
        workflows
    }

    /// Runs that this engine works on at present.
    pub fn active_runs(&self) -> usize {
        self.shared.all_active().len()
    }

    /// Takes no further run, lets steps end for a while (the drain of the builder), gives the runs back so that others go on
    /// with them at once, and signs off. Closing again is fine.
    pub async fn close(&self) {
        self.shared.begin_closing();
        for (_, active) in self.shared.all_active() {
            active.doubt();
        }
        self.shared.due.notify_one();
        self.shared.stop();
        let deadline = Instant::now() + self.shared.options.drain;
        if !self.all_left(deadline).await {
            self.shared.abandon();
            for (_, active) in self.shared.all_active() {
                active.doubt();
            }
            let deadline = Instant::now() + self.shared.options.drain;
            self.all_left(deadline).await;
        }
        self.shared.abandon();
        self.shared.sweep_outbox().await;
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        for task in tasks {
            task.abort();
        }
        if self.shared.options.workers {
            lease::sign_off(&self.shared).await;
        }
    }

    async fn all_left(&self, deadline: Instant) -> bool {
        loop {
            let left = self.shared.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if self.shared.all_active().is_empty() {
                return true;
            }
            if timeout_at(deadline, left).await.is_err() {
                return self.shared.all_active().is_empty();
            }
        }
    }
}

#[cfg(test)]
mod smoke {
    use super::*;
    use crate::context::StepContext;
    use crate::definition::*;
    use crate::machine::{Completion, Outcome};
    use crate::{Data, RetryPolicy, Workflow};

    struct Add;
    impl StepFunction for Add {
        fn call(&self, context: StepContext) -> BoxFuture<Completion> {
            Box::pin(async move {
                #[derive(serde::Deserialize, serde::Serialize)]
                struct N {
                    n: u64,
                }
                let n: N = context.view.input.parse().unwrap();
                Outcome::Success(Data::of(&N { n: n.n + 1 }).unwrap()).into()
            })
        }
    }

    fn step(id: String) -> Node {
        Node::Step(Arc::new(StepDefinition {
            id: id.into(),
            description: None,
            can_suspend: false,
            retry: None,
            function: Arc::new(Add),
        }))
    }

    #[tokio::test]
    async fn linear() {
        let store: Arc<dyn Store> = Arc::new(bowline_store::MemoryStore::new());
        let bus: Arc<dyn PubSub> = Arc::new(bowline_events::InProcessPubSub::new());
        let entries = (0..10)
            .map(|i| Entry::Step(step(format!("s{i}"))))
            .collect();
        let linear = Workflow::new(
            "linear".into(),
            entries,
            RetryPolicy::NEVER,
            Default::default(),
        )
        .unwrap();
        let nodes = (0..100).map(|i| step(format!("s{i}"))).collect();
        let parallel = Workflow::new(
            "parallel".into(),
            vec![Entry::Parallel(nodes)],
            RetryPolicy::NEVER,
            Default::default(),
        )
        .unwrap();
        let each = Workflow::new(
            "each".into(),
            vec![Entry::Foreach(Foreach {
                node: step("s".into()),
                width: Width::Fixed(10),
            })],
            RetryPolicy::NEVER,
            Default::default(),
        )
        .unwrap();
        let engine = Engine::builder(store, bus)
            .workflow(linear)
            .workflow(parallel)
            .workflow(each)
            .start()
            .await
            .unwrap();
        let run = engine
            .start(
                "linear",
                Start::with_data(Data::from_json("{\"n\":1}").unwrap()),
            )
            .await
            .unwrap();
        let mut watch = run.watch().await.unwrap();
        let result = run.result().await.unwrap();
        eprintln!("{:?} {:?}", result.status(), result.result());
        while let Some(event) = watch.next().await {
            eprintln!("{:?}", event.unwrap().data);
        }
        let at = std::time::Instant::now();
        let n = 2000;
        for _ in 0..n {
            let run = engine
                .start(
                    "linear",
                    Start::with_data(Data::from_json("{\"n\":1}").unwrap()),
                )
                .await
                .unwrap();
            let result = run.result().await.unwrap();
            assert_eq!(result.result().unwrap().as_str(), "{\"n\":11}");
        }
        eprintln!("linear alone {:?} per step", at.elapsed() / n / 10);
        let at = std::time::Instant::now();
        for _ in 0..50 {
            let run = engine
                .start(
                    "parallel",
                    Start::with_data(Data::from_json("{\"n\":1}").unwrap()),
                )
                .await
                .unwrap();
            run.result().await.unwrap();
        }
        eprintln!("parallel100 {:?} per run", at.elapsed() / 50);
        let items: Vec<_> = (0..1000).map(|i| serde_json::json!({"n": i})).collect();
        let at = std::time::Instant::now();
        let run = engine
            .start("each", Start::with(&items).unwrap())
            .await
            .unwrap();
        let result = run.result().await.unwrap();
        eprintln!("foreach1000 {:?} {:?}", at.elapsed(), result.status());
        engine.close().await;
    }
}
