//! What readers of a run see: of captured streams, of runs that crash, and through real buses.

#[path = "stream/bus.rs"]
mod bus;
mod data;
#[path = "stream/fold.rs"]
mod fold;
#[path = "stream/model.rs"]
mod model;
