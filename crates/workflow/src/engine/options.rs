//! How an engine works.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::Text;

use crate::{Clock, SystemClock};

/// How an [`Engine`](super::Engine) works. Every limit has its default here.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// What the names of the topics of its own begin with.
    pub(crate) namespace: Text,
    /// Whether it runs steps, or only starts and watches runs that others run.
    pub(crate) workers: bool,
    /// Runs that it works on at a time.
    pub(crate) max_runs: usize,
    /// How long the others wait before they take over from a process that is silent.
    pub(crate) lease: Duration,
    /// How often it looks for runs that nobody has told it of.
    pub(crate) poll: Duration,
    /// A run that sleeps longer than this leaves the memory meanwhile.
    pub(crate) park_after: Duration,
    /// How long the events of a run are kept after its end.
    pub(crate) watch_retention: Duration,
    /// How long the record of a run is kept after its end.
    pub(crate) run_retention: Duration,
    /// How long steps may take to end when the engine is closed.
    pub(crate) drain: Duration,
    /// What tells the time of day.
    pub(crate) clock: Arc<dyn Clock>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            namespace: "rs.".into(),
            workers: true,
            max_runs: 1024,
            lease: Duration::from_secs(10),
            poll: Duration::from_secs(1),
            park_after: Duration::from_secs(1),
            watch_retention: Duration::from_secs(30),
            run_retention: Duration::from_secs(24 * 60 * 60),
            drain: Duration::from_secs(5),
            clock: Arc::new(SystemClock),
        }
    }
}
