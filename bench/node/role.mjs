// One process of W4 on the reference bus. The protocol is described in ../README.md.
import { die, messageOf, say, serve } from '../../interop/lib/channel.mjs';
import { nowNs, rssMb, sleep } from './clock.mjs';
import { Counter } from './counter.mjs';
import { loadEvents } from './packages.mjs';
import { benchEvent, stamp } from './payload.mjs';
import { blast, pace } from './publishers.mjs';

const TOPIC = 'bench';
const PACED_WAIT_MS = 10_000;
const ignore = () => {};

const socketPath = process.argv[2];
if (socketPath === undefined) die('usage: node w4_role.mjs <socket path>');
const { UnixSocketPubSub } = await loadEvents();
const bus = new UnixSocketPubSub(socketPath);
const counter = new Counter();
let publishing = false;

const cpu = () => process.cpuUsage();
const role = () => ({ broker: bus.isBroker });

async function waitUntil(done, ms) {
  for (const end = performance.now() + ms; !done() && performance.now() < end; ) await sleep(20);
}

async function blastBus({ bytes, width, seconds }) {
  let rejected = 0;
  const countRejected = () => void rejected++;
  const first_ns = nowNs();
  const published = await blast(seconds, width, seq => {
    const event = seq % 10 === 0 ? benchEvent(bytes, seq, stamp(nowNs())) : benchEvent(bytes, seq);
    return bus.publish(TOPIC, event).catch(countRejected);
  });
  return { published, rejected, first_ns, last_ns: nowNs(), rss_mb: rssMb(), cpu_us: cpu() };
}

async function paceBus({ rate, seconds, bytes = 200 }) {
  let rejected = 0;
  let settled = 0;
  const first_ns = nowNs();
  const published = await pace(rate, seconds, seq => {
    bus
      .publish(TOPIC, benchEvent(bytes, seq, stamp(nowNs())))
      .catch(() => rejected++)
      .finally(() => settled++);
  });
  await waitUntil(() => settled === published, PACED_WAIT_MS);
  const unsettled = published - settled;
  return { published, rejected, unsettled, first_ns, last_ns: nowNs(), rss_mb: rssMb(), cpu_us: cpu() };
}

async function logPublish({ rate, seconds, bytes = 200, settle_ms = 1500, wait_ms = 10_000 }) {
  const log = [];
  const errors = {};
  const publish = async seq => {
    const entry = [seq, nowNs(), null, null];
    log.push(entry);
    try {
      await bus.publish(TOPIC, benchEvent(bytes, seq, stamp(entry[1])));
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

async function subscribe(topic, callback) {
  await bus.subscribe(topic, callback);
  return role();
}

serve({
  ready: { impl: 'node', protocol: 1 },
  handlers: {
    subscribe: ({ topic = TOPIC }) => subscribe(topic, counter.onEvent),
    'subscribe-noop': () => subscribe('noop', ignore),
    reset: command => counter.reset(command),
    stats: () => ({ ...counter.report(), rss_mb: rssMb(), cpu_us: cpu(), ...role(), clients: bus.remoteClientCount }),
    trace: () => ({ trace: counter.trace, ...role() }),
    blast: exclusively(blastBus),
    paced: exclusively(paceBus),
    'log-publish': exclusively(logPublish),
  },
  beforeExit: ({ close = false }) => (close ? bus.close() : undefined),
  onUnhandled: error => say({ notice: 'unhandled', error: messageOf(error) }),
});
