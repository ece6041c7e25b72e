//! The connection that hears of the commits of other processes.

use std::sync::Weak;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio_postgres::{AsyncMessage, Config};

use super::tls::Tls;
use crate::watch::Watchers;

/// Pause before a connection that broke is made again.
const PAUSE: Duration = Duration::from_millis(500);

/// Wakes the watchers after commits of anybody, until the last handle of the store is gone or the store is closed.
pub(super) async fn listen(config: Config, tls: Tls, channel: String, watchers: Weak<Watchers>) {
    while watchers
        .upgrade()
        .is_some_and(|watchers| !watchers.is_closed())
    {
        if let Err(error) = session(&config, &tls, &channel, &watchers).await {
            tracing::warn!(%error, "commits of other processes wake nobody until the connection is made again");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn session(
    config: &Config,
    tls: &Tls,
    channel: &str,
    watchers: &Weak<Watchers>,
) -> Result<(), tokio_postgres::Error> {
    let (client, mut connection) = config.connect(tls.clone()).await?;
    let mut messages = futures_util::stream::poll_fn(move |cx| connection.poll_message(cx));
    let listen = format!("LISTEN \"{channel}\"");
    let listening = client.batch_execute(&listen);
    let mut listening = std::pin::pin!(async {
        listening.await?;
        // What happened while there was no connection.
        if let Some(watchers) = watchers.upgrade() {
            watchers.touch_all();
        }
        std::future::pending::<Result<(), tokio_postgres::Error>>().await
    });
    loop {
        let message = tokio::select! {
            failed = &mut listening => return failed,
            message = messages.next() => message,
        };
        let Some(watchers) = watchers.upgrade().filter(|it| !it.is_closed()) else {
            return Ok(());
        };
        match message {
            Some(Ok(AsyncMessage::Notification(told))) => watchers.touch_table(told.payload()),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error),
            None => return Ok(()),
        }
    }
}
