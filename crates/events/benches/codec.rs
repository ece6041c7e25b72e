//! What a relay pays per frame, and what reading and writing a payload costs.

use std::hint::black_box;
use std::ops::Range;
use std::time::Duration;

use bowline_events::codec::{self, date};
use bowline_events::json::{self, MemberVisitor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// A publish frame with `count` texts of `length` bytes each.
fn frame(count: usize, length: usize) -> Vec<u8> {
    let text = "lorem ipsum dolor sit amet, consectetur adipiscing elit. ".repeat(1 + length / 50);
    let text = format!("\"{}\"", &text[..length]);
    let texts = vec![text; count].join(",");
    format!(
        r#"{{"type":"publish","topic":"agent.stream.run-1","event":{{"type":"chunk","runId":"8f14e45f-ceea-467f-a5b3-000000000000","data":{{"type":"text-delta","n":12.5,"text":[{texts}]}}}},"localOnly":{{"__m_codec__":"Undefined"}}}}"#
    )
    .into_bytes()
}

/// A nested value of about 2 KiB with some envelopes.
fn nested() -> Vec<u8> {
    let item = r#"{"id":"step-1","status":"success","payload":{"v":1,"tags":["a","b",null,true]},"startedAt":{"__m_codec__":"Date","v":"2026-01-02T03:04:05.678Z"},"output":{"__m_codec__":"Map","v":[["k",{"n":1.5e3}]]}}"#;
    let items = [item; 9].join(",");
    format!(r#"{{"runId":"run-1","steps":[{items}]}}"#).into_bytes()
}

/// Notes the members of the frame and of its event, as a broker does.
#[derive(Default)]
struct Parts {
    outer: [Option<Range<usize>>; 2],
    inner: [Option<Range<usize>>; 3],
}

impl MemberVisitor for Parts {
    fn descend(&mut self, key: &[u8]) -> bool {
        json::same_key(key, "event")
    }

    fn inner(&mut self, key: &[u8], value: Range<usize>) {
        let names = ["id", "createdAt", "deliveryAttempt"];
        if let Some(at) = names.iter().position(|name| json::same_key(key, name)) {
            self.inner[at] = Some(value);
        }
    }

    fn member(&mut self, key: &[u8], value: Range<usize>) {
        let names = ["topic", "event"];
        if let Some(at) = names.iter().position(|name| json::same_key(key, name)) {
            self.outer[at] = Some(value);
        }
    }
}

fn scan(c: &mut Criterion) {
    for (name, text) in [
        ("300 B", frame(1, 92)),
        ("16 KiB, short strings", frame(1078, 12)),
        ("16 KiB, one string", frame(1, 16_176)),
    ] {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function("validate", |b| b.iter(|| json::validate(black_box(&text))));
        group.bench_function("members", |b| {
            b.iter(|| {
                let mut parts = Parts::default();
                json::members_nested(black_box(&text), &mut parts).map(|()| parts)
            });
        });
        group.bench_function("check for node", |b| {
            b.iter(|| codec::check_for_node(black_box(&text)));
        });
        group.finish();
    }
}

fn tree(c: &mut Criterion) {
    let text = nested();
    let value = codec::decode(&text).expect("the text is valid");
    let mut group = c.benchmark_group("nested 2 KiB");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("decode", |b| b.iter(|| codec::decode(black_box(&text))));
    group.bench_function("encode", |b| b.iter(|| codec::encode(black_box(&value))));
    group.bench_function("to plain", |b| {
        b.iter(|| codec::to_plain(black_box(&value)));
    });
    group.bench_function("check for node", |b| {
        b.iter(|| codec::check_for_node(black_box(&text)));
    });
    group.finish();
}

fn dates(c: &mut Criterion) {
    let mut out = Vec::with_capacity(64);
    c.bench_function("write date", |b| {
        b.iter(|| {
            out.clear();
            date::write_iso(black_box(1_767_323_045_678), &mut out);
            out.len()
        });
    });
    c.bench_function("parse date", |b| {
        b.iter(|| date::parse_iso(black_box("2026-01-02T03:04:05.678Z")));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = scan, tree, dates
}
criterion_main!(benches);
