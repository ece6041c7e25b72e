//! Requests on a connection of the client library, without a bus: what there is to reach.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, RedisResult, Value};

use crate::Result;

/// Requests that may wait to be written: more than any measurement has under way.
const PIPELINE: usize = 1024;

/// Appends the same entry again and again, as a publish does.
#[derive(Clone)]
pub(crate) struct Bare {
    connection: MultiplexedConnection,
    append: Arc<Cmd>,
}

impl Bare {
    /// Appends `entry` to the stream `key`, which is kept at about `cap` entries; 0 for no cap.
    pub(crate) async fn connect(url: &str, key: &str, cap: u64, entry: &[u8]) -> Result<Self> {
        Ok(Self {
            connection: connect(url).await?,
            append: Arc::new(append(key, cap, entry)),
        })
    }

    /// Appends the entry once.
    pub(crate) async fn append(&self) -> RedisResult<Value> {
        let mut connection = self.connection.clone();
        connection.send_packed_command(&self.append).await
    }
}

/// Appends `entry` to the stream `key`, which is kept at about `cap` entries; 0 for no cap.
pub(super) fn append(key: &str, cap: u64, entry: &[u8]) -> Cmd {
    let mut append = redis::cmd("XADD");
    append.arg(key);
    if cap > 0 {
        append.arg("MAXLEN").arg("~").arg(cap);
    }
    append.arg("*").arg("event").arg(entry);
    append
}

/// A connection whose requests may take as long as they take.
pub(crate) async fn connect(url: &str) -> Result<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(5)))
        .set_response_timeout(None)
        .set_pipeline_buffer_size(PIPELINE);
    let client = Client::open(url)?;
    Ok(client
        .get_multiplexed_async_connection_with_config(&config)
        .await?)
}

/// Id and fields of an entry.
pub(super) type Entry = (String, Vec<(String, Vec<u8>)>);

/// The text of the first entry of the stream `key`, as it is in the server.
pub(crate) async fn sample(url: &str, key: &str) -> Result<Vec<u8>> {
    let mut connection = connect(url).await?;
    let entries: Vec<Entry> = redis::cmd("XRANGE")
        .arg(key)
        .arg("-")
        .arg("+")
        .arg("COUNT")
        .arg(1)
        .query_async(&mut connection)
        .await?;
    let first = entries.into_iter().next();
    let field = first.and_then(|(_, fields)| fields.into_iter().next());
    Ok(field.ok_or_else(|| format!("the stream {key} is empty"))?.1)
}
