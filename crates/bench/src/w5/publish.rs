//! Publishing without a reader, beside what a bare load generator gets for the same entries on the same server.

use std::process::{Command, Stdio};
use std::sync::Arc;

use super::address::Address;
use super::bare::{Bare, sample};
use super::requests::{Made, Until, make};
use super::server::Server;
use super::{BYTES, DEFAULT_CAP, clear, fresh_topic, key_of};
use crate::Result;
use crate::clock::round;
use crate::line::{Members, Outcome, Subject};
use crate::measurement::Measurement;
use crate::payload::{BenchEvents, Encoding};
use crate::publishers::Publisher;
use crate::settings::Settings;
use crate::subject::run;

/// Bus and load generator take turns so often, since the machine is not always as fast.
const TURNS: u32 = 10;

/// What both got in the same time.
struct Compared {
    bus: Made,
    floor: Made,
    entry: Vec<u8>,
}

async fn compare(url: String, width: usize, settings: Settings) -> Result<Compared> {
    let topic = fresh_topic();
    let bus = Address::new(&url).bus()?;
    let events = BenchEvents::new(BYTES, Encoding::Json);
    let publisher = Publisher::new(&bus, &topic.as_str().into(), events);
    let publish = move |seq| {
        let publisher = Arc::clone(&publisher);
        async move {
            publisher.publish(seq, 0).await?;
            Ok(())
        }
    };
    make(width, Until::Passed(settings.warm_up), 0, publish.clone()).await?;
    let entry = sample(&url, &key_of(&topic)).await?;
    let bare_topic = format!("{topic}-bare");
    let bare = Bare::connect(&url, &key_of(&bare_topic), DEFAULT_CAP, &entry).await?;
    let append = move |_| {
        let bare = bare.clone();
        async move {
            bare.append().await?;
            Ok(())
        }
    };
    make(width, Until::Passed(settings.warm_up), 0, append.clone()).await?;
    let (mut published, mut appended) = (Made::default(), Made::default());
    let turn = Until::Passed(settings.length / TURNS);
    for _ in 0..TURNS {
        let first = published.count;
        published.merge(&make(width, turn, first, publish.clone()).await?);
        appended.merge(&make(width, turn, 0, append.clone()).await?);
    }
    for topic in [topic, bare_topic] {
        bus.clear_topic(&topic.into()).await?;
    }
    bus.close().await?;
    Ok(Compared {
        bus: published,
        floor: appended,
        entry,
    })
}

/// Requests per second that `redis-benchmark` makes of the same command; `None` when there is no such program, or it cannot
/// reach the server by host and port alone.
fn redis_benchmark(url: &str, key: &str, width: usize, entry: &[u8], count: u64) -> Option<f64> {
    let (host, port) = url.strip_prefix("redis://")?.rsplit_once(':')?;
    if host.contains('@') || port.parse::<u16>().is_err() {
        return None;
    }
    let entry = std::str::from_utf8(entry).ok()?;
    let (width, count, cap) = (
        width.to_string(),
        count.to_string(),
        DEFAULT_CAP.to_string(),
    );
    let output = Command::new("redis-benchmark")
        .args([
            "-h", host, "-p", port, "--csv", "-c", "1", "-P", &width, "-n", &count,
        ])
        .args(["XADD", key, "MAXLEN", "~", &cap, "*", "event", entry])
        .stderr(Stdio::null())
        .output()
        .ok()?;
    // "test","rps" and six latencies; the name of the test is the command, which may contain commas.
    let text = String::from_utf8(output.stdout).ok()?;
    let rate = text.lines().last()?.rsplit(',').nth(6)?;
    rate.trim_matches('"').parse().ok()
}

fn measure(width: usize, settings: &Settings) -> Result<Outcome> {
    let server = Server::find()?;
    let compared = run(
        settings.flavor,
        compare(server.url.clone(), width, settings.clone()),
    )?;
    let Compared { bus, floor, entry } = compared;
    let rss_mb = crate::clock::rss_mb();
    let count = (floor.per_second() * settings.length.as_secs_f64() / 2.0) as u64 + 1;
    let topic = fresh_topic();
    let benchmark = redis_benchmark(&server.url, &key_of(&topic), width, &entry, count);
    clear(settings.flavor, &Address::new(&server.url), &topic)?;
    let extras = Members::new()
        .with("floor_per_s", floor.per_second().round())
        .with("of_floor", round(bus.per_second() / floor.per_second(), 3))
        .with("floor_p50_us", floor.histogram.quantile_us(0.5))
        .with("cpu_us", round(bus.cpu_us(), 3))
        .with("floor_cpu_us", round(floor.cpu_us(), 3))
        .with("redis_benchmark_per_s", benchmark.map(f64::round))
        .with(
            "of_redis_benchmark",
            benchmark.map(|rate| round(bus.per_second() / rate, 3)),
        );
    Ok(Outcome {
        rss_mb,
        ..Outcome::new(bus.count, bus.seconds)
    }
    .latencies(&bus.histogram)
    .extras(extras))
}

pub(super) fn measurements() -> Vec<Measurement> {
    [1, 256]
        .map(|width| {
            let params = Members::new()
                .with("in_flight", width)
                .with("payload_bytes", BYTES)
                .with("max_stream_length", DEFAULT_CAP);
            Measurement::one(Subject::new("W5.publish", params), move |settings| {
                measure(width, settings)
            })
        })
        .into()
}
