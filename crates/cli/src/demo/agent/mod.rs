//! `bowline demo`: a run of an agent whose process is killed, and readers that miss nothing.

mod cast;
mod place;
mod play;
mod reader;
mod report;
mod worker;

pub(super) use cast::Cast;
pub(super) use play::play;
pub(super) use worker::run as run_worker;
