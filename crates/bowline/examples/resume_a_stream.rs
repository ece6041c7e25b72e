//! A reader of a stream goes away and comes back where it was: nothing is missing, nothing comes twice.
//!
//! ```text
//! $ cargo run -p bowline --example resume_a_stream
//! 0 Nothing
//! 1 is
//! 2 lost
//! away, to come back at 3
//! 3 while
//! 4 nobody
//! 5 reads.
//! ```

#![allow(clippy::print_stdout, reason = "it shows what it does")]

use std::error::Error;

use bowline::{
    BusConfig, CacheConfig, NewEvent, OpenBus, PubSub, PubSubExt, StartFrom, SubscribeOptions,
    Subscription, Topic,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("events.db");
    // The bus of this process; `unix:///run/app/events.sock` would be one of all processes of the host. What is published
    // through the cache can be read again from any offset, here also after a restart.
    let bus = BusConfig::from_url("memory:")?;
    let cache = CacheConfig::from_url(&format!("sqlite:{}", file.display()))?;
    let open = OpenBus::open_cached(&bus, &cache).await?;
    let bus = open.pubsub();

    let stream = Topic::agent_stream("run-1");
    let mut reader = bus.subscribe(&stream, SubscribeOptions::new()).await?;
    say(bus, &stream, ["Nothing", "is", "lost"]).await?;
    let mut heard = Vec::new();
    let mut next = 0;
    while heard.len() < 3 {
        next = read(&mut reader, &mut heard).await? + 1;
    }
    drop(reader);
    println!("away, to come back at {next}");

    // Nobody reads this, and then somebody does while it goes on.
    say(bus, &stream, ["while", "nobody"]).await?;
    let from = SubscribeOptions::new().start(StartFrom::Offset(next));
    let mut reader = bus.subscribe(&stream, from).await?;
    say(bus, &stream, ["reads."]).await?;
    while heard.len() < 6 {
        read(&mut reader, &mut heard).await?;
    }
    assert_eq!(heard.join(" "), "Nothing is lost while nobody reads.");
    bus.close().await?;
    Ok(())
}

async fn say<const N: usize>(
    bus: &dyn PubSub,
    stream: &Topic,
    words: [&str; N],
) -> bowline::Result<()> {
    for word in words {
        let event = NewEvent::new("word", "run-1").with_json(format!("{word:?}"))?;
        bus.publish(stream, event).await?;
    }
    Ok(())
}

/// Reads one event; its index.
async fn read(reader: &mut Subscription, heard: &mut Vec<String>) -> Result<u64, Box<dyn Error>> {
    let event = reader.next().await.ok_or("the bus was closed")??;
    let index = event.index.ok_or("the cache has failed")?;
    let word: String = event.data.parse()?;
    println!("{index} {word}");
    heard.push(word);
    Ok(index)
}
