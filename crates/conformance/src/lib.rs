//! # The conformance suite of the Bowline bus
//!
//! One public function per clause of the [`PubSub`](bowline_events::PubSub) contract, to run on any backend: those of
//! Bowline, and yours. A backend declares what it can do ([`Capabilities`](bowline_events::Capabilities)); a clause about
//! something that is not declared is reported as not applicable, never as passed.
//!
//! - Describe the backend with a [`Fixture`].
//! - Hand it to [`main`] in a test program without the standard harness: every clause becomes one named test.
//! - Or call [`run_all`] for a [`Report`], or a single function of [`clauses`].
//!
//! ```
//! use std::sync::Arc;
//! use bowline_conformance::{Fixture, Participants, clauses};
//! use bowline_events::{InProcessPubSub, OpFuture};
//!
//! struct Memory;
//!
//! impl Fixture for Memory {
//!     fn name(&self) -> &str {
//!         "memory"
//!     }
//!     fn connect(&self) -> OpFuture<'_, Participants> {
//!         OpFuture::ready(Ok(Participants::one(Arc::new(InProcessPubSub::new()))))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), bowline_conformance::Unmet> {
//! clauses::fan_out::fan_out_reaches_every_subscriber(&Memory).await?;
//! # Ok(())
//! # }
//! ```
//!
//! As a test program, `tests/conformance.rs` with `harness = false` in `Cargo.toml`:
//!
//! ```no_run
//! # use bowline_conformance::{Fixture, Participants};
//! # use bowline_events::OpFuture;
//! # struct Memory;
//! # impl Fixture for Memory {
//! #     fn name(&self) -> &str { "memory" }
//! #     fn connect(&self) -> OpFuture<'_, Participants> { OpFuture::new(std::future::pending()) }
//! # }
//! fn main() -> std::process::ExitCode {
//!     bowline_conformance::main([Box::new(Memory) as Box<dyn Fixture>])
//! }
//! ```
//!
//! ## What the clauses rely on
//!
//! No clause asserts how long something takes. What must happen may take [`Fixture::deadline`], what must not happen is
//! watched for [`Fixture::settle`]. Randomised clauses name their [`Seed`] when they fail.

pub mod clauses;

mod fixture;
mod forwarding;
mod need;
mod reader;
mod registry;
mod report;
mod runner;
mod seed;
mod session;
mod verdict;

pub use fixture::{DEADLINE, Fixture, Participants};
pub use forwarding::{Forwarding, Wrapped};
pub use need::Need;
pub use registry::{CLAUSES, Clause};
pub use report::{Report, run_all};
pub use runner::main;
pub use seed::Seed;
pub use verdict::{ClauseResult, Unmet};

/// Compiles the example of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/conformance.md")]
struct Guide;
