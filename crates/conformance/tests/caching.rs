//! The caching layer over the in-process bus.

use std::process::ExitCode;
use std::sync::Arc;

use bowline_conformance::{Fixture, Participants};
use bowline_events::{CachingPubSub, InProcessPubSub, MemoryCache, OpFuture};

struct Caching {
    name: &'static str,
    make: fn() -> CachingPubSub,
}

impl Fixture for Caching {
    fn name(&self) -> &str {
        self.name
    }

    fn connect(&self) -> OpFuture<'_, Participants> {
        OpFuture::ready(Ok(Participants::one(Arc::new((self.make)()))))
    }
}

fn over_a_bus_with_history() -> CachingPubSub {
    CachingPubSub::new(
        Arc::new(InProcessPubSub::new()),
        Arc::new(MemoryCache::new()),
    )
}

fn main() -> ExitCode {
    bowline_conformance::main([
        Box::new(Caching {
            name: "caching",
            make: CachingPubSub::in_process,
        }) as Box<dyn Fixture>,
        Box::new(Caching {
            name: "caching-over-history",
            make: over_a_bus_with_history,
        }),
    ])
}
