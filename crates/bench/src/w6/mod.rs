//! W6: the workflow engine, on a store of this process and the in-process bus.

mod bed;
mod flow;
mod long;

use std::sync::Arc;
use std::time::Duration;

use bowline_store::{MemoryStore, SqliteStore, Store};

use crate::Result;
use crate::directory::Directory;
use crate::line::{Members, Outcome, Subject};
use crate::measurement::Measurement;
use crate::settings::Settings;
use crate::subject::run;
use bed::Bed;
use flow::{Flow, Shape};

/// The longest measurement of an iteration: the reference is measured for as long.
const FOREACH: Duration = Duration::from_secs(1);

/// Where the runs are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backend {
    Memory,
    /// A file, with its default options.
    Sqlite,
}

impl Backend {
    /// The store, and the directory of its file.
    async fn open(self) -> Result<(Arc<dyn Store>, Option<Directory>)> {
        match self {
            Self::Memory => Ok((Arc::new(MemoryStore::new()), None)),
            Self::Sqlite => {
                let directory = Directory::make("w6")?;
                let file = directory.path().join("runs.db");
                let store = SqliteStore::builder(file).open().await?;
                Ok((Arc::new(store), Some(directory)))
            }
        }
    }
}

async fn measure(
    settings: Settings,
    shape: Shape,
    width: usize,
    backend: Backend,
) -> Result<Outcome> {
    let (store, directory) = backend.open().await?;
    let bed = Arc::new(Bed::make(Flow::new(shape)?, store).await?);
    bed.runs(width, settings.warm_up).await?;
    let length = match shape {
        Shape::Foreach { .. } => settings.length.min(FOREACH),
        _ => settings.length,
    };
    let outcome = bed.measure(width, length, |extras| extras).await?;
    bed.close().await?;
    drop(directory);
    Ok(outcome)
}

fn measurement(name: &'static str, shape: Shape, width: usize, backend: Backend) -> Measurement {
    let params = Members::new()
        .with("concurrent_runs", width)
        .with("steps_per_run", shape.steps());
    let params = match shape {
        Shape::Foreach { items, width } => params.with("items", items).with("concurrency", width),
        _ => params,
    };
    Measurement::one(Subject::new(name, params), move |settings| {
        let measured = measure(settings.clone(), shape, width, backend);
        run(settings.flavor, measured)
    })
}

pub(crate) fn measurements() -> Vec<Measurement> {
    let linear = Shape::Linear(10);
    let memory = |name, shape, width| measurement(name, shape, width, Backend::Memory);
    let mut all = Vec::new();
    all.extend([1, 50].map(|width| memory("W6.linear10", linear, width)));
    all.push(memory("W6.parallel100", Shape::Parallel(100), 1));
    all.extend([10, 50, 100, 200, 1000].map(|items| {
        let shape = Shape::Foreach { items, width: 10 };
        memory("W6.foreach", shape, 1)
    }));
    all.extend([1000, 10_000].map(long::measurement));
    let sqlite = |width| measurement("W6.sqlite", linear, width, Backend::Sqlite);
    all.extend([1, 50].map(sqlite));
    all
}
