//! A backlog that processes of one group work off together, every event acknowledged.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::requests::{Until, make};
use super::server::Server;
use super::{Address, BYTES, clear, fresh_topic, start};
use crate::Result;
use crate::clock::seconds;
use crate::deliveries::{Stats, settled};
use crate::line::{Members, Outcome, Subject};
use crate::measurement::Measurement;
use crate::payload::{BenchEvents, Encoding};
use crate::process::call_each;
use crate::publishers::Publisher;
use crate::roles::Roles;
use crate::settings::Settings;
use crate::subject::run;

const GROUP: &str = "g";
/// Publishes that are under way at a time while the backlog is made.
const FILLERS: usize = 256;

/// Publishes `count` events that nobody reads yet.
async fn fill(address: Address, topic: String, count: u64) -> Result<()> {
    let bus = address.bus()?;
    let publisher = Publisher::new(
        &bus,
        &topic.as_str().into(),
        BenchEvents::new(BYTES, Encoding::Json),
    );
    let publish = move |seq| {
        let publisher = Arc::clone(&publisher);
        async move {
            publisher.publish(seq, 0).await?;
            Ok(())
        }
    };
    make(FILLERS, Until::Count(count), 0, publish).await?;
    Ok(bus.close().await?)
}

fn measure(consumers: usize, backlog: u64, roles: &Roles, settings: &Settings) -> Result<Outcome> {
    let server = Server::find()?;
    let address = Address::new(&server.url).with_cap(0);
    let topic = fresh_topic();
    run(
        settings.flavor,
        fill(address.clone(), topic.clone(), backlog),
    )?;
    let mut processes = start("subscriber", consumers, &roles.subscriber, &address)?;
    let subscribe = json!({"topic": topic, "group": GROUP, "earliest": true, "ack": true});
    call_each::<Value>(&mut processes, "subscribe", &subscribe)?;
    let acked = |stats: &[Stats]| stats.iter().map(|stat| stat.acked).sum::<u64>();
    let stats = settled(&mut processes, Duration::from_secs(3), |stats| {
        acked(stats) >= backlog
    })?;
    drop(processes);
    clear(settings.flavor, &address, &topic)?;
    let first = stats.iter().filter_map(|stat| stat.first_ns).min();
    let last = stats.iter().filter_map(|stat| stat.last_ack_ns).max();
    let took = last.zip(first).map_or(0, |(last, first)| last - first);
    let shares: Vec<u64> = stats.iter().map(|stat| stat.acked).collect();
    let extras = Members::new()
        .with("lost", backlog as i64 - acked(&stats) as i64)
        .with("per_consumer", shares);
    Ok(Outcome {
        rss_mb: stats.first().and_then(|stat| stat.rss_mb),
        ..Outcome::new(acked(&stats), seconds(took))
    }
    .extras(extras))
}

pub(super) fn measurements(roles: &Roles) -> Vec<Measurement> {
    // The longer backlog is long enough for four processes to be under way at the same time.
    [(1, 40_000), (4, 40_000), (1, 400_000), (4, 400_000)]
        .map(|(consumers, backlog)| {
            let params = Members::new()
                .with("consumers", consumers)
                .with("backlog", backlog)
                .with("payload_bytes", BYTES);
            let roles = roles.clone();
            Measurement::one(Subject::new("W5.group", params), move |settings| {
                measure(consumers, backlog, &roles, settings)
            })
        })
        .into()
}
