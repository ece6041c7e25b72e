//! placeholder

pub mod codec;
pub mod json;
