//! A scratch server for programs that are not written in Rust: prints its process id and its URL, and keeps it until the
//! standard input ends.
#![allow(clippy::print_stdout, reason = "the line is what this program is for")]

use std::io::Read as _;

use bowline_testkit::{Error, RedisServer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let server = RedisServer::start().await?;
    println!(
        "{} {}",
        server.process_id().unwrap_or_default(),
        server.url()
    );
    // Whether the input ends or fails, nobody needs the server any more.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    Ok(())
}
