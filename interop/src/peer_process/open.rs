//! Opening the bus that the command line names.

use std::sync::Arc;

use bowline_events::PubSub;
use bowline_unix::UnixSocketPubSub;
use serde_json::{Map, Value};

use crate::{caching, redis, unix};

/// A bus under the control of the test.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) bus: Arc<dyn PubSub>,
    /// The same bus, if it is one on a socket: it alone knows of brokers.
    pub(crate) socket: Option<UnixSocketPubSub>,
    /// Whether a subscription without `startFrom` begins with what is kept, as the reference's does on this bus.
    pub(crate) starts_earliest: bool,
}

/// Opens the bus named by `bus` (default `unix`) in `options` at `address`, and lays `cache` over it if that is given; the other
/// options are those of the bus.
pub(crate) fn open(address: &str, options: &str) -> Result<Opened, String> {
    let options: Value = serde_json::from_str(options).map_err(|error| error.to_string())?;
    let Value::Object(mut options) = options else {
        return Err("the options are not a JSON object".into());
    };
    let kind = options.remove("bus").unwrap_or_else(|| "unix".into());
    let cache = options.remove("cache");
    let mut opened = open_plain(&kind, address, &options)?;
    if let Some(cache) = cache {
        opened.bus = Arc::new(caching::over(opened.bus, &cache)?);
    }
    Ok(opened)
}

fn open_plain(kind: &Value, address: &str, options: &Map<String, Value>) -> Result<Opened, String> {
    match kind.as_str() {
        Some("unix") => {
            let bus = unix::open(address, options)?;
            Ok(Opened {
                bus: Arc::new(bus.clone()),
                socket: Some(bus),
                starts_earliest: false,
            })
        }
        Some("redis") => open_redis(address, options),
        _ => Err(format!("unknown bus {kind}; known: unix, redis")),
    }
}

fn open_redis(url: &str, options: &Map<String, Value>) -> Result<Opened, String> {
    Ok(Opened {
        bus: Arc::new(redis::open(url, options)?),
        socket: None,
        starts_earliest: true,
    })
}
