//! W5: the bus on Redis, between processes, and how near it comes to bare requests.

mod address;
mod bare;
mod fanout;
mod group;
mod latency;
mod proxy;
mod publish;
mod requests;
mod server;
mod stream;

use std::ffi::OsString;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde_json::Value;

use crate::Result;
use crate::measurement::Measurement;
use crate::process::Process;
use crate::roles::Roles;
use crate::settings::Flavor;
use crate::subject::run;
pub(crate) use address::Address;
pub(crate) use bare::{Bare, round_trips};
pub(crate) use proxy::serve as serve_proxy;
pub(crate) use server::Server;

const BYTES: usize = 200;
/// The cap of a stream that the bus has by itself.
const DEFAULT_CAP: u64 = 10_000;

/// A topic that no measurement had before, on this server or another.
fn fresh_topic() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let (pid, number) = (std::process::id(), NUMBER.fetch_add(1, Relaxed));
    format!("bench-{pid}-{number}-{:x}", crate::clock::now_ns())
}

/// The key of the stream of `topic`, with the default prefix.
fn key_of(topic: &str) -> String {
    format!("mastra:topic:{topic}")
}

/// Forgets `topic`: the server may be one that others use too.
fn clear(flavor: Flavor, address: &Address, topic: &str) -> Result<()> {
    let (address, topic) = (address.clone(), topic.to_owned());
    run(flavor, async move {
        let bus = address.bus()?;
        bus.clear_topic(&topic.into()).await?;
        Ok(bus.close().await?)
    })
}

/// Starts `count` processes of one role on `address`, all at the same time.
fn start(
    name: &'static str,
    count: usize,
    command: &[OsString],
    address: &Address,
) -> Result<Vec<Process>> {
    let address = OsString::from(address.to_string());
    let mut started = Vec::new();
    for _ in 0..count {
        started.push(Process::start(name, command, &address)?);
    }
    let mut processes = Vec::new();
    for (mut process, ready) in started {
        process.ready(ready)?;
        processes.push(process);
    }
    Ok(processes)
}

/// Starts the one publisher.
fn start_publisher(roles: &Roles, address: &Address) -> Result<Process> {
    let mut one = start("publisher", 1, &roles.publisher, address)?;
    one.pop().ok_or_else(|| "no publisher was started".into())
}

/// Asks `process` for something of which only the success matters.
fn tell(process: &mut Process, command: &str, members: Value) -> Result<()> {
    process.call::<Value>(command, members).map(drop)
}

pub(crate) fn measurements(roles: &Roles, program: &[OsString]) -> Vec<Measurement> {
    let mut all = Vec::new();
    all.extend(publish::measurements());
    all.extend(group::measurements(roles));
    all.extend(fanout::measurements(roles));
    all.extend(latency::measurements(roles));
    all.extend(stream::measurements(program));
    all
}
