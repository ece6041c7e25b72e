//! Several operations on their way at once, begun in their order.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::{OpFuture, Result};

/// Begins all `operations` in their order, and is done when all are. For a backend whose operations take effect in the order in which
/// their futures are polled first.
///
/// # Errors
/// The first failure in the order of the operations; those behind it have taken effect or not.
pub fn pipeline<'a, T: Send + 'a>(operations: Vec<OpFuture<'a, T>>) -> OpFuture<'a, Vec<T>> {
    let mut this = Pipeline {
        results: Vec::with_capacity(operations.len()),
        operations: operations.into_iter().map(Some).collect(),
        front: 0,
        failed: None,
        begun: false,
    };
    OpFuture::new(poll_fn(move |cx| this.poll(cx)))
}

struct Pipeline<'a, T> {
    /// `None`: done, but not in its turn yet.
    operations: Vec<Option<OpFuture<'a, T>>>,
    results: Vec<Option<Result<T>>>,
    /// The first that is not done.
    front: usize,
    failed: Option<crate::Error>,
    begun: bool,
}

impl<T> Pipeline<'_, T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<T>>> {
        if !self.begun {
            self.begun = true;
            for operation in &mut self.operations {
                let result = poll_one(operation, cx);
                self.results.push(result);
            }
        }
        while self.front < self.operations.len() {
            let (operation, result) = (
                &mut self.operations[self.front],
                &mut self.results[self.front],
            );
            // Whoever is behind is looked at when it is its turn; until then only the first one's waker counts.
            if result.is_none() {
                *result = poll_one(operation, cx);
            }
            if result.is_none() {
                return Poll::Pending;
            }
            self.front += 1;
        }
        let mut done = Vec::with_capacity(self.results.len());
        for result in self.results.drain(..).flatten() {
            match result {
                Ok(value) => done.push(value),
                Err(error) => {
                    self.failed.get_or_insert(error);
                }
            }
        }
        Poll::Ready(self.failed.take().map_or(Ok(done), Err))
    }
}

fn poll_one<T>(operation: &mut Option<OpFuture<'_, T>>, cx: &mut Context<'_>) -> Option<Result<T>> {
    match Pin::new(operation.as_mut()?).poll(cx) {
        Poll::Ready(result) => {
            *operation = None;
            Some(result)
        }
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{Error, ErrorKind};

    #[tokio::test]
    async fn all_are_begun_in_their_order_and_the_first_failure_counts() {
        let begun = Arc::new(Mutex::new(Vec::new()));
        let operation = |n: usize| {
            let begun = Arc::clone(&begun);
            OpFuture::new(async move {
                begun.lock().unwrap().push(n);
                // The later ones are done first.
                for _ in n..8 {
                    tokio::task::yield_now().await;
                }
                Ok(n)
            })
        };
        let done = pipeline((0..8).map(operation).collect()).await.unwrap();
        assert_eq!(done, (0..8).collect::<Vec<_>>());
        assert_eq!(*begun.lock().unwrap(), done);
        assert!(pipeline::<u8>(Vec::new()).await.unwrap().is_empty());
        let failing = |name: &'static str| {
            OpFuture::<u8>::ready(Err(Error::new(ErrorKind::Full, "publish", name)))
        };
        let results = vec![OpFuture::ready(Ok(1)), failing("first"), failing("second")];
        let error = pipeline(results).await.unwrap_err();
        assert_eq!(error.message(), "first");
    }
}
