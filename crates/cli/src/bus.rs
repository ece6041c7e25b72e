//! The bus that a command works on.

use std::time::Duration;

use bowline_events::{OpFuture, PubSub};
use bowline_runtime::{BusConfig, OpenBus, Settings, Sources};

use crate::args::BusArgs;
use crate::outcome::Failure;

/// How long a command that is done waits for the bus to let go.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// What the flags, the environment and the file say.
pub(crate) fn settings(args: &BusArgs) -> Result<Settings, Failure> {
    let settings = Sources::of_process()
        .flag(args.bus.as_deref())
        .cache_flag(args.cache.as_deref())
        .file(args.config.as_deref())
        .load()?;
    Ok(settings)
}

/// Opens the bus that is configured.
pub(crate) fn open(args: &BusArgs) -> Result<OpenBus, Failure> {
    open_settings(&settings(args)?)
}

/// Opens the bus of `settings`.
pub(crate) fn open_settings(settings: &Settings) -> Result<OpenBus, Failure> {
    let config = settings.bus()?;
    if matches!(config, BusConfig::Memory(_)) {
        note(
            "a memory bus ends with this process and no other process sees it; use unix:///absolute/path.sock to share one",
        );
    }
    Ok(OpenBus::of_settings(settings)?)
}

/// Closes `bus`, but does not wait for ever.
pub(crate) async fn close(bus: &dyn PubSub) -> Result<(), Failure> {
    within(bus.close(), "close the bus").await
}

/// Waits for `operation` as long as a command that is done may.
pub(crate) async fn within(operation: OpFuture<'_, ()>, what: &str) -> Result<(), Failure> {
    match tokio::time::timeout(CLOSE_WITHIN, operation).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Failure::failed(format!(
            "could not {what} within {} s; look for a process that stands still with bowline doctor",
            CLOSE_WITHIN.as_secs()
        ))),
    }
}

/// Tells something that is no result and no failure.
pub(crate) fn note(message: impl std::fmt::Display) {
    eprintln!("bowline: note: {message}");
}
