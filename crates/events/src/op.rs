//! The future of a bus operation.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::Error;

/// What a [`PubSub`](crate::PubSub) method returns: a future that costs no allocation when the result is already known. Layers
/// with an error of their own name it.
///
/// An operation that was already done when the future was made ([`OpFuture::ready`]) stays done if the future is dropped.
/// Polling takes part in Tokio's cooperative budget, so a loop that awaits only ready operations still lets other tasks run.
#[must_use = "futures do nothing unless awaited"]
pub struct OpFuture<'a, T, E = Error>(State<'a, T, E>);

enum State<'a, T, E> {
    Ready(Option<Result<T, E>>),
    Pending(Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>),
}

impl<'a, T, E> OpFuture<'a, T, E> {
    /// A future that is done.
    pub fn ready(result: Result<T, E>) -> Self {
        Self(State::Ready(Some(result)))
    }

    /// A future that has work to do.
    pub fn new(future: impl Future<Output = Result<T, E>> + Send + 'a) -> Self {
        Self(State::Pending(Box::pin(future)))
    }

    /// The result, if it is known already; otherwise the future back.
    ///
    /// # Errors
    /// The future itself, when there is work left.
    pub fn now_or_self(self) -> Result<Result<T, E>, Self> {
        match self.0 {
            State::Ready(Some(result)) => Ok(result),
            state => Err(Self(state)),
        }
    }
}

impl<T, E> Unpin for OpFuture<'_, T, E> {}

impl<T, E> Future for OpFuture<'_, T, E> {
    type Output = Result<T, E>;

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

impl<T, E> fmt::Debug for OpFuture<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.0 {
            State::Ready(_) => "Ready",
            State::Pending(_) => "Pending",
        };
        f.debug_tuple("OpFuture").field(&state).finish()
    }
}
