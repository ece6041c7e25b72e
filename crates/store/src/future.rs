//! The future of a store operation.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::Result;

/// What a [`Store`](crate::Store) method returns: a future that costs no allocation when the result is already known.
///
/// An operation that was already done when the future was made ([`StoreFuture::ready`]) stays done if the future is dropped.
/// Polling takes part in Tokio's cooperative budget, so a loop that awaits only ready operations still lets other tasks run.
#[must_use = "futures do nothing unless awaited"]
pub struct StoreFuture<'a, T>(State<'a, T>);

enum State<'a, T> {
    Ready(Option<Result<T>>),
    Pending(Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>),
}

impl<'a, T> StoreFuture<'a, T> {
    /// A future that is done.
    pub fn ready(result: Result<T>) -> Self {
        Self(State::Ready(Some(result)))
    }

    /// A future that has work to do.
    pub fn new(future: impl Future<Output = Result<T>> + Send + 'a) -> Self {
        Self(State::Pending(Box::pin(future)))
    }

    /// The result, if it is known already; otherwise the future back.
    ///
    /// # Errors
    /// The future itself, when there is work left.
    pub fn now_or_self(self) -> std::result::Result<Result<T>, Self> {
        match self.0 {
            State::Ready(Some(result)) => Ok(result),
            state => Err(Self(state)),
        }
    }
}

impl<T> Unpin for StoreFuture<'_, T> {}

impl<T> Future for StoreFuture<'_, T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            State::Pending(future) => future.as_mut().poll(cx),
            State::Ready(result) => {
                let turn = ready!(tokio::task::coop::poll_proceed(cx));
                turn.made_progress();
                // Polling a finished future again never happens through `.await`; pending is the harmless answer.
                result.take().map_or(Poll::Pending, Poll::Ready)
            }
        }
    }
}

impl<T> fmt::Debug for StoreFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.0 {
            State::Ready(_) => "Ready",
            State::Pending(_) => "Pending",
        };
        f.debug_tuple("StoreFuture").field(&state).finish()
    }
}
