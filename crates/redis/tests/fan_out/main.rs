//! Ungrouped subscribers against real servers.

mod clear;
mod cluster;
mod faults;
mod refusals;
mod sharing;
mod starts;
mod support;
mod trimming;
