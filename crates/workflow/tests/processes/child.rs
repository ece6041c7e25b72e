//! What this program does when a test starts it once more: it works on the runs in a store until it is killed.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bowline_events::{InProcessPubSub, PubSub};
use bowline_redis::RedisStreamsPubSub;
use bowline_store::Store;
use bowline_workflow::{Engine, RetryPolicy, StepContext, StepError, Workflow, step};
use futures_util::future::BoxFuture;

const FOLDER: &str = "BOWLINE_WORKFLOW_TEST_FOLDER";

/// The workflow, and the elements of its array.
pub(crate) const WORKFLOW: &str = "work";
pub(crate) const ITEMS: u64 = 6;
/// A process may be killed more often than that while a step runs.
const MAX_CRASHES: u32 = 1000;

pub(crate) fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// This program, working on what is in `folder`.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// Where the store and the bus of a test are, by their URLs.
pub(crate) struct Place {
    pub(crate) store: String,
    pub(crate) bus: String,
}

impl Place {
    /// A file, and a bus in every process.
    pub(crate) fn file(folder: &Path) -> Self {
        Self {
            store: format!("sqlite:{}", folder.join("store.db").display()),
            bus: "memory:".to_owned(),
        }
    }

    /// Tells the processes in `folder`.
    pub(crate) fn tell(&self, folder: &Path) {
        let text = format!("{}\n{}\n", self.store, self.bus);
        std::fs::write(folder.join("place"), text).unwrap();
    }

    fn told(folder: &Path) -> Self {
        let text = std::fs::read_to_string(folder.join("place")).unwrap();
        let mut lines = text.lines().map(str::to_owned);
        Self {
            store: lines.next().unwrap(),
            bus: lines.next().unwrap(),
        }
    }
}

/// A line for every execution of a step: the run and the step.
pub(crate) fn effects(folder: &Path) -> PathBuf {
    folder.join("effects")
}

pub(crate) fn work(folder: &Path) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let _engine = engine(folder, true).await;
        std::future::pending::<()>().await;
    });
    ExitCode::FAILURE
}

/// An engine on what is in `folder`.
pub(crate) async fn engine(folder: &Path, workers: bool) -> (Engine, Arc<dyn Store>) {
    let place = Place::told(folder);
    let store = bowline_store::open(&place.store).await.unwrap();
    let bus: Arc<dyn PubSub> = match place.bus.as_str() {
        "memory:" => Arc::new(InProcessPubSub::new()),
        url => Arc::new(RedisStreamsPubSub::new(url).unwrap()),
    };
    let engine = Engine::builder(Arc::clone(&store), bus)
        .workers(workers)
        .workflow(workflow(folder))
        .lease(Duration::from_millis(400))
        .poll(Duration::from_millis(30))
        .park_after(Duration::from_millis(10))
        .start()
        .await
        .unwrap();
    (engine, store)
}

type Adds =
    Arc<dyn Fn(StepContext, u64) -> BoxFuture<'static, Result<u64, StepError>> + Send + Sync>;

/// A step that takes a moment, adds 1, and is written down when it begins.
fn adds(folder: &Path) -> Adds {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(effects(folder));
    let file: Arc<File> = Arc::new(file.unwrap());
    Arc::new(move |ctx: StepContext, n: u64| {
        let file = Arc::clone(&file);
        Box::pin(async move {
            let index = ctx.index().map_or(String::new(), |i| format!("[{i}]"));
            let line = format!("{} {}{index}\n", ctx.root_run_id(), ctx.step_id());
            // One write of few bytes to a file that is opened for appending is there as a whole or not at all.
            (&*file).write_all(line.as_bytes()).unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
            Ok(n + 1)
        })
    })
}

fn workflow(folder: &Path) -> Workflow {
    let adds = adds(folder);
    let add = || {
        let adds = Arc::clone(&adds);
        move |ctx: StepContext, n: u64| adds(ctx, n)
    };
    let flaky = {
        let adds = Arc::clone(&adds);
        move |ctx: StepContext, n: u64| {
            let adds = Arc::clone(&adds);
            async move {
                let done = adds(ctx.clone(), n).await?;
                match ctx.attempt() {
                    0 => Err(StepError::fail("Flaky", "not yet")),
                    _ => Ok(done),
                }
            }
        }
    };
    Workflow::builder(WORKFLOW)
        .max_crashes(MAX_CRASHES)
        .retries(RetryPolicy::times(1).delay(Duration::from_millis(1)))
        .input::<u64>()
        .step(step("first", add()))
        .step(step("flaky", flaky))
        .map(|n: u64| async move { Ok::<_, StepError>(vec![n; usize::try_from(ITEMS).unwrap()]) })
        .foreach(step("each", add()))
        .concurrency(3)
        .map(|all: Vec<u64>| async move { Ok::<_, StepError>(all.iter().sum::<u64>()) })
        .sleep(Duration::from_millis(15))
        .step(step("last", add()))
        .build()
        .unwrap()
}
