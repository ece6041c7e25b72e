//! What the test programs share.

#![allow(dead_code)]

pub(crate) mod backends;
pub(crate) mod model;
pub(crate) mod script;
