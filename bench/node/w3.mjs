// W3: resumable streams, the caching layer over the in-process bus with the in-memory cache.
import { localNs, round, rssMb, turn } from './clock.mjs';
import { Histogram } from './histogram.mjs';
import { loadCache, loadEvents } from './packages.mjs';
import { chunkEvent } from './payload.mjs';

const REPETITIONS = 5;
const PATIENCE_NS = 20e9;
const milliseconds = ns => round(ns / 1e6, 3);

async function cachingBus() {
  const [{ CachingPubSub, EventEmitterPubSub }, { InMemoryServerCache }] = await Promise.all([loadEvents(), loadCache()]);
  return new CachingPubSub(new EventEmitterPubSub(), new InMemoryServerCache());
}

async function fill(bus, topic, count) {
  for (let seq = 0; seq < count; seq++) await bus.publish(topic, chunkEvent(seq));
}

async function until(done) {
  for (const end = localNs() + PATIENCE_NS; !done() && localNs() < end; ) await turn();
}

async function publishing(bus, topic, count) {
  await fill(bus, 'warm-up', 3000);
  await bus.clearTopic('warm-up');
  const [all, head, tail] = [new Histogram(), new Histogram(), new Histogram()];
  const rssBefore = rssMb();
  const start = localNs();
  for (let seq = 0; seq < count; seq++) {
    const event = chunkEvent(seq);
    const called = localNs();
    await bus.publish(topic, event);
    const ns = localNs() - called;
    all.add(ns);
    if (seq < count / 10) head.add(ns);
    if (seq >= count - count / 10) tail.add(ns);
  }
  return {
    events: count,
    seconds: (localNs() - start) / 1e9,
    histogram: all,
    head10_p50_us: head.quantileUs(0.5),
    tail10_p50_us: tail.quantileUs(0.5),
    head10_p99_us: head.quantileUs(0.99),
    tail10_p99_us: tail.quantileUs(0.99),
    rss_growth_mb: round(rssMb() - rssBefore, 1),
  };
}

/** One new observer from `offset` to the end of `count` cached events. */
async function observe(bus, topic, offset, count) {
  const seen = { events: 0, misordered: 0, firstNs: null, lastNs: null };
  let next = offset;
  const start = localNs();
  await bus.subscribeFromOffset(topic, offset, event => {
    seen.lastNs = localNs() - start;
    seen.firstNs ??= seen.lastNs;
    if (event.index !== next) seen.misordered++;
    next = event.index + 1;
    seen.events++;
  });
  await until(() => seen.events >= count - offset);
  return seen;
}

async function replay(bus, topic, offset, count) {
  const runs = [];
  for (let run = 0; run < REPETITIONS; run++) runs.push(await observe(bus, topic, offset, count));
  runs.sort((a, b) => a.lastNs - b.lastNs);
  const median = runs[(REPETITIONS - 1) / 2];
  return {
    events: median.events,
    seconds: median.lastNs / 1e9,
    first_ms: milliseconds(median.firstNs),
    last_ms: milliseconds(median.lastNs),
    lost: count - offset - median.events,
    misordered: runs.reduce((sum, run) => sum + run.misordered, 0),
  };
}

/** Publishing and, on the same topic, replaying. */
function history(cached_events) {
  const published = { workload: 'W3.publish', params: { cached_events, payload_bytes: 200 } };
  const replays = [0, cached_events - 100].map(offset => ({ workload: 'W3.replay', params: { cached_events, offset } }));
  const run = async print => {
    const bus = await cachingBus();
    print(published, await publishing(bus, 'history', cached_events));
    for (const line of replays) print(line, await replay(bus, 'history', line.params.offset, cached_events));
  };
  return { lines: [published, ...replays], run };
}

async function stormOf({ observers, cached_events, offset, live_during }) {
  const bus = await cachingBus();
  await fill(bus, 'storm', cached_events);
  const total = cached_events + live_during;
  const [finished, attached] = [new Histogram(), new Histogram()];
  let [deliveries, misordered, lastNs] = [0, 0, 0];
  const start = localNs();

  const attach = async () => {
    const called = localNs();
    let next = offset;
    await bus.subscribeFromOffset('storm', offset, event => {
      deliveries++;
      if (event.index !== next) misordered++;
      next = event.index + 1;
      if (next !== total) return;
      lastNs = localNs();
      finished.add(lastNs - called);
    });
    attached.add(localNs() - called);
  };
  const publishLive = async () => {
    for (let seq = cached_events; seq < total; seq++) {
      await turn();
      await bus.publish('storm', chunkEvent(seq));
    }
  };
  await Promise.all([...Array.from({ length: observers }, attach), publishLive()]);
  await until(() => finished.n >= observers);
  return {
    events: deliveries,
    seconds: ((lastNs || localNs()) - start) / 1e9,
    histogram: finished,
    attach_p99_us: attached.quantileUs(0.99),
    complete_observers: finished.n,
    lost: observers * (total - offset) - deliveries,
    misordered,
  };
}

function storm(offset, live_during) {
  const line = { workload: 'W3.storm', params: { observers: 1000, cached_events: 1000, offset, live_during } };
  return { lines: [line], run: async print => print(line, await stormOf(line.params)) };
}

async function manyTopics({ topics, events_per_topic }) {
  const bus = await cachingBus();
  const names = Array.from({ length: topics }, (_, number) => `run-${number}`);
  const indices = new Map();
  let [live, replayed] = [0, 0];
  for (const name of names) {
    const seen = [];
    indices.set(name, seen);
    await bus.subscribe(name, event => {
      live++;
      seen.push(event.index);
    });
    await bus.subscribeWithReplay(name, () => void replayed++);
  }
  const start = localNs();
  for (let seq = 0; seq < events_per_topic; seq++) for (const name of names) await bus.publish(name, chunkEvent(seq));
  const seconds = (localNs() - start) / 1e9;
  await turn();
  const lengths = [];
  for (const name of names) lengths.push((await bus.getHistory(name, 0)).length);
  const restarted = [...indices.values()].filter(seen => seen.some((index, position) => index !== position));
  return {
    events: topics * events_per_topic,
    seconds,
    topics_with_complete_history: lengths.filter(length => length === events_per_topic).length,
    events_still_cached: lengths.reduce((sum, length) => sum + length, 0),
    topics_whose_index_restarted: restarted.length,
    live_subscriber_got: live,
    replay_subscriber_got: replayed,
  };
}

function topicCount(topics) {
  const line = { workload: 'W3.topics', params: { topics, events_per_topic: 10 } };
  return { lines: [line], run: async print => print(line, await manyTopics(line.params)) };
}

export const measurements = [
  ...[1000, 10_000, 100_000].map(history),
  storm(0, 0),
  storm(900, 0),
  storm(0, 200),
  ...[400, 700].map(topicCount),
];
