//! Requests on a connection of the client library, without a bus: what there is to reach.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, RedisResult, Value};

use crate::Result;
use crate::clock::now_ns;
use crate::histogram::Histogram;

/// Appends the same entry again and again, as a publish does.
#[derive(Clone)]
pub(crate) struct Bare {
    connection: MultiplexedConnection,
    append: Arc<Cmd>,
}

impl Bare {
    /// Appends `entry` to the stream `key`, which is kept at about `cap` entries; 0 for no cap.
    pub(crate) async fn connect(url: &str, key: &str, cap: u64, entry: &[u8]) -> Result<Self> {
        let mut append = redis::cmd("XADD");
        append.arg(key);
        if cap > 0 {
            append.arg("MAXLEN").arg("~").arg(cap);
        }
        append.arg("*").arg("event").arg(entry);
        Ok(Self {
            connection: connect(url).await?,
            append: Arc::new(append),
        })
    }

    /// Appends the entry once.
    pub(crate) async fn append(&self) -> RedisResult<Value> {
        let mut connection = self.connection.clone();
        connection.send_packed_command(&self.append).await
    }
}

/// A connection whose requests may take as long as they take.
pub(crate) async fn connect(url: &str) -> Result<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(5)))
        .set_response_timeout(None);
    let client = Client::open(url)?;
    Ok(client
        .get_multiplexed_async_connection_with_config(&config)
        .await?)
}

/// Id and fields of an entry.
type Entry = (String, Vec<(String, Vec<u8>)>);

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

/// Round trips of one request after the other, each made when a timer finds it due, `rate` per second for `length`.
pub(crate) async fn round_trips(bare: &Bare, rate: f64, length: Duration) -> Result<Histogram> {
    let mut histogram = Histogram::default();
    let total = (rate * length.as_secs_f64()).round() as u64;
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate.max(0.001)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for _ in 0..total {
        ticks.tick().await;
        let called = now_ns();
        bare.append().await?;
        histogram.add(now_ns() - called);
    }
    Ok(histogram)
}
