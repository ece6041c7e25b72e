//! The in-process bus, with its usual retention and with none, and behind a wrapper.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bowline_conformance::{Fixture, Forwarding, Participants, Wrapped};
use bowline_events::log::Redelivery;
use bowline_events::{InProcessPubSub, OpFuture, PubSub};

struct Memory {
    name: &'static str,
    make: fn() -> InProcessPubSub,
}

impl Fixture for Memory {
    fn name(&self) -> &str {
        self.name
    }

    fn connect(&self) -> OpFuture<'_, Participants> {
        OpFuture::ready(Ok(Participants::one(Arc::new((self.make)()))))
    }
}

fn live_only() -> InProcessPubSub {
    InProcessPubSub::builder()
        .no_replay()
        .redelivery(Redelivery::new(Some(4), Duration::from_millis(5)))
        .fanout_redelivery(true)
        .build()
}

fn main() -> ExitCode {
    let memory = Memory {
        name: "memory",
        make: InProcessPubSub::new,
    };
    let wrapped = Memory {
        name: "memory",
        make: InProcessPubSub::new,
    };
    let forward = |bus| Arc::new(Forwarding::new(bus)) as Arc<dyn PubSub>;
    bowline_conformance::main([
        Box::new(memory) as Box<dyn Fixture>,
        Box::new(Memory {
            name: "memory-live-only",
            make: live_only,
        }),
        Box::new(Wrapped::new(wrapped, "wrapped", forward)),
    ])
}
