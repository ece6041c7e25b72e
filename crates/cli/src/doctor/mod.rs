//! `bowline doctor`: looks at a bus without taking part in it, and says how to mend what is wrong.

mod abilities;
mod finding;
mod judge;
mod place;
mod probe;
#[cfg(feature = "redis")]
mod redis;
mod store;

use std::io;
use std::time::{Duration, Instant};

use bowline_events::{EventId, Topic};
use bowline_runtime::{
    BusConfig, CacheConfig, MemoryCacheConfig, OpenBus, Settings, UnixConfig, open_cache,
};
use serde::Serialize;
use tokio::time::timeout;

use self::finding::{Finding, Level};
use self::place::{Entry, Place};
use crate::args::DoctorArgs;
use crate::bus;
use crate::colour::{Colour, Painter};
use crate::outcome::{Failure, Outcome, explain};
use crate::table;

#[derive(Debug, Serialize)]
struct Report {
    bus: String,
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    broker: Option<Seen>,
    #[cfg(feature = "redis")]
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<redis::SeenServer>,
    findings: Vec<Finding>,
    capabilities: Vec<Ability>,
}

impl Report {
    fn is_broken(&self) -> bool {
        self.findings
            .iter()
            .any(|found| found.level == Level::Problem)
    }
}

/// The broker, as the report tells it.
#[derive(Debug, Serialize)]
struct Seen {
    pid: Option<i32>,
    user: Option<u32>,
    program: Option<String>,
}

#[derive(Debug, Serialize)]
struct Ability {
    name: String,
    value: String,
    meaning: String,
}

/// How long a cache or a store has to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

pub(crate) async fn run(args: DoctorArgs) -> Result<Outcome, Failure> {
    let sources = bus::sources(&args.bus).store_flag(args.store.as_deref());
    let settings = sources.load()?;
    let report = examine(&settings).await?;
    let text = if args.json {
        // Strings and numbers serialise always.
        serde_json::to_string(&report).unwrap_or_default() + "\n"
    } else {
        print(&report, Painter::for_stream(&io::stdout()))
    };
    crate::output::print(&text)?;
    Ok(if report.is_broken() {
        Outcome::FoundProblems
    } else {
        Outcome::Done
    })
}

async fn examine(settings: &Settings) -> Result<Report, Failure> {
    let config = settings.bus()?;
    let mut report = Report {
        bus: config.to_string(),
        from: settings.origin().map(ToString::to_string),
        cache: settings.cache().map(ToString::to_string),
        store: settings.store().map(ToString::to_string),
        broker: None,
        #[cfg(feature = "redis")]
        server: None,
        findings: Vec::new(),
        capabilities: Vec::new(),
    };
    match config {
        BusConfig::Unix(unix) => examine_unix(unix, &mut report),
        #[cfg(feature = "redis")]
        BusConfig::Redis(redis) => {
            (report.server, report.findings) = redis::examine_bus(redis).await;
        }
        BusConfig::Memory(_) => report.findings.push(Finding::ok(
            "a memory bus needs nothing; it ends with its process, and no other process sees it",
        )),
        // What was left out of this program is told when it is opened.
        _ => {}
    }
    if let Some(cache) = settings.cache() {
        let findings = examine_cache(cache).await;
        let about = findings.into_iter().map(|finding| finding.about("cache"));
        report.findings.extend(about);
    }
    if let Some(store) = settings.store() {
        let findings = store::examine(store).await;
        let about = findings.into_iter().map(|finding| finding.about("store"));
        report.findings.extend(about);
    }
    // Opening does not start the bus, so this neither becomes the broker nor connects.
    match open_untouched(settings).await {
        Ok(opened) => {
            let rows = abilities::rows(&opened.pubsub().capabilities());
            report.capabilities = rows
                .into_iter()
                .map(|[name, value, meaning]| Ability {
                    name,
                    value,
                    meaning,
                })
                .collect();
        }
        // A broken place is the cause, and was told with its remedy already.
        Err(_) if report.is_broken() => {}
        Err(error) => report.findings.push(Finding::problem(
            error.to_string(),
            "change what it names in the bus URL",
        )),
    }
    Ok(report)
}

/// The bus as it is configured, except that a store is not opened, because that would make it. What the bus can do is the same
/// with every cache.
async fn open_untouched(settings: &Settings) -> bowline_events::Result<OpenBus> {
    match settings.cache() {
        Some(cache) if cache.store().is_some() => {
            let cache = CacheConfig::Memory(MemoryCacheConfig::default());
            OpenBus::open_cached(settings.bus()?, &cache).await
        }
        _ => OpenBus::of_settings(settings).await,
    }
}

async fn examine_cache(config: &CacheConfig) -> Vec<Finding> {
    if let CacheConfig::Memory(_) = config {
        return vec![Finding::warning(
            "it is in the memory of one process, so a stream can be resumed only there: not by this command",
            "share one: --cache sqlite:events.db, or --cache redis://host:6379",
        )];
    }
    if let Some(config) = config.store() {
        return store::examine(&config).await;
    }
    #[cfg(feature = "redis")]
    if let CacheConfig::Redis(redis) = config {
        let findings = redis::examine_cache(redis).await;
        if findings.iter().any(|found| found.level == Level::Problem) {
            return findings;
        }
        return [findings, vec![read_cache(config).await]].concat();
    }
    vec![read_cache(config).await]
}

/// Reads a history that nobody wrote.
async fn read_cache(config: &CacheConfig) -> Finding {
    let remedy = "change what it names in the cache URL";
    let cache = match open_cache(config).await {
        Ok(cache) => cache,
        Err(error) => return Finding::problem(explain(&error), remedy),
    };
    let topic = Topic::new(format!("bowline-doctor-{}", EventId::random()));
    let start = Instant::now();
    match timeout(ANSWER_WITHIN, cache.read(&topic, 0, 1)).await {
        Ok(Ok(_)) => Finding::ok(format!(
            "a read takes {:.1} ms",
            start.elapsed().as_secs_f64() * 1000.0
        )),
        Ok(Err(error)) => Finding::problem(explain(&error), remedy),
        Err(_) => Finding::problem(
            format!("it did not answer within {} s", ANSWER_WITHIN.as_secs()),
            "check host and port, and that the server runs",
        ),
    }
}

fn examine_unix(config: &UnixConfig, report: &mut Report) {
    let place = Place::gather(config);
    report.findings = place.judge();
    if !matches!(place.entry, Entry::Socket(_)) {
        return;
    }
    let (broker, finding) = probe::probe(&config.path);
    report.findings.push(finding);
    report.broker = broker.map(|broker| Seen {
        pid: broker.pid,
        user: broker.user,
        program: broker.program,
    });
}

fn print(report: &Report, painter: Painter) -> String {
    let mut text = String::new();
    painter.put(&mut text, Colour::Bold, &report.bus);
    if let Some(from) = &report.from {
        painter.put(&mut text, Colour::Dim, &format!(" (from {from})"));
    }
    if let Some(cache) = &report.cache {
        painter.put(&mut text, Colour::Dim, " with the cache ");
        painter.put(&mut text, Colour::Bold, cache);
    }
    if let Some(store) = &report.store {
        painter.put(&mut text, Colour::Dim, " with the store ");
        painter.put(&mut text, Colour::Bold, store);
    }
    text.push_str("\n\n");
    for finding in &report.findings {
        finding.print(painter, &mut text);
    }
    if !report.capabilities.is_empty() {
        text.push('\n');
        painter.put(&mut text, Colour::Bold, "What this bus can do");
        text.push('\n');
        let rows: Vec<[String; 3]> = report
            .capabilities
            .iter()
            .map(|can| [can.name.clone(), can.value.clone(), can.meaning.clone()])
            .collect();
        text.push_str(&table::align(&rows));
    }
    text
}
