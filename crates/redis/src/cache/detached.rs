//! Work that goes on whether or not its caller looks.

use std::pin::Pin;
use std::task::{Context, Poll};

use bowline_events::{Error, ErrorKind, Result};
use tokio::task::JoinHandle;

/// Does `work` on a task of its own, which ends with this future.
///
/// A subscription that nobody reads from keeps its page under way: what such work holds (a permit, a turn, a place in a queue)
/// would be missing to all others.
pub(super) async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    match Task(tokio::spawn(work)).await {
        Ok(result) => result,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(ended) => {
                let message = "the runtime is shutting down";
                Err(Error::new(ErrorKind::Closed, "cache", message).with_source(ended))
            }
        },
    }
}

struct Task<T>(JoinHandle<T>);

impl<T> Future for Task<T> {
    type Output = Result<T, tokio::task::JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
