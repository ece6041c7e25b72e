//! Waiting with a deadline, so that a broken server fails a test instead of hanging it.

use std::future::Future;
use std::time::Duration;

use crate::{Error, Result};

/// How long any single wait of the test kit may last.
pub const PATIENCE: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(5);

/// `work`, or an error that names `what` after [`PATIENCE`].
pub(crate) async fn within<T>(what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::new(format!("{what}: nothing within {PATIENCE:?}"))),
    }
}

/// Asks `check` every few milliseconds until it answers something.
pub(crate) async fn until<T>(
    what: &str,
    mut check: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    within(what, async {
        loop {
            if let Some(found) = check().await? {
                return Ok(found);
            }
            tokio::time::sleep(POLL).await;
        }
    })
    .await
}
