//! Groups against real servers: who gets what, what comes again, what is left behind.

mod acks;
mod faults;
mod leaving;
mod reclaim;
mod redelivery;
mod sharing;
mod support;
