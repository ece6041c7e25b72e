//! Workflows that run on a real store and a real bus.

mod history;
mod house;
mod life;
mod scheduled;
mod steering;
