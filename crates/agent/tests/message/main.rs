//! Messages: as they are stored, as clients send them, as models get them, and as models make them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod draft;
mod input;
mod prompt;
mod stored;
mod strategy;

use bowline_agent::Data;

fn json(text: &str) -> Data {
    Data::from_json(text.to_owned()).unwrap()
}
