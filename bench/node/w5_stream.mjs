// W5.stream: chunks through the caching layer, with the cache and the bus on Redis, far from the server.
import { spawn } from 'node:child_process';
import { readLines } from '../../interop/lib/channel.mjs';
import { localNs, round, sleep } from './clock.mjs';
import { Histogram } from './histogram.mjs';
import { loadEvents, loadRedisCache, loadRedisClient } from './packages.mjs';
import { chunkEvent } from './payload.mjs';
import { blast } from './publishers.mjs';
import { freshTopic, openBus, withServer } from './redis.mjs';
import { SECONDS } from './settings.mjs';

const ADDED_MS = 25;
const PINGS = 21;
const STILL_MS = 5000;

/** Calls `use(url)` with the URL of the server behind a proxy that adds to every round trip: the one of the Rust program. */
async function withProxy(serverUrl, use) {
  if (process.env.BOWLINE_BENCH === undefined) throw new Error('set BOWLINE_BENCH to the program whose delaying proxy is used, as a JSON array');
  const [program, ...args] = JSON.parse(process.env.BOWLINE_BENCH);
  const url = new URL(serverUrl);
  const proxy = spawn(program, [...args, '--delay-proxy', url.host, '--added-ms', String(ADDED_MS)], { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    url.host = await new Promise((resolve, reject) => {
      proxy.on('error', reject);
      proxy.on('exit', status => reject(new Error(`the delaying proxy ended with ${status}`)));
      readLines(proxy.stdout, resolve);
    });
    return await use(url.href);
  } finally {
    proxy.kill('SIGKILL');
  }
}

/** The median of some round trips without any work, in seconds. */
async function roundTrip(client) {
  const times = [];
  for (let number = 0; number < PINGS; number++) {
    const sent = localNs();
    await client.ping();
    times.push(localNs() - sent);
  }
  return times.toSorted((a, b) => a - b)[PINGS >> 1] / 1e9;
}

/** The observer of the stream. */
class Observer {
  chunks = 0;
  misordered = 0;
  #next = 0;

  onEvent = (event, ack) => {
    const number = Number.parseInt(event.data.payload.text.slice(0, 10), 10);
    if (number !== this.#next || event.index !== number) this.misordered++;
    this.#next = number + 1;
    this.chunks++;
    return ack?.();
  };

  /** Resolves when `count` chunks are there, or nothing moved for a while. */
  async settled(count) {
    for (let [seen, since] = [-1, performance.now()]; this.chunks < count; await sleep(20)) {
      if (this.chunks !== seen) [seen, since] = [this.chunks, performance.now()];
      else if (performance.now() - since >= STILL_MS) return;
    }
  }
}

async function stream(url, width) {
  const [{ CachingPubSub }, { RedisServerCache, nodeRedisPreset }, { createClient }] = await Promise.all([
    loadEvents(),
    loadRedisCache(),
    loadRedisClient(),
  ]);
  const client = await createClient({ url }).connect();
  const roundTripSeconds = await roundTrip(client);
  const inner = await openBus(url);
  const bus = new CachingPubSub(inner, new RedisServerCache({ client }, nodeRedisPreset));
  const topic = `agent.stream.${freshTopic()}`;
  const observer = new Observer();
  await bus.subscribe(topic, observer.onEvent);
  const histogram = new Histogram();
  const start = localNs();
  const events = await blast(SECONDS, width, async seq => {
    const called = localNs();
    await bus.publish(topic, chunkEvent(seq));
    histogram.add(localNs() - called);
  }, 1);
  const seconds = (localNs() - start) / 1e9;
  const delivered_meanwhile = observer.chunks;
  await observer.settled(events);
  await bus.clearTopic(topic);
  await inner.close();
  await client.close();
  return {
    events,
    seconds,
    histogram,
    round_trip_ms: round(roundTripSeconds * 1e3, 3),
    chunks_per_round_trip: round((events / seconds) * roundTripSeconds, 1),
    delivered_meanwhile,
    lost: events - observer.chunks,
    misordered: observer.misordered,
  };
}

function measurement(in_flight) {
  const line = { workload: 'W5.stream', params: { in_flight, payload_bytes: 200, added_ms: ADDED_MS } };
  const measure = async print => withServer(server => withProxy(server, async url => print(line, await stream(url, in_flight))));
  return { lines: [line], run: measure };
}

export const measurements = [1, 256].map(measurement);
