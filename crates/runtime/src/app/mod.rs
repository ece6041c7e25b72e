//! The application: bus, store and workers, wired together.

#[cfg(feature = "agent")]
mod agents;
mod builder;
mod handle;

use std::sync::Arc;

use bowline_events::{PubSub, Result};
use bowline_store::Store;
use bowline_workflow::schedule::{Scheduler, Schedules};
use bowline_workflow::{Engine, Run, RunPage, RunQuery, Workflow};

pub use builder::BowlineBuilder;
pub use handle::WorkflowHandle;

use crate::{OpenBus, Stores};

/// An application: what it consists of is wired, its workers run, and it hands out typed handles.
///
/// Runs survive `kill -9`: start the program again with the same store, and they go on where their last committed step ended.
/// With a store that survives, so do the events of runs, for watchers that come back.
///
/// ```
/// use bowline_runtime::Bowline;
/// use bowline_workflow::{StepError, Workflow};
///
/// async fn double(n: u32) -> Result<u32, StepError> {
///     Ok(n * 2)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let doubling = Workflow::builder("doubling").input::<u32>().step(double).build()?;
/// // `.store("sqlite:app.db")` for one that survives.
/// let app = Bowline::builder().store("memory:").workflow(doubling).start().await?;
/// let run = app.workflow("doubling")?.run(&21).await?;
/// assert_eq!(run.result().await?.output::<u32>()?, 42);
/// app.close().await?;
/// # Ok(())
/// # }
/// ```
///
#[cfg_attr(feature = "agent", doc = include_str!("agents.md"))]
/// Cheap to clone. Dropping it does not stop it; [`close`](Self::close) does.
#[derive(Debug, Clone)]
pub struct Bowline {
    bus: OpenBus,
    store: Arc<dyn Store>,
    stores: Stores,
    engine: Engine,
    #[cfg(feature = "agent")]
    agents: agents::Agents,
    scheduler: Option<Arc<Scheduler>>,
}

impl Bowline {
    /// Sets up an application.
    pub fn builder() -> BowlineBuilder {
        BowlineBuilder::default()
    }

    /// A handle on the workflow called `id`.
    ///
    /// # Errors
    /// `NotFound` when it was not given to the builder; the message names those that were.
    pub fn workflow(&self, id: &str) -> bowline_workflow::Result<WorkflowHandle> {
        WorkflowHandle::find(&self.engine, id)
    }

    /// The workflows that it was built with, by id.
    pub fn workflows(&self) -> Vec<Workflow> {
        self.engine.workflows()
    }

    /// A handle on a run, of whatever workflow.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub async fn run(&self, id: &str) -> bowline_workflow::Result<Run> {
        self.engine.run(id).await
    }

    /// The runs that `query` means.
    ///
    /// # Errors
    /// As [`Engine::runs`].
    pub async fn runs(&self, query: &RunQuery) -> bowline_workflow::Result<RunPage> {
        self.engine.runs(query).await
    }

    /// The schedules.
    pub fn schedules(&self) -> Schedules {
        self.engine.schedules()
    }

    /// What runs the workflows: resume, cancel, retry and travel are there.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The bus, with its cache.
    pub fn bus(&self) -> &dyn PubSub {
        self.bus.pubsub()
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Stops in order: schedules fire no more, workers take nothing and let steps end for a while, what is not done is given
    /// back for others, then bus and store are closed. Closing again is fine.
    ///
    /// # Errors
    /// The first error of bus and store; both are closed all the same.
    pub async fn close(&self) -> Result<()> {
        if let Some(scheduler) = &self.scheduler {
            scheduler.close().await;
        }
        #[cfg(feature = "agent")]
        let told = self.agents.close().await;
        #[cfg(not(feature = "agent"))]
        let told = Ok(());
        self.engine.close().await;
        let flushed = told.and(self.bus.pubsub().flush().await);
        let closed = self.bus.pubsub().close().await;
        let stores = self.stores.close().await;
        flushed.and(closed).and(stores)
    }
}
