//! The options of the Redis bus of the reference, given to ours.

use std::time::Duration;

use bowline_redis::{Redelivery, RedisStreamsPubSub};
use serde_json::{Map, Value};

/// Opens a bus on the server at `url`. Options keep the names they have in the reference, where 0 means off.
pub(crate) fn open(url: &str, options: &Map<String, Value>) -> Result<RedisStreamsPubSub, String> {
    let mut builder = RedisStreamsPubSub::builder(url);
    for (name, value) in options {
        let text = || {
            value
                .as_str()
                .ok_or_else(|| format!("option {name:?} is not a text"))
        };
        let number = || {
            value
                .as_u64()
                .ok_or_else(|| format!("option {name:?} is not a number"))
        };
        let size = || usize::try_from(number()?).map_err(|error| error.to_string());
        let time = || Ok::<_, String>(Duration::from_millis(number()?));
        let optional_time = || Ok::<_, String>(Some(time()?).filter(|time| !time.is_zero()));
        builder = match name.as_str() {
            "keyPrefix" => builder.key_prefix(text()?),
            "blockMs" => builder.block(time()?),
            "maxStreamLength" => builder.max_stream_length(Some(number()?).filter(|&n| n > 0)),
            "streamIdleTtlMs" => builder.stream_idle_ttl(optional_time()?),
            "reclaimIntervalMs" => builder.reclaim_interval(optional_time()?),
            "reclaimIdleMs" => builder.reclaim_idle(time()?),
            "maxDeliveryAttempts" => {
                let limit = u32::try_from(number()?).map_err(|error| error.to_string())?;
                builder.max_deliveries(Some(limit).filter(|&n| n > 0))
            }
            "inFlightTimeoutMs" => builder.in_flight_timeout(optional_time()?),
            "deadLetters" => builder.dead_letters(text()?),
            "maxEventBytes" => builder.max_event_bytes(size()?),
            "maxInFlight" => builder.max_in_flight(size()?),
            "readBatch" => builder.read_batch(size()?),
            "groupLocalDelayMs" => builder.redelivery(Redelivery::GroupLocal { delay: time()? }),
            other => return Err(format!("unknown option {other:?}")),
        };
    }
    builder.build().map_err(|error| error.to_string())
}
