//! x
#![allow(dead_code)]
mod broker;
mod election;
mod event;
mod frame;
mod line;
mod stamp;
