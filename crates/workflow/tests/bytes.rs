//! What a run writes grows with the number of its steps, and with nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bowline_events::InProcessPubSub;
use bowline_store::{Commit, Committed, MemoryStore, Store, StoreFuture, StoreLayer};
use bowline_workflow::{Engine, RunStatus, Start, StepError, Typed, TypedStep, Workflow, step};
use serde::Serialize;

/// Counts the bytes of commits, except those by which an engine says that it lives.
#[derive(Debug, Default)]
struct Counting {
    store: MemoryStore,
    bytes: AtomicUsize,
}

impl StoreLayer for Counting {
    fn inner(&self) -> &dyn Store {
        &self.store
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        let operations = commit.operations();
        if operations
            .iter()
            .any(|operation| operation.table().as_str() != "workers")
        {
            self.bytes.fetch_add(commit.bytes(), Ordering::SeqCst);
        }
        self.store.commit(commit)
    }
}

type Increment = TypedStep<Typed<u64>, Typed<u64>>;

fn increment(number: usize) -> Increment {
    step(format!("s{number}"), |n: u64| async move {
        Ok::<_, StepError>(n + 1)
    })
}

fn linear(steps: usize) -> Workflow {
    let first = Workflow::builder("w").input::<u64>().step(increment(0));
    let all = (1..steps).fold(first, |builder, number| builder.step(increment(number)));
    all.build().expect("a workflow")
}

fn parallel(steps: usize) -> Workflow {
    let all: Vec<Increment> = (0..steps).map(increment).collect();
    Workflow::builder("w")
        .input::<u64>()
        .parallel(all)
        .build()
        .expect("a workflow")
}

fn foreach() -> Workflow {
    let each = Workflow::builder("w")
        .input::<Vec<u64>>()
        .foreach(increment(0));
    each.concurrency(10).build().expect("a workflow")
}

/// The bytes that one run commits from its start to its end.
async fn bytes_of_a_run<T: Serialize>(workflow: Workflow, input: T) -> usize {
    let store = Arc::new(Counting::default());
    let bus = Arc::new(InProcessPubSub::new());
    let engine = Engine::builder(Arc::clone(&store) as _, bus).workflow(workflow);
    let engine = engine.start().await.expect("an engine");
    let start = Start::with(&input).expect("an input").run_id("run");
    let run = engine.start("w", start).await.expect("a run");
    let result = run.result().await.expect("a result");
    assert_eq!(result.status(), RunStatus::Success);
    engine.close().await;
    store.bytes.load(Ordering::SeqCst)
}

/// `sizes` are the bytes of runs of 10, 100 and 1000 steps.
fn assert_linear(what: &str, sizes: [usize; 3]) {
    let [small, medium, large] = sizes;
    let (earlier, later) = ((medium - small) / 90, (large - medium) / 900);
    assert!(earlier > 0, "{what}: the bytes were not counted: {sizes:?}");
    // Positions and counts have one more digit.
    let most = earlier + earlier / 10;
    assert!(
        later <= most,
        "{what}: {later} bytes for each of the later steps, {earlier} for each of the earlier: {sizes:?}"
    );
}

#[tokio::test]
async fn a_further_step_costs_the_same_number_of_bytes_in_a_long_run_as_in_a_short_one() {
    let mut sizes = [[0; 3]; 3];
    for (place, steps) in [10, 100, 1000].into_iter().enumerate() {
        sizes[0][place] = bytes_of_a_run(linear(steps), 0u64).await;
        sizes[1][place] = bytes_of_a_run(parallel(steps), 0u64).await;
        sizes[2][place] = bytes_of_a_run(foreach(), vec![0u64; steps]).await;
    }
    for (what, sizes) in ["linear", "parallel", "foreach"].into_iter().zip(sizes) {
        assert_linear(what, sizes);
    }
}
