//! Workflows whose side effects are counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline_workflow::{Dispatch, RetryPolicy, StepContext, StepError, Workflow, step, when};
use serde_json::json;
use tokio::time::Instant;

use crate::line::Line;

/// What steps did to the world, by what did it: executions that began.
#[derive(Debug, Clone, Default)]
pub(crate) struct Effects {
    begun: Arc<Mutex<BTreeMap<String, u32>>>,
    acts: Arc<Mutex<Vec<Act>>>,
}

/// An execution that nothing kept from ending.
#[derive(Debug, Clone)]
pub(crate) struct Act {
    pub(crate) what: String,
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
}

impl Effects {
    fn add(&self, what: String) {
        *self.begun.lock().unwrap().entry(what).or_default() += 1;
    }

    pub(crate) fn total(&self) -> u32 {
        self.begun.lock().unwrap().values().sum()
    }

    pub(crate) fn all(&self) -> BTreeMap<String, u32> {
        self.begun.lock().unwrap().clone()
    }

    /// The executions of a step of a run that ended.
    pub(crate) fn acts(&self, what: &str) -> Vec<Act> {
        let acts = self.acts.lock().unwrap();
        acts.iter()
            .filter(|act| act.what == what)
            .cloned()
            .collect()
    }
}

/// How the steps of one process see the world.
#[derive(Debug, Clone)]
pub(crate) struct Hands {
    pub(crate) effects: Effects,
    pub(crate) line: Arc<Line>,
    /// How much of a run its workers take at a time.
    pub(crate) dispatch: Dispatch,
}

impl Hands {
    pub(crate) fn new(effects: &Effects, line: &Arc<Line>) -> Self {
        Self {
            effects: effects.clone(),
            line: Arc::clone(line),
            dispatch: Dispatch::Run,
        }
    }

    pub(crate) fn dispatched(self, dispatch: Dispatch) -> Self {
        Self { dispatch, ..self }
    }

    /// A step that adds `more` and counts as a side effect.
    pub(crate) fn add(
        &self,
        more: u64,
    ) -> impl Fn(
        StepContext,
        u64,
    ) -> futures_util::future::BoxFuture<'static, Result<u64, StepError>>
    + Clone
    + Send
    + Sync
    + 'static {
        let hands = self.clone();
        move |ctx: StepContext, n: u64| {
            let hands = hands.clone();
            Box::pin(async move {
                hands.acts(&ctx).await;
                Ok(n + more)
            })
        }
    }

    /// A step that returns what it was given and counts as a side effect.
    fn same(
        &self,
    ) -> impl Fn(
        StepContext,
        serde_json::Value,
    )
        -> futures_util::future::BoxFuture<'static, Result<serde_json::Value, StepError>>
    + Clone
    + Send
    + Sync
    + 'static {
        let hands = self.clone();
        move |ctx: StepContext, value| {
            let hands = hands.clone();
            Box::pin(async move {
                hands.acts(&ctx).await;
                Ok(value)
            })
        }
    }

    /// Counts an execution, unless the process is dead.
    pub(crate) async fn acts(&self, ctx: &StepContext) {
        let happening = self.line.happens().await;
        let index = ctx.index().map_or(String::new(), |i| format!("[{i}]"));
        let (run, step) = (ctx.run_id(), ctx.step_id());
        let what = format!("{run}/{step}{index}");
        let begun = Instant::now();
        self.effects.add(what.clone());
        drop(happening);
        self.line.works().await;
        self.effects.acts.lock().unwrap().push(Act {
            what,
            begun,
            ended: Instant::now(),
        });
    }
}

/// A workflow, what it is given, and whether its steps run one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) make: fn(&Hands) -> Workflow,
    pub(crate) in_order: bool,
}

pub(crate) const SCENES: [Scene; 10] = [
    scene("linear", linear, true),
    scene("parallel", parallel, false),
    scene("branch", branch, true),
    scene("foreach", foreach, false),
    scene("loop", repeated, true),
    scene("nested", nested, true),
    scene("sleep", sleep, true),
    scene("suspend", suspend, true),
    scene("retries", retries, true),
    scene("bail", bail, true),
];

pub(crate) const fn scene(
    name: &'static str,
    make: fn(&Hands) -> Workflow,
    in_order: bool,
) -> Scene {
    Scene {
        name,
        make,
        in_order,
    }
}

pub(crate) fn linear(hands: &Hands) -> Workflow {
    let stateful = hands.clone();
    Workflow::builder("linear")
        .input::<u64>()
        .dispatch(hands.dispatch)
        .step(step("one", hands.add(1)))
        .step(step("two", move |ctx: StepContext, n: u64| {
            let hands = stateful.clone();
            async move {
                hands.acts(&ctx).await;
                ctx.set_state(&json!({ "seen": n }))?;
                Ok::<_, StepError>(n + 10)
            }
        }))
        .step(step("three", hands.add(100)))
        .build()
        .unwrap()
}

fn parallel(hands: &Hands) -> Workflow {
    Workflow::builder("parallel")
        .input::<u64>()
        .dispatch(hands.dispatch)
        .parallel([
            step("a", hands.add(1)),
            step("b", hands.add(2)),
            step("c", hands.add(3)),
        ])
        .step(step("joined", hands.same()))
        .build()
        .unwrap()
}

fn branch(hands: &Hands) -> Workflow {
    Workflow::builder("branch")
        .input::<u64>()
        .dispatch(hands.dispatch)
        .branch([
            when(|n: &u64| *n < 100, step("small", hands.add(1))),
            when(|n: &u64| *n >= 100, step("large", hands.add(2))),
        ])
        .step(step("joined", hands.same()))
        .build()
        .unwrap()
}

fn foreach(hands: &Hands) -> Workflow {
    let listing = hands.clone();
    Workflow::builder("foreach")
        .input::<u64>()
        .dispatch(hands.dispatch)
        .step(step("list", move |ctx: StepContext, n: u64| {
            let hands = listing.clone();
            async move {
                hands.acts(&ctx).await;
                Ok::<_, StepError>((0..n + 2).collect::<Vec<u64>>())
            }
        }))
        .foreach(step("each", hands.add(10)))
        .concurrency(2)
        .build()
        .unwrap()
}

fn repeated(hands: &Hands) -> Workflow {
    Workflow::builder("loop")
        .input::<u64>()
        .dispatch(hands.dispatch)
        .do_until(step("grow", hands.add(2)), |n: &u64| *n > 7)
        .step(step("after", hands.add(1)))
        .build()
        .unwrap()
}

fn nested(hands: &Hands) -> Workflow {
    let inner = Workflow::builder("inner")
        .input::<u64>()
        .step(step("x", hands.add(5)))
        .step(step("y", hands.add(6)))
        .build()
        .unwrap();
    Workflow::builder("nested")
        .input::<u64>()
        .dispatch(hands.dispatch)
        .step(step("before", hands.add(1)))
        .step(inner)
        .build()
        .unwrap()
}

fn sleep(hands: &Hands) -> Workflow {
    Workflow::builder("sleep")
        .input::<u64>()
        .dispatch(hands.dispatch)
        .step(step("before", hands.add(1)))
        .sleep(Duration::from_millis(30))
        .step(step("after", hands.add(1)))
        .build()
        .unwrap()
}

fn suspend(hands: &Hands) -> Workflow {
    let asking = hands.clone();
    Workflow::builder("suspend")
        .input::<u64>()
        .dispatch(hands.dispatch)
        .step(step("ask", move |ctx: StepContext, n: u64| {
            let hands = asking.clone();
            async move {
                hands.acts(&ctx).await;
                match ctx.resumed::<u64>()? {
                    Some(more) => Ok(n + more),
                    None => Err(ctx.suspend(&json!({ "n": n }))),
                }
            }
        }))
        .step(step("after", hands.add(1)))
        .build()
        .unwrap()
}

fn retries(hands: &Hands) -> Workflow {
    let flaky = hands.clone();
    Workflow::builder("retries")
        .input::<u64>()
        .dispatch(hands.dispatch)
        .retries(RetryPolicy::times(2).delay(Duration::from_millis(2)))
        .step(step("flaky", move |ctx: StepContext, n: u64| {
            let hands = flaky.clone();
            async move {
                hands.acts(&ctx).await;
                match ctx.attempt() {
                    0 | 1 => Err(StepError::fail("Flaky", "not yet")),
                    _ => Ok(n),
                }
            }
        }))
        .build()
        .unwrap()
}

fn bail(hands: &Hands) -> Workflow {
    let leaving = hands.clone();
    Workflow::builder("bail")
        .input::<u64>()
        .dispatch(hands.dispatch)
        .step(step("leave", move |ctx: StepContext, n: u64| {
            let hands = leaving.clone();
            async move {
                hands.acts(&ctx).await;
                if n < 100 {
                    return Err(ctx.bail(&json!({ "left": n })));
                }
                Ok(n)
            }
        }))
        .step(step("never", hands.add(1)))
        .build()
        .unwrap()
}
