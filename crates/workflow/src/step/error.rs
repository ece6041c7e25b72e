//! Why a step did not return.

use std::error::Error as StdError;
use std::fmt;

use bowline_events::Text;
use serde::Serialize;

use crate::Data;
use crate::json::Writer;
use crate::machine::{Failure, Outcome, Suspension};

/// How many causes of an error are kept; a chain can be endless.
const MAX_CAUSES: usize = 16;

/// Why a step did not return: it failed, or it waits for somebody, ends the workflow, or gives up.
///
/// Every error of the standard kind becomes one with `?`; therefore it is not one itself.
///
/// ```
/// use bowline_workflow::StepError;
///
/// async fn parse(text: String) -> Result<u32, StepError> {
///     if text.is_empty() {
///         return Err(StepError::fail("Empty", "there is nothing to read").no_retry());
///     }
///     Ok(text.parse()?)
/// }
/// # fn main() {}
/// ```
pub struct StepError(Box<End>);

enum End {
    Failed(Failed),
    Suspended(Suspension),
    Bailed(Data),
    Cancelled,
}

struct Failed {
    name: Text,
    message: String,
    code: Option<Text>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    last: bool,
    tripwire: Option<Data>,
}

impl StepError {
    /// A failure with a name, by which programs tell failures apart, and a message for people.
    pub fn fail(name: impl Into<Text>, message: impl Into<String>) -> Self {
        Self(Box::new(End::Failed(Failed {
            name: name.into(),
            message: message.into(),
            code: None,
            source: None,
            last: false,
            tripwire: None,
        })))
    }

    /// Something that must not go on: the run ends with the status `tripwire`, and the step is not tried again.
    pub fn tripwire(tripwire: impl Into<Tripwire>) -> Self {
        let tripwire = tripwire.into();
        let json = tripwire.to_data();
        let mut error = Self::fail("Error", tripwire.reason).no_retry();
        if let End::Failed(failed) = &mut *error.0 {
            failed.tripwire = Some(json);
        }
        error
    }

    /// The step gives up because the run was cancelled. In a run that was not, it is a failure that is not tried again.
    pub fn cancelled() -> Self {
        Self(Box::new(End::Cancelled))
    }

    pub(crate) fn suspended(payload: Data, labels: Vec<String>) -> Self {
        Self(Box::new(End::Suspended(Suspension { payload, labels })))
    }

    pub(crate) fn bailed(output: Data) -> Self {
        Self(Box::new(End::Bailed(output)))
    }

    /// Trying again cannot help: no further attempt, whatever the policy says. Changes only failures.
    #[must_use]
    pub fn no_retry(mut self) -> Self {
        if let End::Failed(failed) = &mut *self.0 {
            failed.last = true;
        }
        self
    }

    /// A code, the member `code` of the error on the wire. Changes only failures.
    #[must_use]
    pub fn code(mut self, code: impl Into<Text>) -> Self {
        if let End::Failed(failed) = &mut *self.0 {
            failed.code = Some(code.into());
        }
        self
    }

    /// Keeps the cause, the member `cause` of the error on the wire. Changes only failures.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        if let End::Failed(failed) = &mut *self.0 {
            failed.source = Some(cause.into());
        }
        self
    }

    /// Whether it is a failure; otherwise it suspends, bails or gives up.
    pub fn is_failure(&self) -> bool {
        matches!(*self.0, End::Failed(_))
    }

    /// What the step suspends with, if it does.
    pub fn suspension(&self) -> Option<&Data> {
        match &*self.0 {
            End::Suspended(suspension) => Some(&suspension.payload),
            _ => None,
        }
    }

    pub(crate) fn into_outcome(self) -> Outcome {
        match *self.0 {
            End::Failed(failed) => Outcome::Failed(failed.into_failure()),
            End::Suspended(suspension) => Outcome::Suspended(suspension),
            End::Bailed(output) => Outcome::Bailed(output),
            End::Cancelled => Outcome::Canceled,
        }
    }
}

impl Failed {
    fn into_failure(self) -> Failure {
        let mut json = Writer::object();
        json.text("message", &self.message).text("name", &self.name);
        if let Some(code) = &self.code {
            json.text("code", code);
        }
        if let Some(source) = &self.source {
            json.nested("cause", |json| write_cause(json, source.as_ref(), 1));
        }
        Failure {
            error: Data::made(json.end()),
            last: self.last,
            tripwire: self.tripwire,
        }
    }
}

fn write_cause(json: &mut Writer, cause: &(dyn StdError + 'static), depth: usize) {
    json.text("message", &cause.to_string())
        .text("name", "Error");
    if depth < MAX_CAUSES
        && let Some(next) = cause.source()
    {
        json.nested("cause", |json| write_cause(json, next, depth + 1));
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for StepError {
    fn from(error: E) -> Self {
        let known = (&error as &(dyn StdError + 'static)).downcast_ref::<crate::Error>();
        let code = known.and_then(crate::Error::code);
        let mut failed = Failed {
            name: "Error".into(),
            message: error.to_string(),
            code: code.map(Text::from),
            source: None,
            last: false,
            tripwire: None,
        };
        if error.source().is_some() {
            failed.source = Some(Box::new(Beneath(Box::new(error))));
        }
        Self(Box::new(End::Failed(failed)))
    }
}

/// The cause of an error that is owned together with it.
#[derive(Debug)]
struct Beneath(Box<dyn StdError + Send + Sync>);

impl Beneath {
    fn cause(&self) -> &(dyn StdError + 'static) {
        self.0.source().unwrap_or_else(|| self.0.as_ref())
    }
}

impl fmt::Display for Beneath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.cause(), f)
    }
}

impl StdError for Beneath {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause().source()
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            End::Failed(failed) => write!(f, "{}: {}", failed.name, failed.message),
            End::Suspended(_) => f.write_str("the step waits to be resumed"),
            End::Bailed(_) => f.write_str("the step ends the workflow"),
            End::Cancelled => f.write_str("the step gave up because the run was cancelled"),
        }
    }
}

impl fmt::Debug for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            End::Failed(failed) => f
                .debug_struct("StepError")
                .field("name", &failed.name)
                .field("message", &failed.message)
                .field("code", &failed.code)
                .field("source", &failed.source)
                .field("last", &failed.last)
                .field("tripwire", &failed.tripwire)
                .finish(),
            End::Suspended(suspension) => f.debug_tuple("Suspended").field(suspension).finish(),
            End::Bailed(output) => f.debug_tuple("Bailed").field(output).finish(),
            End::Cancelled => f.write_str("Cancelled"),
        }
    }
}

/// What a guard says when it stops a run.
#[derive(Debug, Clone)]
pub struct Tripwire {
    reason: String,
    retry: Option<bool>,
    metadata: Option<Data>,
    processor: Option<Text>,
}

impl Tripwire {
    /// Stops the run for this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            retry: None,
            metadata: None,
            processor: None,
        }
    }

    /// Whether whoever asked may ask again.
    #[must_use]
    pub fn retry(mut self, retry: bool) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Anything else about it.
    ///
    /// # Errors
    /// `InvalidInput` when it has no JSON.
    pub fn metadata<T: Serialize + ?Sized>(mut self, metadata: &T) -> crate::Result<Self> {
        self.metadata = Some(Data::of(metadata)?);
        Ok(self)
    }

    /// The id of the guard.
    #[must_use]
    pub fn processor(mut self, id: impl Into<Text>) -> Self {
        self.processor = Some(id.into());
        self
    }

    fn to_data(&self) -> Data {
        let mut json = Writer::object();
        json.text("reason", &self.reason);
        if let Some(retry) = self.retry {
            json.raw("retry", if retry { "true" } else { "false" });
        }
        json.optional("metadata", self.metadata.as_ref());
        if let Some(id) = &self.processor {
            json.text("processorId", id);
        }
        Data::made(json.end())
    }
}

impl From<&str> for Tripwire {
    fn from(reason: &str) -> Self {
        Self::new(reason)
    }
}

impl From<String> for Tripwire {
    fn from(reason: String) -> Self {
        Self::new(reason)
    }
}
