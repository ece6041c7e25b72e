//! Waiting for whichever comes first.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Which of two futures was ready.
#[derive(Debug)]
pub(crate) enum First<A, B> {
    Left(A),
    Right(B),
}

/// Waits for one of two futures; the other is dropped.
///
/// They take turns in being polled first, `left` begins. Otherwise one that always has something to do would use up the budget
/// that the runtime gives a task, and the other would never get anywhere.
pub(crate) async fn first<A, B>(
    left: impl Future<Output = A>,
    right: impl Future<Output = B>,
) -> First<A, B> {
    let mut left = pin!(left);
    let mut right = pin!(right);
    let mut left_begins = false;
    poll_fn(|cx| {
        left_begins = !left_begins;
        if left_begins && let Poll::Ready(value) = left.as_mut().poll(cx) {
            return Poll::Ready(First::Left(value));
        }
        if let Poll::Ready(value) = right.as_mut().poll(cx) {
            return Poll::Ready(First::Right(value));
        }
        if left_begins {
            return Poll::Pending;
        }
        left.as_mut().poll(cx).map(First::Left)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::task::coop::consume_budget;

    #[tokio::test]
    async fn a_busy_future_does_not_starve_the_other() {
        let busy = async {
            loop {
                consume_budget().await;
            }
        };
        let modest = async {
            for _ in 0..1000 {
                consume_budget().await;
            }
        };
        let race = first(first(busy, std::future::pending::<()>()), modest);
        let won: First<First<(), ()>, ()> = tokio::time::timeout(Duration::from_secs(10), race)
            .await
            .expect("the modest one gets there");
        assert!(matches!(won, First::Right(())));
    }
}
