//! Workflows that run on a real store and a real bus.

mod boundaries;
mod competition;
mod duplicates;
mod house;
mod life;
mod line;
mod scenes;
mod steering;
mod wires;
