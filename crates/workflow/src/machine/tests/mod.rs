//! The reducer against recorded runs of the reference, a naive model, and hostile facts.

mod build;
mod control;
mod cost;
mod hostile;
mod model;
mod per_step;
mod retries;
mod run;
mod select;
mod travel;
mod vectors;
mod wild;
