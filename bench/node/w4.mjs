// W4: the socket bus between processes, throughput and latency. Failover is in w4_failover.mjs.
import { round } from './clock.mjs';
import { Cluster, delivered, settled } from './roles.mjs';
import { SECONDS, WARMUP_SECONDS } from './settings.mjs';
import { measurement as failover } from './w4_failover.mjs';

const RATE = 1000;
const sum = numbers => numbers.reduce((total, number) => total + number, 0);

/** The last stats of the subscribers, when each has `expected` events or none moved for `stillMs`. */
const settledAt = (cluster, expected, stillMs) =>
  settled(cluster.subscribers, stillMs, stats => stats.every(stat => stat.received >= expected));

async function throughputOf(cluster, bytes, width) {
  await cluster.publisher.call('blast', { bytes, width, seconds: WARMUP_SECONDS });
  await settledAt(cluster, Infinity, 500);
  await cluster.callSubscribers('reset');
  const published = await cluster.publisher.call('blast', { bytes, width, seconds: SECONDS });
  const stats = await settledAt(cluster, published.published, 3000);
  const broker = await cluster.broker.call('stats');
  const { lost, ...result } = delivered(published, stats);
  return {
    ...result,
    rss_mb: broker.rss_mb,
    publish_seconds: round((published.last_ns - published.first_ns) / 1e9, 4),
    deliveries_per_s: Math.round(sum(stats.map(stat => stat.received)) / result.seconds),
    lost,
    out_of_order_or_dup: sum(stats.map(stat => stat.out_of_order_or_dup)),
    rejected: published.rejected,
    rss_pub_mb: published.rss_mb,
    rss_sub_mb: stats[0].rss_mb,
    broker_clients_after: broker.clients,
  };
}

async function latencyOf(cluster, bytes) {
  await cluster.publisher.call('paced', { rate: RATE, seconds: 1, bytes });
  await settledAt(cluster, Infinity, 300);
  await cluster.callSubscribers('reset', { latency_every: 1 });
  const published = await cluster.publisher.call('paced', { rate: RATE, seconds: SECONDS, bytes });
  const stats = await settledAt(cluster, published.published, 3000);
  const broker = await cluster.broker.call('stats');
  const result = delivered(published, stats);
  return { ...result, rss_mb: broker.rss_mb, max_us: round(result.histogram.maxNs / 1e3, 3) };
}

function measurement(line, measure) {
  const run = async print => {
    const cluster = await Cluster.start(line.params.subscribers);
    try {
      print(line, { ...(await measure(cluster)), ...cluster.mixture });
    } finally {
      await cluster.stop();
    }
  };
  return { lines: [line], run };
}

function throughput([subscribers, payload_bytes, in_flight]) {
  const line = { workload: 'W4.throughput', params: { subscribers, payload_bytes, in_flight } };
  return measurement(line, cluster => throughputOf(cluster, payload_bytes, in_flight));
}

function latency(subscribers) {
  const line = { workload: 'W4.latency', params: { subscribers, payload_bytes: 200, rate_per_s: RATE } };
  return measurement(line, cluster => latencyOf(cluster, 200));
}

export const measurements = [
  ...[[1, 200, 1], [1, 200, 256], [1, 16384, 1], [1, 16384, 256], [8, 200, 1], [8, 200, 256]].map(throughput),
  ...[1, 8].map(latency),
  failover,
];
