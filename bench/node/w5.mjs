// W5: the bus on Redis. Publishing, groups, fan-out, latency; the stream far away is in w5_stream.mjs.
import { localNs, round } from './clock.mjs';
import { Histogram } from './histogram.mjs';
import { benchEvent } from './payload.mjs';
import { blast } from './publishers.mjs';
import { addressOf, freshTopic, missingServer, openBus, withServer } from './redis.mjs';
import { Role, callEach, delivered, settled } from './roles.mjs';
import { SECONDS, WARMUP_SECONDS } from './settings.mjs';
import { measurements as streams } from './w5_stream.mjs';

const BYTES = 200;
const DEFAULT_CAP = 10_000;
const RATE = 1000;
const sum = numbers => numbers.reduce((total, number) => total + number, 0);

/** Starts the roles on `address`, calls `use(publisher, subscribers)`, and ends them. */
async function withRoles(address, subscribers, use) {
  const publisher = new Role('publisher', address);
  const others = Array.from({ length: subscribers }, () => new Role('subscriber', address));
  const all = [publisher, ...others];
  try {
    await Promise.all(all.map(role => role.ready));
    return await use(publisher, others);
  } finally {
    for (const role of all) role.kill();
    await Promise.all(all.map(role => role.ended));
  }
}

async function clear(address, topic) {
  const bus = await openBus(address);
  await bus.clearTopic(topic);
  await bus.close();
}

async function publishing(url, width) {
  const bus = await openBus(url);
  const topic = freshTopic();
  let histogram;
  const publish = async seq => {
    const called = localNs();
    await bus.publish(topic, benchEvent(BYTES, seq));
    histogram.add(localNs() - called);
  };
  histogram = new Histogram();
  await blast(WARMUP_SECONDS, width, publish, 1);
  histogram = new Histogram();
  const start = localNs();
  const events = await blast(SECONDS, width, publish, 1);
  const seconds = (localNs() - start) / 1e9;
  await bus.clearTopic(topic);
  await bus.close();
  return { events, seconds, histogram };
}

/** Publishes `count` events that nobody reads yet. */
async function fill(address, topic, count) {
  const bus = await openBus(address);
  let next = 0;
  const task = async () => {
    while (next < count) await bus.publish(topic, benchEvent(BYTES, next++));
  };
  await Promise.all(Array.from({ length: 256 }, task));
  await bus.close();
}

async function group(url, consumers, backlog) {
  const [address, topic] = [addressOf(url, 0), freshTopic()];
  await fill(address, topic, backlog);
  const acked = stats => sum(stats.map(stat => stat.acked));
  const stats = await withRoles(address, consumers, async (_, subscribers) => {
    await callEach(subscribers, 'subscribe', { topic, group: 'g', earliest: true, ack: true });
    return settled(subscribers, 3000, stats => acked(stats) >= backlog);
  });
  await clear(address, topic);
  const started = stats.filter(stat => stat.first_ns !== null);
  const lastNs = Math.max(...started.map(stat => stat.last_ack_ns));
  const firstNs = Math.min(...started.map(stat => stat.first_ns));
  return {
    events: acked(stats),
    seconds: (lastNs - firstNs) / 1e9,
    rss_mb: stats[0].rss_mb,
    lost: backlog - acked(stats),
    per_consumer: stats.map(stat => stat.acked),
  };
}

async function fanOut(url, { subscribers, in_flight, max_stream_length, shared = false }) {
  const [address, topic] = [addressOf(url, max_stream_length), freshTopic()];
  const [processes, each] = shared ? [1, subscribers] : [subscribers, 1];
  const result = await withRoles(address, processes, async (publisher, roles) => {
    const blastFor = seconds => publisher.call('blast', { topic, bytes: BYTES, width: in_flight, seconds });
    await callEach(roles, 'subscribe', { topic, count: each, ack: true });
    await blastFor(0.3);
    await settled(roles, 500, () => false);
    await callEach(roles, 'reset');
    const published = await blastFor(SECONDS);
    const stats = await settled(roles, 3000, all => all.every(stat => stat.received >= published.published * each));
    return { published, stats };
  });
  await clear(address, topic);
  const { published, stats } = result;
  const publishSeconds = (published.last_ns - published.first_ns) / 1e9;
  const { lost, ...common } = delivered(published, stats, each);
  return {
    ...common,
    rss_mb: stats[0].rss_mb,
    publish_seconds: round(publishSeconds, 4),
    publishes_per_s: Math.round(published.published / publishSeconds),
    deliveries_per_s: Math.round(sum(stats.map(stat => stat.received)) / common.seconds),
    lost,
    missed: sum(stats.map(stat => stat.missed)),
    out_of_order_or_dup: sum(stats.map(stat => stat.out_of_order_or_dup)),
    rejected: published.rejected,
    rss_pub_mb: published.rss_mb,
  };
}

/** About what P(200) takes as the text of an entry. */
const ENTRY_BYTES = 350;

/** Events and bare requests take turns so often: which processors the processes share changes from second to second. */
const TURNS = 8;

async function latency(url, mode) {
  const [topic, bareTopic] = [freshTopic(), freshTopic()];
  const bareKey = `mastra:topic:${bareTopic}`;
  const [events, roundTrip, oneWay] = [new Histogram(), new Histogram(), new Histogram()];
  const total = { events: 0, seconds: 0, lost: 0 };
  await withRoles(url, 1, async (publisher, roles) => {
    const paced = seconds => publisher.call('paced', { topic, rate: RATE, seconds, bytes: BYTES });
    const bare = async seconds => {
      const { hist } = await publisher.call('request', { topic: bareKey, rate: RATE, seconds, bytes: ENTRY_BYTES });
      roundTrip.merge(hist);
    };
    const through = async seconds => {
      await callEach(roles, 'reset', { latency_every: 1 });
      const published = await paced(seconds);
      const stats = await settled(roles, 3000, ([stat]) => stat.acked >= published.published);
      const { histogram, ...turn } = delivered(published, stats);
      events.merge(histogram.toJSON());
      for (const name of Object.keys(total)) total[name] += turn[name];
      total.rss_mb = stats[0].rss_mb;
    };
    await callEach(roles, 'subscribe', { topic, group: mode === 'group' ? 'g' : undefined, ack: true });
    await callEach(roles, 'listen', { topic: bareKey });
    await paced(1);
    await settled(roles, 300, () => false);
    for (let turn = 0; turn < TURNS; turn += 1) {
      await bare(SECONDS / TURNS);
      await through(SECONDS / TURNS);
    }
    for (const { hist } of await callEach(roles, 'heard')) oneWay.merge(hist);
  });
  for (const name of [topic, bareTopic]) await clear(url, name);
  const over = bare => round(events.quantileUs(0.5) / bare.quantileUs(0.5), 3);
  return {
    ...total,
    histogram: events,
    max_us: round(events.maxNs / 1e3, 3),
    bare_p50_us: roundTrip.quantileUs(0.5),
    bare_p99_us: roundTrip.quantileUs(0.99),
    bare_one_way_p50_us: oneWay.quantileUs(0.5),
    bare_one_way_p99_us: oneWay.quantileUs(0.99),
    over_bare: over(roundTrip),
    over_bare_one_way: over(oneWay),
  };
}

/** A measurement with a server of its own. */
function measurement(workload, params, measure) {
  const line = { workload, params };
  return { lines: [line], run: print => withServer(async url => print(line, await measure(url))) };
}

function publishingOf(in_flight) {
  const params = { in_flight, payload_bytes: BYTES, max_stream_length: DEFAULT_CAP };
  return measurement('W5.publish', params, url => publishing(url, in_flight));
}

function groupOf([consumers, backlog]) {
  const params = { consumers, backlog, payload_bytes: BYTES };
  return measurement('W5.group', params, url => group(url, consumers, backlog));
}

function fanOutOf([subscribers, in_flight, max_stream_length, shared]) {
  const params = { subscribers, in_flight, payload_bytes: BYTES, max_stream_length, ...(shared && { shared }) };
  return measurement('W5.fanout', params, url => fanOut(url, params));
}

function latencyOf(mode) {
  const params = { mode, subscribers: 1, rate_per_s: RATE, payload_bytes: BYTES };
  return measurement('W5.latency', params, url => latency(url, mode));
}

/** Why nothing here can be measured, if so. */
export const missing = missingServer;

export const measurements = [
  ...[1, 256].map(publishingOf),
  ...[[1, 40_000], [4, 40_000], [1, 400_000], [4, 400_000]].map(groupOf),
  ...[[1, 1, 0], [8, 1, 0], [8, 256, 0], [8, 256, 10_000]].map(fanOutOf),
  ...[[8, 1, 0, true], [8, 256, 0, true], [8, 256, 10_000, true]].map(fanOutOf),
  ...['fanout', 'group'].map(latencyOf),
  ...streams,
];
