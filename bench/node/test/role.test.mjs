// The role protocol, checked on the program that `ROLE` names (a JSON array), by default the Node role. Any other
// implementation of the protocol has to pass it too.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressOf, freshTopic, isRedis, missingServer, optionsOf, withServer } from '../redis.mjs';
import { Cluster, Role } from '../roles.mjs';

if (process.env.ROLE) for (const name of ['BROKER', 'PUBLISHER', 'SUBSCRIBER']) process.env[`BENCH_ROLE_${name}`] = process.env.ROLE;

const PATIENCE_MS = 10_000;

async function cluster(t, subscribers) {
  const started = await Cluster.start(subscribers);
  t.after(() => started.stop());
  return started;
}

/** The stats once `received` events are there. */
async function statsAt(role, received) {
  for (const end = Date.now() + PATIENCE_MS; ; ) {
    const stats = await role.call('stats');
    if (stats.received >= received) return stats;
    if (Date.now() > end) throw new Error(`${stats.received} of ${received} events after ${PATIENCE_MS} ms`);
  }
}

test('broker, publisher and subscriber take their roles', async t => {
  const { broker, publisher, subscribers } = await cluster(t, 2);
  assert.equal((await broker.call('stats')).clients, 3);
  assert.deepEqual(await publisher.call('subscribe-noop').then(reply => reply.broker), false);
  assert.equal((await subscribers[0].call('trace')).broker, false);
});

test('blast counts every call, and what is received is in order', async t => {
  const { publisher, subscribers: [subscriber] } = await cluster(t, 1);
  const blasted = await publisher.call('blast', { bytes: 200, width: 8, seconds: 0.1 });
  const stats = await statsAt(subscriber, blasted.published);
  assert.ok(blasted.published > 0);
  assert.deepEqual([blasted.rejected, stats.received, stats.out_of_order_or_dup], [0, blasted.published, 0]);
  assert.equal(stats.hist.n, Math.ceil(blasted.published / 10));
  assert.equal(stats.hist.n, stats.hist.buckets.reduce((sum, [, count]) => sum + count, 0));
  assert.ok(blasted.first_ns < blasted.last_ns);
  assert.ok(blasted.first_ns < stats.last_ns);
  for (const { user, system } of [stats.cpu_us, blasted.cpu_us]) assert.ok(user + system > 0);
  assert.ok(stats.rss_mb > 0 && blasted.rss_mb > 0);
});

test('a second blast starts at 0 again, which the subscriber counts as out of order unless it was reset', async t => {
  const { publisher, subscribers: [subscriber] } = await cluster(t, 1);
  const publish = () => publisher.call('paced', { rate: 1000, seconds: 0.02 });
  await publish();
  await statsAt(subscriber, 20);
  await publish();
  assert.equal((await statsAt(subscriber, 40)).out_of_order_or_dup, 20);
  await subscriber.call('reset');
  assert.deepEqual(await subscriber.call('stats').then(s => [s.received, s.last_ns, s.hist]), [0, null, { n: 0, max_ns: 0, buckets: [] }]);
  await publish();
  assert.equal((await statsAt(subscriber, 20)).out_of_order_or_dup, 0);
});

test('paced publishes the number asked for, and latency_every 1 measures each', async t => {
  const { publisher, subscribers: [subscriber] } = await cluster(t, 1);
  await subscriber.call('reset', { latency_every: 1 });
  const paced = await publisher.call('paced', { rate: 1000, seconds: 0.05, bytes: 300 });
  assert.deepEqual([paced.published, paced.rejected, paced.unsettled], [50, 0, 0]);
  assert.equal((await statsAt(subscriber, 50)).hist.n, 50);
});

test('log and trace can be put side by side', async t => {
  const { publisher, subscribers: [subscriber] } = await cluster(t, 1);
  await subscriber.call('reset', { trace: true });
  const { log, errors, broker } = await publisher.call('log-publish', { rate: 1000, seconds: 0.03, settle_ms: 50, wait_ms: 1000 });
  await statsAt(subscriber, 30);
  const { trace } = await subscriber.call('trace');
  assert.deepEqual(log.map(([seq]) => seq), Array.from({ length: 30 }, (_, seq) => seq));
  assert.deepEqual(trace.map(([seq]) => seq), log.map(([seq]) => seq));
  assert.deepEqual([errors, broker], [{}, false]);
  trace.forEach(([seq, received]) => assert.ok(log[seq][1] < received));
  for (const [, call, done, ok] of log) assert.ok(ok === true && call < done);
  await subscriber.call('reset');
  assert.deepEqual((await subscriber.call('trace')).trace, []);
});

test('one publishing command at a time; others are answered meanwhile', async t => {
  const { publisher } = await cluster(t, 1);
  const running = publisher.call('paced', { rate: 10, seconds: 0.3 });
  await assert.rejects(publisher.call('blast', { bytes: 200, width: 1, seconds: 0.1 }), /busy/);
  await publisher.call('stats');
  assert.equal((await running).published, 3);
});

test('an unknown command fails and the role lives on', async t => {
  const { publisher } = await cluster(t, 1);
  await assert.rejects(publisher.call('sing'), /sing/);
  await publisher.call('stats');
});

test('exit ends with status 0', async t => {
  const { subscribers: [subscriber] } = await cluster(t, 1);
  const ended = new Promise(resolve => subscriber.child.on('exit', (status, signal) => resolve(signal ?? status)));
  await subscriber.call('exit', { close: true });
  assert.equal(await ended, 0);
});

test('a role that ends fails the calls that wait for it', async () => {
  process.env.BENCH_ROLE_MUTE = JSON.stringify([process.execPath, '--eval', '']);
  const role = new Role('mute', 'nowhere');
  await assert.rejects(role.ready, /mute ended with 0/);
  await assert.rejects(role.call('stats'), /mute ended with 0/);
});

/** Calls `use(publisher, subscriber)` with two roles on a Redis server; without a server the test is skipped. */
async function onRedis(t, use) {
  const missing = missingServer();
  if (missing !== undefined) return t.skip(missing);
  await withServer(async url => {
    const roles = ['publisher', 'subscriber'].map(name => new Role(name, addressOf(url, 0)));
    try {
      await Promise.all(roles.map(role => role.ready));
      await use(...roles);
    } finally {
      for (const role of roles) role.kill();
      await Promise.all(roles.map(role => role.ended));
    }
  });
}

test('an address on Redis is read as it is written', () => {
  assert.deepEqual(optionsOf(addressOf('redis://h:1', 0)), { url: 'redis://h:1', maxStreamLength: 0 });
  assert.deepEqual(optionsOf(addressOf('redis://h:1')), { url: 'redis://h:1' });
  assert.throws(() => optionsOf('redis://h:1?maxlen=1'), /max_stream_length/);
  assert.deepEqual([isRedis('valkeys://h'), isRedis('/tmp/redis.sock')], [true, false]);
});

test('on Redis, several subscribers of one process report together', t =>
  onRedis(t, async (publisher, subscriber) => {
    const topic = freshTopic();
    await subscriber.call('subscribe', { topic, count: 3, ack: true });
    const { published } = await publisher.call('blast', { topic, bytes: 200, width: 8, seconds: 0.05 });
    const stats = await statsAt(subscriber, 3 * published);
    assert.deepEqual([stats.received, stats.out_of_order_or_dup, stats.missed], [3 * published, 0, 0]);
    assert.ok(stats.first_ns < stats.last_ns);
  }));

test('on Redis, a group begins at the oldest event when asked to, and its acknowledgements are counted', t =>
  onRedis(t, async (publisher, subscriber) => {
    const topic = freshTopic();
    await publisher.call('paced', { topic, rate: 1000, seconds: 0.05 });
    await subscriber.call('subscribe', { topic, group: 'g', earliest: true, ack: true });
    for (const end = Date.now() + PATIENCE_MS; (await subscriber.call('stats')).acked < 50; ) assert.ok(Date.now() < end);
    const { received, last_ns, last_ack_ns } = await subscriber.call('stats');
    assert.equal(received, 50);
    assert.ok(last_ns <= last_ack_ns);
  }));

test('on Redis, plain requests are timed, and so is their way to a plain reader', t =>
  onRedis(t, async (publisher, subscriber) => {
    const topic = freshTopic();
    await subscriber.call('listen', { topic });
    assert.equal((await publisher.call('request', { topic, rate: 1000, seconds: 0.05, bytes: 300 })).hist.n, 50);
    for (const end = Date.now() + PATIENCE_MS; (await subscriber.call('heard')).hist.n < 50; ) assert.ok(Date.now() < end);
  }));
