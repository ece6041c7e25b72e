//! The options of the socket bus of the reference, given to ours.

use std::time::Duration;

use bowline_unix::UnixSocketPubSub;
use serde_json::{Map, Value};

/// Opens a bus on `path`. Options keep the names they have in the reference.
pub(crate) fn open(path: &str, options: &Map<String, Value>) -> Result<UnixSocketPubSub, String> {
    let mut builder = UnixSocketPubSub::builder(path);
    for (name, value) in options {
        let number = value
            .as_u64()
            .ok_or_else(|| format!("option {name:?} is not a number"))?;
        let bytes = usize::try_from(number).map_err(|error| error.to_string())?;
        let time = Duration::from_millis(number);
        builder = match name.as_str() {
            "maxInboundFrameBytes" => builder.max_frame_bytes(bytes),
            "maxRemoteClientQueuedBytes" => builder.max_client_queue_bytes(bytes),
            "membershipAckTimeoutMs" => builder.membership_ack_timeout(time),
            "publishDeadlineMs" => builder.publish_deadline(time),
            "brokerPathCheckIntervalMs" => builder.path_check_interval(time),
            other => return Err(format!("unknown option {other:?}")),
        };
    }
    builder.build().map_err(|error| error.to_string())
}
