//! Calling what an application wrote: a panic is a failure, and so is what takes too long or says too much.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::{ToolError, limit};
use crate::Data;

/// What `work` returns, as far as it may be passed on.
pub(super) async fn guarded(
    work: impl Future<Output = Result<Data, ToolError>>,
) -> Result<Data, ToolError> {
    // Nothing that it left half done is looked at after a panic.
    let result = match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(ToolError::fail("Panic", panic_text(panic.as_ref()))),
    };
    bounded(result)
}

/// What `work` returns within `time`.
pub(super) async fn within(
    time: Duration,
    work: impl Future<Output = Result<Data, ToolError>>,
) -> Result<Data, ToolError> {
    match tokio::time::timeout(time, work).await {
        Ok(result) => result,
        Err(_) => Err(ToolError::fail(
            "TimeoutError",
            format!("the tool did not end within {time:?}; ask it for less, or give it more time"),
        )),
    }
}

fn bounded(result: Result<Data, ToolError>) -> Result<Data, ToolError> {
    let (what, data, remedy) = match &result {
        Ok(data) => ("the result", data, "return less of it, or where it is"),
        Err(ToolError::Suspended(data)) => ("the suspend payload", data, "suspend with less"),
        Err(_) => return result.map_err(cut),
    };
    match limit::excess(what, data, remedy) {
        Some(message) => Err(ToolError::fail("ToolOutputError", message)),
        None => result,
    }
}

fn cut(error: ToolError) -> ToolError {
    match error {
        ToolError::Failed {
            name,
            message,
            source,
        } => ToolError::Failed {
            name,
            message: limit::cut(message),
            source,
        },
        other => other,
    }
}

pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let literal = panic.downcast_ref::<&'static str>().copied();
    let text = literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it panicked without a message").to_owned()
}
