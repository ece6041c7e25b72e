//! placeholder

pub mod json;
