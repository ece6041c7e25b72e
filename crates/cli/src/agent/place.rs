//! The application that a command about agents works in.

use std::time::Duration;

use bowline_agent::{AgentRuns, DurableAgentBuilder};
use bowline_events::OpFuture;
use bowline_runtime::{Bowline, BusConfig, Settings, StoreConfig};

use crate::args::StoreArgs;
use crate::bus::{self, within};
use crate::outcome::Failure;
use crate::store::{check, require};

/// How long a call of a model or a tool may take to end when the command is told to. It is made again elsewhere.
const DRAIN: Duration = Duration::from_millis(300);

/// An application, and what is known of it.
pub(super) struct Place {
    pub(super) app: Bowline,
    /// Whether the bus reaches other processes.
    pub(super) is_shared: bool,
}

/// What the flags, the environment and the file say.
pub(super) fn settings(args: &StoreArgs) -> Result<Settings, Failure> {
    let sources = bus::sources(&args.bus).store_flag(args.store.as_deref());
    Ok(sources.load()?)
}

/// Whether what is in the store outlives this process.
pub(super) fn is_durable(settings: &Settings) -> bool {
    match settings.store() {
        None | Some(StoreConfig::Memory) => false,
        Some(StoreConfig::Sqlite(config)) => !config.is_in_memory(),
        Some(_) => true,
    }
}

impl Place {
    /// One that reads and steers runs in a store that is there, and works on none.
    pub(super) async fn to_look(settings: &Settings) -> Result<Self, Failure> {
        check(require(settings)?).await?;
        Self::open(settings, None, false).await
    }

    /// One that has `agent`, in a store that is there, and leaves its runs to others.
    pub(super) async fn to_talk(
        settings: &Settings,
        agent: DurableAgentBuilder,
    ) -> Result<Self, Failure> {
        check(require(settings)?).await?;
        Self::open(settings, Some(agent), false).await
    }

    /// One that works on the runs of `agent`.
    pub(super) async fn to_work(
        settings: &Settings,
        agent: DurableAgentBuilder,
    ) -> Result<Self, Failure> {
        Self::open(settings, Some(agent), true).await
    }

    async fn open(
        settings: &Settings,
        agent: Option<DurableAgentBuilder>,
        works: bool,
    ) -> Result<Self, Failure> {
        let builder = Bowline::builder()
            .settings(settings)
            .workers(works)
            .drain(DRAIN);
        let builder = match agent {
            Some(agent) => builder.agent(agent),
            None => builder,
        };
        let is_shared = settings
            .bus()
            .is_ok_and(|bus| !matches!(bus, BusConfig::Memory(_)));
        Ok(Self {
            app: builder.start().await?,
            is_shared,
        })
    }

    pub(super) fn runs(&self) -> AgentRuns {
        self.app.agent_runs()
    }

    /// Closes everything, but does not wait for ever.
    pub(super) async fn close(&self) -> Result<(), Failure> {
        within(OpFuture::new(self.app.close()), "close bus and store").await
    }
}
