import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Histogram } from '../histogram.mjs';
import { lineOf } from '../line.mjs';
import { UNSTAMPED, benchEvent, chunkEvent, sinceStamp, stamp } from '../payload.mjs';
import { blast, pace } from '../publishers.mjs';

test('P(n) and C(200) have exactly the bytes they claim', () => {
  for (const bytes of [52, 200, 16384]) {
    const { data } = benchEvent(bytes, 42, stamp(123));
    assert.equal(JSON.stringify(data).length, bytes);
    assert.deepEqual([Object.keys(data), data.seq, data.t], [['seq', 't', 'pad'], '0000000042', '0000000000000123']);
  }
  assert.equal(benchEvent(200, 0).data.t, UNSTAMPED);
  assert.equal(JSON.stringify(chunkEvent(7).data).length, 200);
  assert.equal(chunkEvent(7).data.payload.text.slice(0, 11), '0000000007x');
});

test('a stamp measures across its wrap', () => {
  assert.equal(sinceStamp(stamp(5000), 7000), 2000);
  assert.equal(sinceStamp(stamp(1e16 - 10), 1e16 + 90), 100);
});

test('latencies fall into the buckets of the protocol', () => {
  const histogram = new Histogram();
  for (const ns of [0, 1, 1000, 94_100, 1_000_000, 3_000_000_000, 1e18]) histogram.add(ns);
  assert.deepEqual(histogram.toJSON(), {
    n: 7,
    max_ns: 1e18,
    buckets: [[0, 2], [694, 1], [1150, 1], [1388, 1], [2193, 1], [3199, 1]],
  });
});

test('quantiles are within one percent and never above the largest value', () => {
  const histogram = new Histogram();
  for (let us = 1; us <= 1000; us++) histogram.add(us * 1000);
  for (const [q, us] of [[0.5, 500], [0.99, 990], [0, 1]]) {
    const relative = Math.abs(histogram.quantileUs(q) - us) / us;
    assert.ok(relative < 0.01, `${q}: ${histogram.quantileUs(q)}`);
  }
  assert.ok(histogram.quantileUs(1) <= 1000);
  assert.equal(new Histogram().quantileUs(0.5), null);
});

test('merging the transport form is the same as recording everything in one', () => {
  const [left, right, both] = [new Histogram(), new Histogram(), new Histogram()];
  for (let ns = 1; ns < 1e6; ns = Math.ceil(ns * 1.3)) {
    (ns % 2 ? left : right).add(ns);
    both.add(ns);
  }
  left.merge(JSON.parse(JSON.stringify(right)));
  assert.deepEqual(left.toJSON(), both.toJSON());
});

test('blast numbers its calls once each and keeps to its width', async () => {
  const seen = [];
  let [active, widest] = [0, 0];
  const count = await blast(0.02, 7, async seq => {
    seen.push(seq);
    widest = Math.max(widest, ++active);
    await new Promise(resolve => setImmediate(resolve));
    active--;
  });
  assert.deepEqual(seen, Array.from({ length: count }, (_, seq) => seq));
  assert.equal(widest, 7);
});

test('pace makes all its calls, awaiting none', async () => {
  const seen = [];
  const never = new Promise(() => {});
  assert.equal(await pace(1000, 0.02, seq => (seen.push(seq), never)), 20);
  assert.deepEqual(seen, Array.from({ length: 20 }, (_, seq) => seq));
});

test('a line has its members in order, and null for what does not apply', () => {
  const line = lineOf({ workload: 'W', params: { a: 1 } }, { events: 10, seconds: 2, lost: 0 });
  const names = ['workload', 'params', 'events', 'seconds', 'events_per_s', 'p50_us', 'p99_us', 'rss_mb', 'lost', 'proc_cpu_s', 'load1'];
  assert.deepEqual(Object.keys(line), names);
  assert.deepEqual([line.events_per_s, line.p50_us, line.p99_us], [5, null, null]);
  assert.equal(lineOf({ workload: 'W', params: {} }, { events: null, seconds: 1, rss_mb: null }).events_per_s, null);
});
