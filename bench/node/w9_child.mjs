// One fresh process of W9: does what its argument names, prints the instant and the footprint, and ends.
import { nowNs, rssMb } from './clock.mjs';
import { loadEngine, loadEvents, loadStorage } from './packages.mjs';

function finish() {
  process.stdout.write(JSON.stringify({ now_ns: nowNs(), rss_mb: rssMb() }) + '\n', () => process.exit(0));
}

async function bus() {
  const { EventEmitterPubSub } = await loadEvents();
  return new EventEmitterPubSub();
}

async function deliverOne(pubsub) {
  await pubsub.subscribe('t', finish);
  await pubsub.publish('t', { type: 'first', runId: 'r', data: {} });
}

async function engine() {
  const [{ Mastra }, { InMemoryStore }] = await Promise.all([loadEngine(), loadStorage()]);
  const pubsub = await bus();
  const mastra = new Mastra({ storage: new InMemoryStore(), pubsub, logger: false });
  await mastra.startEventEngine();
  return pubsub;
}

const kinds = {
  bare: async () => finish(),
  bus: async () => deliverOne(await bus()),
  mastra: async () => deliverOne(await engine()),
};
await kinds[process.argv[2]]();
