//! Events of the reference's engine about runs as a whole.

use bowline_events::{Dialect, Event, NewEvent, Payload, PubSub, PublishOptions, Topic};

use super::members::Members;
use crate::{Data, Error, ErrorKind, Result};

pub(super) const START: &str = "workflow.start";
pub(super) const RESUME: &str = "workflow.resume";
pub(super) const CANCEL: &str = "workflow.cancel";
pub(super) const END: &str = "workflow.end";
pub(super) const FAIL: &str = "workflow.fail";
pub(super) const SUSPEND: &str = "workflow.suspend";

/// The data of an event; `None` when it is no object.
pub(super) fn data_of(event: &Event) -> Option<Members> {
    let json = event.data.to_json_in(Dialect::Plain).ok()?;
    serde_json::from_slice(&json).ok()
}

/// Publishes an event about the run `run`.
pub(super) async fn publish(
    bus: &dyn PubSub,
    topic: &Topic,
    kind: &'static str,
    run: &str,
    data: &Data,
) -> Result<()> {
    let json = data.as_str().to_owned();
    let payload = Payload::from_valid_json(json.into(), Dialect::Plain);
    let event = NewEvent::new(kind, run.to_owned()).with_data(payload);
    let published = bus.publish_with(topic, event, PublishOptions::default());
    let published = published.await.map(|_| ());
    published.map_err(|error| failed("publish", run, error))
}

/// A failure of the bus.
pub(super) fn failed(
    operation: &'static str,
    subject: &str,
    error: bowline_events::Error,
) -> Error {
    let message = error.to_string();
    Error::new(ErrorKind::Bus, operation, message)
        .with_subject(subject.to_owned())
        .with_source(error)
}
