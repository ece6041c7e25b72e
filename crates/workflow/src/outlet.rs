//! What a run tells on topics of its own.

use std::fmt;

use bowline_events::{Text, Topic};
use bowline_store::Table;

use crate::Data;

/// What the runs of a workflow tell on topics of their own, besides or instead of the watch events.
///
/// It is told after the moment was committed to the store: in order, at least once, and not again after a crash if the bus keeps
/// what was told before. Whoever goes on with a run works out anew what was told, so [`tell`](Self::tell) must be a pure function:
/// for the same moment the same announcements, today, tomorrow and in another process.
///
/// ```
/// use bowline_workflow::outlet::{Announcement, Moment, Outlet, Scene};
/// use bowline_workflow::{StepError, Topic, Workflow};
///
/// struct Reports;
///
/// impl Outlet for Reports {
///     fn topics(&self, run_id: &str) -> Vec<Topic> {
///         vec![Topic::new(format!("reports.{run_id}"))]
///     }
///
///     fn tell(&self, scene: &Scene<'_>) -> Vec<Announcement> {
///         let topic = Topic::new(format!("reports.{}", scene.run_id()));
///         match scene.moment() {
///             Moment::Succeeded(result) => vec![Announcement::new(topic, "done", result.clone())],
///             _ => Vec::new(),
///         }
///     }
/// }
///
/// async fn count(text: String) -> Result<usize, StepError> { Ok(text.len()) }
/// Workflow::builder("counting").input::<String>().outlet(Reports).step(count).build()?;
/// # Ok::<(), bowline_workflow::Error>(())
/// ```
pub trait Outlet: Send + Sync + 'static {
    /// The topics that it tells on. They are cleared together with the watch events of the run.
    fn topics(&self, run_id: &str) -> Vec<Topic>;

    /// What the steps of a run keep beside it in the store of the engine: tables and keys. The records and logs of these names are
    /// removed together with the run, when its retention is over. None unless said.
    fn records(&self, run_id: &str) -> Vec<(Table, Text)> {
        let _ = run_id;
        Vec::new()
    }

    /// What is to be told of a moment. It must not panic.
    fn tell(&self, scene: &Scene<'_>) -> Vec<Announcement>;
}

/// A run at a moment that may be told.
#[derive(Debug)]
pub struct Scene<'a> {
    pub(crate) run_id: &'a Text,
    pub(crate) input: &'a Data,
    pub(crate) state: Data,
    pub(crate) moment: Moment<'a>,
}

/// What happened to a run.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Moment<'a> {
    /// A step waits for somebody.
    Suspended {
        /// The id of the step.
        step: &'a Text,
        /// What it suspended with.
        payload: &'a Data,
    },
    /// It ended well, with this result.
    Succeeded(&'a Data),
    /// It failed.
    Failed {
        /// The error: an object with `message` and `name`.
        error: &'a Data,
        /// The tripwire that stopped it, if one did.
        tripwire: Option<&'a Data>,
    },
    /// It was cancelled.
    Canceled,
}

impl<'a> Scene<'a> {
    /// The id of the run.
    pub fn run_id(&self) -> &'a Text {
        self.run_id
    }

    /// What the run got.
    pub fn input(&self) -> &'a Data {
        self.input
    }

    /// The state, with what the steps of nested workflows that are under way have set.
    pub fn state(&self) -> &Data {
        &self.state
    }

    /// What happened.
    pub fn moment(&self) -> Moment<'a> {
        self.moment
    }
}

/// An event that is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    pub(crate) topic: Topic,
    pub(crate) event_type: Text,
    pub(crate) data: Data,
}

impl Announcement {
    /// An event of a type, with data, for the run that it is told of.
    pub fn new(topic: Topic, event_type: impl Into<Text>, data: Data) -> Self {
        Self {
            topic,
            event_type: event_type.into(),
            data,
        }
    }
}

impl fmt::Debug for dyn Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outlet")
    }
}
