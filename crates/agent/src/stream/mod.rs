//! Reading the stream of a run: live, again from its begin, or from any offset.
//!
//! [`AgentStream`] reads a bus. Below it, [`Fold`] turns the events of the topic into what a reader wants to see, without any input
//! or output of its own: no event twice, whatever the bus or a crash repeated, and a [`RunOutput`] at the end.

mod fold;
mod idle;
mod item;
mod observe;
mod options;
mod output;
mod seam;
mod step;

pub use fold::Fold;
pub use item::{StreamEvent, StreamItem};
pub use observe::AgentStream;
pub use options::Observe;
pub use output::RunOutput;
