//! Whether what a step returns can be what the next one takes, by their schemas.
//!
//! Only what can be proved is refused: that there is no value which fits both. What is not understood counts as fitting.

mod compare;
mod document;
mod finite;
mod flow;
#[cfg(test)]
mod flow_tests;
mod leaf;
mod mismatch;
#[cfg(test)]
mod tests;
mod types;

pub(crate) use flow::check;
