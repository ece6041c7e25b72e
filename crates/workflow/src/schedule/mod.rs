//! # The scheduler

mod clock;
mod cron;

pub use clock::{Clock, SystemClock};
pub use cron::{Cron, DEFAULT_ZONE, MAX_EXPRESSION};
