//! A scratch server for programs that are not written in Rust: prints its process id and its URL, and keeps it until the
//! standard input ends. With `upstash <token>` as arguments there is an Upstash stand-in in front of it, and its URL comes
//! third.
#![allow(clippy::print_stdout, reason = "the line is what this program is for")]

use std::io;

use bowline_testkit::{Error, RedisServer, UpstashServer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let server = RedisServer::start().await?;
    let mut arguments = std::env::args().skip(1);
    let token = match arguments.next().as_deref() {
        Some("upstash") => arguments.next(),
        _ => None,
    };
    let upstash = match token {
        Some(token) => Some(UpstashServer::start(server.address(), &token).await?),
        None => None,
    };
    println!(
        "{} {} {}",
        server.process_id().unwrap_or_default(),
        server.url(),
        upstash.as_ref().map(UpstashServer::url).unwrap_or_default()
    );
    // Whether the input ends or fails, nobody needs the server any more.
    let _ = tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await;
    Ok(())
}
