//! What the log core costs per event: append, read by many readers, groups, clear.
#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use bowline_events::log::{LogConfig, TopicLog};
use bowline_events::{Event, NewEvent, Payload, Settlement, StartFrom, Text, TopicFamily};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const BATCH: usize = 128;

fn event() -> Arc<Event> {
    let data = Payload::json(format!("\"{}\"", "x".repeat(198))).expect("a string is JSON");
    Arc::new(NewEvent::new("bench", "r").with_data(data).stamp())
}

/// Append and trim at the retention, with logs of different lengths behind it.
fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(1));
    for kept in [0_usize, 1_000, 100_000] {
        let event = event();
        let mut config = LogConfig::for_family(TopicFamily::Stream);
        config.retention.events = kept;
        let mut log = TopicLog::new(config);
        for _ in 0..kept {
            log.append(Arc::clone(&event)).expect("open");
        }
        group.bench_function(BenchmarkId::new("kept", kept), |bencher| {
            bencher.iter(|| log.append(black_box(Arc::clone(&event))).expect("open"));
        });
    }
    group.finish();
}

/// One event to each of many readers, in batches.
fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan-out");
    for readers in [1_usize, 100] {
        group.throughput(Throughput::Elements((BATCH * readers) as u64));
        group.bench_function(BenchmarkId::new("readers", readers), |bencher| {
            let event = event();
            let now = Instant::now();
            let mut log = TopicLog::new(LogConfig::for_family(TopicFamily::Plain));
            let cursors: Vec<_> = (0..readers)
                .map(|_| log.attach(StartFrom::Latest, false, now))
                .collect();
            bencher.iter(|| {
                for _ in 0..BATCH {
                    log.append(Arc::clone(&event)).expect("open");
                }
                for cursor in &cursors {
                    log.read(*cursor, now, BATCH, |seq, event| {
                        black_box((seq, Arc::clone(event)));
                    });
                }
            });
        });
    }
    group.finish();
}

/// One event through a group of four: dispatch, take, ack.
fn group_ack(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("group");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("4 members, ack", |bencher| {
        let event = event();
        let now = Instant::now();
        let name = Text::from("g");
        let mut log = TopicLog::new(LogConfig::for_family(TopicFamily::Work));
        let members: Vec<_> = (0..4)
            .map(|_| log.join(&name, StartFrom::Latest, None))
            .collect();
        let mut grants = Vec::new();
        bencher.iter(|| {
            for _ in 0..BATCH {
                log.append(Arc::clone(&event)).expect("open");
            }
            for member in &members {
                log.take(*member, now, BATCH, |grant| grants.push(grant.token));
                for token in grants.drain(..) {
                    log.settle(member.group, token, Settlement::Ack, now);
                }
            }
            log.take_ready().for_each(drop);
        });
    });
    group.finish();
}

criterion_group!(benches, append, fan_out, group_ack);
criterion_main!(benches);
