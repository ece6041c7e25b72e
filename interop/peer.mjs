// A real bus of the package, driven over standard input and output. The commands are described in README.md.
import { CodecLoop } from './lib/codec-loop.mjs';
import { openBus } from './lib/bus.mjs';
import { die, messageOf, say, serve } from './lib/channel.mjs';
import { Subscriber, digest } from './lib/subscriber.mjs';
import { reveal, revive } from './lib/values.mjs';

const [address, optionsText = '{}'] = process.argv.slice(2);
const subscribers = new Map();
const codec = new CodecLoop();
let bus;
let closeBus;
let leases;

function required(command, name) {
  if (command[name] === undefined) throw new Error(`${command.cmd} needs "${name}"`);
  return command[name];
}

function subscriber(command) {
  const label = required(command, 'as');
  const found = subscribers.get(label);
  if (!found) throw new Error(`no subscriber ${JSON.stringify(label)}`);
  return found;
}

function status() {
  return { isBroker: bus.isBroker ?? null, remoteClientCount: bus.remoteClientCount ?? null };
}

function subscribeOptions({ group, startFrom }) {
  // Without any there is no argument at all, as in an ordinary call.
  if (group === undefined && startFrom === undefined) return undefined;
  return { ...(group !== undefined && { group }), ...(startFrom !== undefined && { startFrom }) };
}

async function subscribe(command) {
  const topic = required(command, 'topic');
  const label = required(command, 'as');
  const target = subscribers.get(label) ?? new Subscriber(label, say);
  subscribers.set(label, target);
  target.configure(command);
  target.topics.add(topic);
  try {
    if (command.offset !== undefined) await bus.subscribeFromOffset(topic, command.offset, target.callback);
    else await bus.subscribe(topic, target.callback, subscribeOptions(command));
  } catch (error) {
    target.topics.delete(topic);
    throw error;
  }
  return status();
}

async function unsubscribe(command) {
  const target = subscriber(command);
  await bus.unsubscribe(required(command, 'topic'), target.callback);
  target.topics.delete(command.topic);
}

async function publish(command) {
  const options = command.localOnly === undefined ? undefined : { localOnly: command.localOnly };
  await bus.publish(required(command, 'topic'), revive(required(command, 'event')), options);
}

async function publishMany(command) {
  const topic = required(command, 'topic');
  const count = required(command, 'count');
  const { bytes = 0, from = 0, everyMs } = command;
  const pad = 'x'.repeat(bytes);
  const errors = {};
  let rejected = 0;
  for (let seq = from; seq < from + count; seq++) {
    try {
      await bus.publish(topic, { type: 'flood', runId: 'r', data: { seq, pad } });
    } catch (error) {
      rejected++;
      errors[messageOf(error)] = (errors[messageOf(error)] ?? 0) + 1;
    }
    if (everyMs !== undefined) await new Promise(resolve => setTimeout(resolve, everyMs));
  }
  return { published: count - rejected, rejected, errors };
}

async function publishBig(command) {
  const data = { big: 'x'.repeat(required(command, 'chars')) };
  await bus.publish(required(command, 'topic'), { type: 'big', runId: 'r', data });
  return digest(JSON.stringify(data));
}

async function history(command) {
  const events = await bus.getHistory(required(command, 'topic'), command.offset);
  return { count: events.length, indices: events.map(event => event.index ?? null), events: reveal(events) };
}

/** A command on the lease `key`; `names` are the other members it needs, in the order of the arguments. */
function onLease(method, names, result) {
  return async command => {
    if (!leases) throw new Error('this bus has no leases');
    const args = ['key', ...names].map(name => required(command, name));
    return result(await leases[method](...args));
  };
}

async function beforeExit({ close = false }) {
  await codec.close();
  if (close) await closeBus();
}

const handlers = {
  subscribe,
  unsubscribe,
  publish,
  publishMany,
  publishBig,
  history,
  status,
  configure: command => subscriber(command).configure(command),
  stats: command => subscriber(command).stats(),
  resetStats: command => subscriber(command).reset(),
  reached: async command => {
    const target = subscriber(command);
    await target.reached(required(command, 'count'), command.withinMs ?? 5000);
    return target.stats();
  },
  clearTopic: command => bus.clearTopic(required(command, 'topic')),
  flush: () => bus.flush(),
  close: () => closeBus(),
  acquire: onLease('acquireLease', ['owner', 'ttlMs'], ({ acquired, owner = null }) => ({ acquired, owner })),
  owner: onLease('getLeaseOwner', [], (owner = null) => ({ owner })),
  renew: onLease('renewLease', ['owner', 'ttlMs'], held => ({ held })),
  release: onLease('releaseLease', ['owner'], () => ({})),
  transfer: onLease('transferLease', ['owner', 'to', 'ttlMs'], held => ({ held })),
  codec: command => codec.run(command),
};

try {
  if (address === undefined) throw new Error('usage: node peer.mjs <socket path or URL> [options as JSON]');
  ({ bus, close: closeBus, leases } = await openBus(address, JSON.parse(optionsText)));
  serve({ handlers, beforeExit });
} catch (error) {
  die(error);
}
