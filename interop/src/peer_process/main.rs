//! A bus of ours in a process of its own, driven over standard input and output as `peer.mjs` is; see `README.md`.

mod caching;
mod channel;
mod commands;
mod leases;
mod open;
mod redis;
mod subscriber;
mod unix;

use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use crate::commands::Driver;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fatal(&error.to_string()),
    };
    let mut arguments = std::env::args().skip(1);
    let opened = arguments
        .next()
        .ok_or_else(|| {
            "usage: bowline-interop-peer <socket path or URL> [options as JSON]".to_owned()
        })
        .and_then(|address| {
            let _inside = runtime.enter();
            open::open(&address, &arguments.next().unwrap_or_else(|| "{}".into()))
        });
    match opened {
        Ok(opened) => {
            let driver = Arc::new(Driver::new(opened));
            channel::say(&json!({ "ready": true, "pid": std::process::id() }));
            runtime.block_on(channel::serve(driver));
            ExitCode::SUCCESS
        }
        Err(message) => fatal(&message),
    }
}

fn fatal(message: &str) -> ExitCode {
    channel::say(&json!({ "fatal": message }));
    ExitCode::from(70)
}
