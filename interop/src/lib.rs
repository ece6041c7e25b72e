//! Peers on one socket or one Redis server, driven by the tests of this crate.
//!
//! A [`Peer`] is a child process, real Node or Rust, with one bus and the line protocol of `README.md`; a [`RawConnection`] and
//! a [`RawBroker`] are the bare socket in the test itself. They meet in a [`Bus`], the scratch folder of a socket, or on a
//! [`Redis`] server. [`roles`] says who plays which part.
//!
//! Everything here is for tests: every wait has the deadline [`PATIENCE`], and whatever goes wrong panics with what was seen.

#![expect(
    clippy::needless_pass_by_value,
    reason = "tests write JSON values where they pass them"
)]

mod bus;
mod island;
mod peer;
mod process;
mod raw;
mod record;
mod redis;
pub mod roles;
pub mod values;
mod wait;

pub use bus::Bus;
pub use peer::{Peer, Pending};
pub use raw::{RawBroker, RawConnection};
pub use record::{Seen, ids, numbers};
pub use redis::Redis;
pub use roles::Kind;
pub use wait::{PATIENCE, eventually};

/// A [`Bus`] whose Rust peers are the binary of this package.
#[macro_export]
macro_rules! bus {
    () => {
        $crate::Bus::new(env!("CARGO_BIN_EXE_bowline-interop-peer"))
    };
}

/// A [`Redis`] server whose Rust peers are the binary of this package; the calling test returns when there is none.
#[macro_export]
macro_rules! redis {
    () => {
        match $crate::Redis::start_server(env!("CARGO_BIN_EXE_bowline-interop-peer")) {
            Some(redis) => redis,
            None => return,
        }
    };
}
