//! The options of each kind of bus: one table that the URL, the file and the error messages are made from.

use crate::bus_config::{MemoryConfig, UnixConfig};
use crate::value;

/// One option of a kind of bus whose settings are a `C`.
pub(crate) struct BusOption<C> {
    pub(crate) name: &'static str,
    /// Takes the value in text form; the error says what is wrong with it and what to write.
    pub(crate) set: fn(&mut C, &str) -> Result<(), String>,
    /// The value in text form, if it was set.
    pub(crate) get: fn(&C) -> Option<String>,
}

/// An option that is kept in the field of its own name, read by `$read` and written by `$show`.
macro_rules! option {
    ($field:ident, $read:expr, $show:expr) => {
        BusOption {
            name: stringify!($field),
            set: |config, text| {
                config.$field = Some($read(text)?);
                Ok(())
            },
            get: |config| config.$field.map($show),
        }
    };
}

pub(crate) const MEMORY: &[BusOption<MemoryConfig>] = &[
    option!(max_bytes, value::bytes, value::show_bytes),
    option!(replay, value::switch, |on: bool| on.to_string()),
];

pub(crate) const UNIX: &[BusOption<UnixConfig>] = &[
    option!(max_frame_bytes, value::bytes, value::show_bytes),
    option!(max_client_queue_bytes, value::bytes, value::show_bytes),
    option!(high_watermark, value::bytes, value::show_bytes),
    option!(send_window_bytes, value::bytes, value::show_bytes),
    option!(
        membership_ack_timeout,
        value::duration,
        value::show_duration
    ),
    option!(publish_deadline, value::duration, value::show_duration),
    option!(path_check_interval, value::duration, value::show_duration),
    option!(flush_timeout, value::duration, value::show_duration),
    option!(allow_group, value::number, |gid: u32| gid.to_string()),
    option!(reclaim_plain_file, value::switch, |on: bool| on.to_string()),
];
