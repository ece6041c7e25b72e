//! A program with workflows on a SQLite file, and the command beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bowline_events::{InProcessPubSub, PubSub};
use bowline_runtime::{BusConfig, OpenBus, StoreConfig};
use bowline_workflow::{
    Engine, RetryPolicy, RunStatus, Start, StepContext, StepError, Workflow, step,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::{Done, Scratch};

/// A program that works on the runs of a store.
pub(crate) struct House {
    pub(crate) scratch: Scratch,
    runtime: Runtime,
    /// The URL of the store, as the command gets it.
    url: String,
    pub(crate) engine: Engine,
    /// Whether the flaky step works.
    pub(crate) mended: Arc<AtomicBool>,
}

impl House {
    /// A program whose bus nobody else is on.
    pub(crate) fn new() -> Self {
        Self::on(Scratch::new(), None, Arc::new(InProcessPubSub::new()))
    }

    /// A program whose store is at `url`.
    #[cfg(feature = "postgres")]
    pub(crate) fn at(url: String) -> Self {
        Self::on(Scratch::new(), Some(url), Arc::new(InProcessPubSub::new()))
    }

    /// A program on the Unix bus of its folder.
    pub(crate) fn with_bus() -> Self {
        let scratch = Scratch::new();
        let config = BusConfig::from_url(&scratch.bus()).unwrap();
        let bus = OpenBus::open(&config).unwrap().shared();
        Self::on(scratch, None, bus)
    }

    fn on(scratch: Scratch, url: Option<String>, bus: Arc<dyn PubSub>) -> Self {
        let runtime = Runtime::new().unwrap();
        let mended = Arc::new(AtomicBool::new(false));
        let url = url.unwrap_or_else(|| format!("sqlite:{}", scratch.join("app.db").display()));
        let engine = runtime.block_on(async {
            let store = StoreConfig::from_url(&url).unwrap().open().await.unwrap();
            let mut engine = Engine::builder(store, bus)
                .poll(Duration::from_millis(20))
                .drain(Duration::from_millis(20));
            for workflow in workflows(&mended) {
                engine = engine.workflow(workflow);
            }
            engine.start().await.unwrap()
        });
        Self {
            scratch,
            runtime,
            url,
            engine,
            mended,
        }
    }

    /// Does `work` in the program.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Starts a run and waits until it has ended or halted.
    pub(crate) fn start(&self, workflow: &str, id: &str, input: &Value) -> RunStatus {
        self.wait(async {
            let start = Start::with(input)
                .unwrap()
                .run_id(id.to_owned())
                .resource("ann");
            let run = self.engine.start(workflow, start).await.unwrap();
            run.result().await.unwrap().status()
        })
    }

    /// Starts a run and leaves it alone.
    pub(crate) fn set_off(&self, workflow: &str, id: &str) {
        let start = Start::with(&json!(1)).unwrap().run_id(id.to_owned());
        self.wait(self.engine.start(workflow, start)).unwrap();
    }

    /// How a run is.
    pub(crate) fn status(&self, id: &str) -> RunStatus {
        self.wait(async { self.engine.run(id).await.unwrap().status().await.unwrap() })
    }

    /// Runs the command on the store, in the folder of the program.
    pub(crate) fn run(&self, args: &[&str]) -> Done {
        self.feed(args, "")
    }

    /// The same with something on its standard input.
    pub(crate) fn feed(&self, args: &[&str], input: &str) -> Done {
        let args = [args, &["--store", &self.url]].concat();
        self.scratch.run(args, input)
    }

    /// Runs the command with `--json`; its lines.
    pub(crate) fn json(&self, args: &[&str]) -> Vec<Value> {
        let done = self.run(&[args, &["--json"]].concat());
        assert_eq!(done.code, Some(0), "{done:?}");
        let lines = done.out.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.runtime.block_on(self.engine.close());
    }
}

fn workflows(mended: &Arc<AtomicBool>) -> [Workflow; 5] {
    [order(), flaky(Arc::clone(mended)), slow(), pair(), chatty()]
}

async fn same(n: u32) -> Result<u32, StepError> {
    Ok(n)
}

/// One of everything; it ends when somebody approves.
fn order() -> Workflow {
    let add = |n: u32| async move { Ok::<_, StepError>(n + 1) };
    let collect = |all: Value| async move {
        let sum = all["left"].as_u64().unwrap_or(0) + all["right"].as_u64().unwrap_or(0);
        Ok::<_, StepError>(vec![sum, 7])
    };
    let pack = |n: u64| async move { Ok::<_, StepError>(n * 10) };
    let sum = |all: Vec<u64>| async move { Ok::<_, StepError>(all.iter().sum::<u64>()) };
    let ask = |ctx: StepContext, n: u64| async move {
        match ctx.resumed::<bool>()? {
            Some(yes) => Ok(json!({ "approved": yes, "total": n })),
            None => Err(ctx.suspend_with(&json!({ "total": n }), ["boss"])),
        }
    };
    let note = |ctx: StepContext, n: u64| async move {
        ctx.set_state(&json!({ "seen": n }))?;
        Ok::<_, StepError>(n)
    };
    let review = Workflow::builder("review")
        .step(step("note", note))
        .step(step("approve", ask))
        .build()
        .unwrap();
    Workflow::builder("order")
        .step(step("price", same))
        .do_while(step("raise", add), |n: &u32| *n < 4)
        .parallel((step("left", same), step("right", add)))
        .step(step("collect", collect))
        .foreach(step("pack", pack))
        .step(step("sum", sum))
        .step(review)
        .step(step(
            "ship",
            |it: Value| async move { Ok::<_, StepError>(it) },
        ))
        .build()
        .unwrap()
}

/// Fails until somebody has mended it.
fn flaky(mended: Arc<AtomicBool>) -> Workflow {
    let call = move |_: Value| {
        let works = mended.load(Ordering::SeqCst);
        async move {
            match works {
                true => Ok("called"),
                false => Err(StepError::fail("Unreachable", "nobody\nis there")),
            }
        }
    };
    Workflow::builder("flaky")
        .step(step("call", call).retries(RetryPolicy::times(2)))
        .build()
        .unwrap()
}

/// Runs until it is cancelled.
fn slow() -> Workflow {
    let idle = |ctx: StepContext, _: Value| async move {
        ctx.cancelled().await;
        Err::<Value, _>(StepError::cancelled())
    };
    Workflow::builder("slow")
        .step(step("idle", idle))
        .build()
        .unwrap()
}

/// Two steps that wait at the same time.
fn pair() -> Workflow {
    let ask = |ctx: StepContext, _: Value| async move {
        match ctx.resumed::<Value>()? {
            Some(answer) => Ok(answer),
            None => Err(ctx.suspend("which?")),
        }
    };
    Workflow::builder("pair")
        .parallel((step("one", ask), step("two", ask)))
        .build()
        .unwrap()
}

/// Waits, and shows something when it goes on.
fn chatty() -> Workflow {
    let talk = |ctx: StepContext, _: Value| async move {
        let Some(word) = ctx.resumed::<String>()? else {
            return Err(ctx.suspend("a word?"));
        };
        ctx.write(&word).await?;
        Ok(word)
    };
    Workflow::builder("chatty")
        .step(step("talk", talk))
        .build()
        .unwrap()
}
