// One process of W4 or W5 on a bus of the reference. The protocol is described in ../README.md.
import { die, messageOf, say, serve } from '../../interop/lib/channel.mjs';
import { nowNs, rssMb, sleep } from './clock.mjs';
import { Counter } from './counter.mjs';
import { loadEvents } from './packages.mjs';
import { benchEvent, stamp } from './payload.mjs';
import { blast, pace } from './publishers.mjs';
import { bareAppends, isRedis, openBus, optionsOf, roundTrips } from './redis.mjs';

const TOPIC = 'bench';
const PACED_WAIT_MS = 10_000;
const ignore = () => {};

const address = process.argv[2];
if (address === undefined) die('usage: node role.mjs <socket path, or URL of a Redis server>');

async function open() {
  if (isRedis(address)) return openBus(address);
  const { UnixSocketPubSub } = await loadEvents();
  return new UnixSocketPubSub(address);
}

const bus = await open();
const counters = [];
let counting = {};
const subscribed = new Set();
let publishing = false;

const cpu = () => process.cpuUsage();
const role = () => ({ broker: bus.isBroker ?? false });

async function waitUntil(done, ms) {
  for (const end = performance.now() + ms; !done() && performance.now() < end; ) await sleep(20);
}

async function blastBus({ topic = TOPIC, bytes, width, seconds }) {
  let rejected = 0;
  const countRejected = () => void rejected++;
  const first_ns = nowNs();
  const published = await blast(seconds, width, seq => {
    const event = seq % 10 === 0 ? benchEvent(bytes, seq, stamp(nowNs())) : benchEvent(bytes, seq);
    return bus.publish(topic, event).catch(countRejected);
  });
  return { published, rejected, first_ns, last_ns: nowNs(), rss_mb: rssMb(), cpu_us: cpu() };
}

async function paceBus({ topic = TOPIC, rate, seconds, bytes = 200 }) {
  let rejected = 0;
  let settled = 0;
  const first_ns = nowNs();
  const published = await pace(rate, seconds, seq => {
    bus
      .publish(topic, benchEvent(bytes, seq, stamp(nowNs())))
      .catch(() => rejected++)
      .finally(() => settled++);
  });
  await waitUntil(() => settled === published, PACED_WAIT_MS);
  const unsettled = published - settled;
  return { published, rejected, unsettled, first_ns, last_ns: nowNs(), rss_mb: rssMb(), cpu_us: cpu() };
}

async function logPublish({ topic = TOPIC, rate, seconds, bytes = 200, settle_ms = 1500, wait_ms = 10_000 }) {
  const log = [];
  const errors = {};
  const publish = async seq => {
    const entry = [seq, nowNs(), null, null];
    log.push(entry);
    try {
      await bus.publish(topic, benchEvent(bytes, seq, stamp(entry[1])));
      entry[2] = nowNs();
      entry[3] = true;
    } catch (error) {
      entry[2] = nowNs();
      entry[3] = false;
      errors[messageOf(error)] = (errors[messageOf(error)] ?? 0) + 1;
    }
  };
  await pace(rate, seconds, publish);
  await sleep(settle_ms);
  await waitUntil(() => log.every(entry => entry[2] !== null), wait_ms);
  return { log, errors, ...role() };
}

async function request({ topic = TOPIC, rate, seconds, bytes = 200 }) {
  if (!isRedis(address)) throw new Error('the bus is not on Redis');
  const { url, maxStreamLength = 0 } = optionsOf(address);
  const bare = await bareAppends(url, topic, maxStreamLength, bytes);
  const hist = await roundTrips(bare, rate, seconds);
  await bare.close();
  return { hist };
}

/** Runs one publishing command at a time: two would share their sequence numbers. */
function exclusively(run) {
  return async command => {
    if (publishing) throw new Error('busy');
    publishing = true;
    try {
      return await run(command);
    } finally {
      publishing = false;
    }
  };
}

/** Subscribes a topic unless it is subscribed already. */
async function once(topic, subscribe) {
  if (subscribed.has(topic)) return role();
  subscribed.add(topic);
  await subscribe();
  return role();
}

const subscribe = ({ topic = TOPIC, group, earliest = false, count = 1, ack = false }) =>
  once(topic, async () => {
    const options = { ...(group === undefined || group === null ? {} : { group }), ...(earliest ? {} : { startFrom: 'latest' }) };
    for (let number = 0; number < count; number++) {
      const counter = new Counter(counting);
      counters.push(counter);
      // The socket bus of the reference knows no options but the group.
      await bus.subscribe(topic, ack ? counter.onEventToAck : counter.onEvent, isRedis(address) ? options : group && { group });
    }
  });

serve({
  ready: { impl: 'node', protocol: 1 },
  handlers: {
    subscribe,
    'subscribe-noop': () => once('noop', () => bus.subscribe('noop', ignore)),
    reset: command => {
      counting = command;
      for (const counter of counters) counter.reset(command);
    },
    stats: () => ({ ...Counter.report(counters), rss_mb: rssMb(), cpu_us: cpu(), ...role(), clients: bus.remoteClientCount ?? 0 }),
    trace: () => ({ trace: counters[0]?.trace ?? [], ...role() }),
    blast: exclusively(blastBus),
    paced: exclusively(paceBus),
    request: exclusively(request),
    'log-publish': exclusively(logPublish),
  },
  beforeExit: ({ close = false }) => (close ? bus.close() : undefined),
  onUnhandled: error => say({ notice: 'unhandled', error: messageOf(error) }),
});
