//! The stream of a topic: its entries, and the commands on it.

mod commands;
mod entry;
mod id;
mod info;

pub(crate) use commands::{StreamCommands, millis, parse_read};
pub(crate) use entry::{Entry, Malformed, decode, encode};
pub(crate) use id::StreamId;
pub(crate) use info::StreamInfo;
