//! The reducer against recorded runs of the reference, a naive model, and hostile facts.

mod build;
mod hostile;
mod model;
mod vectors;
mod wild;
