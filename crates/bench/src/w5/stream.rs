//! A stream of chunks through cache and bus, far from the server.

use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bowline_events::{
    CachingPubSub, PubSub, PublishOptions, SubscribeOptions, Subscription, Topic,
};

use super::proxy::Proxy;
use super::requests::{Made, Until, make};
use super::server::Server;
use super::{Address, fresh_topic};
use crate::Result;
use crate::clock::{now_ns, round};
use crate::line::{Members, Outcome, Subject};
use crate::measurement::Measurement;
use crate::payload::{chunk_event, chunk_number};
use crate::settings::Settings;
use crate::subject::{run, until};

const ADDED: Duration = Duration::from_millis(25);
const PINGS: usize = 21;
const PATIENCE: Duration = Duration::from_secs(5);

/// What the observer of the stream saw.
#[derive(Debug, Default)]
struct Seen {
    chunks: u64,
    misordered: u64,
    next: u64,
}

type Observed = Arc<Mutex<Seen>>;

async fn observe(mut subscription: Subscription, observed: Observed) {
    while let Some(item) = subscription.next_batch().await {
        let Ok(batch) = item else { continue };
        let mut seen = observed.lock().unwrap_or_else(PoisonError::into_inner);
        for delivery in &batch {
            let number = chunk_number(delivery.event());
            let index = delivery.event().index;
            if number != Some(seen.next) || index != number {
                seen.misordered += 1;
            }
            seen.next = number.map_or(seen.next, |number| number + 1);
            seen.chunks += 1;
        }
    }
}

/// The median of some round trips without any work, in seconds.
async fn round_trip(url: &str) -> Result<f64> {
    let mut connection = super::bare::connect(url).await?;
    let mut times = Vec::new();
    for _ in 0..PINGS {
        let sent = now_ns();
        redis::cmd("PING")
            .query_async::<()>(&mut connection)
            .await?;
        times.push(now_ns() - sent);
    }
    times.sort_unstable();
    Ok(times[PINGS / 2] as f64 / 1e9)
}

struct Streamed {
    made: Made,
    round_trip: f64,
    delivered_meanwhile: u64,
    lost: i64,
    misordered: u64,
}

async fn stream(address: Address, width: usize, length: Duration) -> Result<Streamed> {
    let round_trip = round_trip(&address.url).await?;
    let bus: Arc<dyn PubSub> = Arc::new(CachingPubSub::new(address.bus()?, address.cache()?));
    let topic = Topic::agent_stream(&fresh_topic());
    let subscription = bus.subscribe_with(&topic, SubscribeOptions::new()).await?;
    let observed = Observed::default();
    tokio::spawn(observe(subscription, Arc::clone(&observed)));
    let publish = {
        let (bus, topic) = (Arc::clone(&bus), topic.clone());
        move |seq| {
            let (bus, topic) = (Arc::clone(&bus), topic.clone());
            async move {
                let chunk = chunk_event(seq);
                bus.publish_with(&topic, chunk, PublishOptions::default())
                    .await?;
                Ok(())
            }
        }
    };
    let made = make(width, Until::Passed(length), 0, publish).await?;
    let count = || {
        observed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .chunks
    };
    let delivered_meanwhile = count();
    until(count, made.count, PATIENCE).await;
    let (lost, misordered) = {
        let seen = observed.lock().unwrap_or_else(PoisonError::into_inner);
        (made.count as i64 - seen.chunks as i64, seen.misordered)
    };
    bus.clear_topic(&topic).await?;
    bus.close().await?;
    Ok(Streamed {
        made,
        round_trip,
        delivered_meanwhile,
        lost,
        misordered,
    })
}

fn measure(width: usize, program: &[OsString], settings: &Settings) -> Result<Outcome> {
    let server = Server::find()?;
    let (scheme, target) = server
        .url
        .split_once("://")
        .ok_or("the URL of the server has no scheme")?;
    let (account, target) = target.rsplit_once('@').unwrap_or(("", target));
    let (target, database) = target.split_once('/').unwrap_or((target, ""));
    let proxy = Proxy::start(program, target, ADDED)?;
    let at = if account.is_empty() { "" } else { "@" };
    let url = format!("{scheme}://{account}{at}{}/{database}", proxy.address);
    let streaming = stream(Address::new(&url), width, settings.length);
    let streamed = run(settings.flavor, streaming)?;
    let Streamed {
        made, round_trip, ..
    } = &streamed;
    let extras = Members::new()
        .with("round_trip_ms", round(round_trip * 1e3, 3))
        .with(
            "chunks_per_round_trip",
            round(made.per_second() * round_trip, 1),
        )
        .with("delivered_meanwhile", streamed.delivered_meanwhile)
        .with("lost", streamed.lost)
        .with("misordered", streamed.misordered);
    Ok(Outcome::new(made.count, made.seconds)
        .latencies(&made.histogram)
        .extras(extras))
}

pub(super) fn measurements(program: &[OsString]) -> Vec<Measurement> {
    [1, 256]
        .map(|width| {
            let params = Members::new()
                .with("in_flight", width)
                .with("payload_bytes", super::BYTES)
                .with("added_ms", ADDED.as_millis() as u64);
            let program = program.to_vec();
            Measurement::one(Subject::new("W5.stream", params), move |settings| {
                measure(width, &program, settings)
            })
        })
        .into()
}
