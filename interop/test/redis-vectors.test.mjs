// Our bus in Node does on the wire what the captured one did: every scenario of the capture is played on a real server.
import assert from 'node:assert/strict';
import { createClient } from 'redis';
import { RedisStreamsPubSub } from '../lib/redis-streams.mjs';
import { monitor, redisTest, startRedis } from './redis-server.mjs';
import { captured, comparable, observed } from './wire.mjs';

/** A callback and what came to it; `decide` gets the event, its settling functions and how many came before. */
function recorder(decide = (_, settle) => settle.ack()) {
  const settled = [];
  const seen = [];
  const waiters = [];
  const callback = (event, ack, nack, extend) => {
    seen.push(event);
    settled.push(Promise.resolve(decide(event, { ack, nack, extend }, seen.length)));
    for (const wake of waiters) wake();
  };
  /** Resolves when `count` events came and what was decided about them is carried out. */
  const count = async number => {
    while (seen.length < number) await new Promise(resolve => waiters.push(resolve));
    await Promise.all(settled);
  };
  return { callback, seen, count };
}

const event = (type, data = {}, runId = 'run-1') => ({ type, data, runId });

class Scene {
  #control;
  #buses = [];

  constructor(server, watch, control) {
    this.server = server;
    this.watch = watch;
    this.#control = control;
  }

  bus(options) {
    return new RedisStreamsPubSub({ url: this.server.url, blockMs: 400, reclaimIntervalMs: 0, ...options });
  }

  /** Begins a scenario of the capture. */
  async part(number) {
    await this.#control.echo(`## ${number}`);
  }

  /** Waits until `count` readers of the topic have begun to read. */
  reading(topic, count) {
    return this.watch.readers(`mastra:topic:${topic}`, count);
  }

  /** A connection for what the scenario itself does to the server. */
  async other() {
    const client = createClient({ url: this.server.url });
    client.on('error', () => {});
    return client.connect();
  }
}

async function scene(t, play) {
  const server = await startRedis(t);
  const watch = await monitor(t, server.port);
  const control = createClient({ url: server.url });
  control.on('error', () => {});
  await control.connect();
  server.before(() => control.destroy());
  await play(new Scene(server, watch, control));
  await control.echo('## the end');
  await watch.seen('"## the end"');
  const got = observed(watch.lines);
  got.delete('the end');
  const wanted = captured();
  for (const number of wanted.keys()) if (!got.has(number)) wanted.delete(number);
  const [gotLines, wantedLines] = [comparable(got), comparable(wanted)];
  for (const [number, lines] of wantedLines) assert.deepEqual(gotLines.get(number), lines, `scenario ${number}`);
  assert.deepEqual([...gotLines.keys()], [...wantedLines.keys()]);
}

redisTest('publish, fan-out and groups (1 to 4c)', async t => {
  await scene(t, async scene => {
    const first = scene.bus();
    const ttl = scene.bus({ streamIdleTtlMs: 60_000 });
    await scene.part('1');
    await first.publish('t.pub', event('workflow.start', { a: 1 }));
    await scene.part('1b');
    const untrimmed = scene.bus({ maxStreamLength: 0 });
    await untrimmed.publish('t.pub', event('x'));
    await untrimmed.close();
    await scene.part('1c');
    await ttl.publish('t.ttl', event('x'));

    const [a, b, c] = [recorder(), recorder(), recorder()];
    await scene.part('2');
    await first.subscribe('t.pub', a.callback);
    await a.count(2);
    await scene.part('2b');
    await first.subscribe('t.pub', b.callback);
    await b.count(2);
    await scene.part('2c');
    await first.subscribe('t.pub', c.callback, { startFrom: 'latest' });
    await scene.part('2d');
    await first.publish('t.pub', event('fan'));
    await Promise.all([a.count(3), b.count(3), c.count(1)]);
    await scene.part('2e');
    for (const { callback } of [a, b, c]) await first.unsubscribe('t.pub', callback);

    const worker = recorder();
    await scene.part('3');
    await first.subscribe('t.grp', worker.callback, { group: 'workers' });
    await scene.reading('t.grp', 1);
    await scene.part('3b');
    await first.publish('t.grp', event('g1'));
    await worker.count(1);
    await scene.part('3c');
    const second = scene.bus();
    await second.subscribe('t.grp', () => {}, { group: 'workers' });
    await scene.reading('t.grp', 2);
    await scene.part('3d');
    const live = scene.bus();
    await live.subscribe('t.grp', () => {}, { group: 'live', startFrom: 'latest' });
    await scene.reading('t.grp', 3);
    await second.close();
    await live.close();
    await first.unsubscribe('t.grp', worker.callback);

    await scene.part('4');
    const refuses = recorder((_, settle, n) => (n < 3 ? settle.nack() : settle.ack()));
    await first.subscribe('t.nack', refuses.callback, { group: 'w' });
    await first.publish('t.nack', event('n'));
    await refuses.count(3);
    await first.unsubscribe('t.nack', refuses.callback);
    assert.deepEqual(refuses.seen.map(one => one.deliveryAttempt), [1, 2, 3]);
    await scene.part('4b');
    const capped = scene.bus({ maxDeliveryAttempts: 2 });
    const never = recorder((_, settle) => settle.nack());
    await capped.subscribe('t.cap', never.callback, { group: 'w' });
    await capped.publish('t.cap', event('poison'));
    await never.count(2);
    await capped.close();
    await scene.part('4c');
    const once = recorder((_, settle, n) => (n < 2 ? settle.nack() : settle.ack()));
    await ttl.subscribe('t.ttl2', once.callback, { group: 'w' });
    await ttl.publish('t.ttl2', event('n'));
    await once.count(2);
    await ttl.unsubscribe('t.ttl2', once.callback);
    await scene.part('the end');
    await first.close();
    await ttl.close();
  });
});

redisTest('reclaim, time-outs and heartbeats (5 to 7)', async t => {
  await scene(t, async scene => {
    const crashed = await scene.other();
    const leftBehind = async (topic, consumer, text) => {
      await crashed.xAdd(topic, '*', { event: text });
      await crashed.xGroupCreate(topic, 'w', '0');
      await crashed.xReadGroup('w', consumer, { key: topic, id: '>' }, { COUNT: 10 });
    };
    const lost = { ...event('lost', {}, 'r'), id: 'id-lost', createdAt: '2026-01-01T00:00:00.000Z', deliveryAttempt: 1 };
    await scene.part('5');
    await leftBehind('mastra:topic:t.rec', 'dead-consumer', JSON.stringify(lost));
    const heir = recorder();
    const reclaiming = scene.bus({ reclaimIntervalMs: 300, reclaimIdleMs: 500 });
    await reclaiming.subscribe('t.rec', heir.callback, { group: 'w' });
    await heir.count(1);
    await reclaiming.close();
    assert.equal(heir.seen[0].deliveryAttempt, 1);

    await scene.part('5b');
    await leftBehind('mastra:topic:t.rec2', 'dead', '{}');
    await crashed.xTrim('mastra:topic:t.rec2', 'MAXLEN', 0);
    await crashed.xPending('mastra:topic:t.rec2', 'w');
    const quick = scene.bus({ reclaimIntervalMs: 300, reclaimIdleMs: 100 });
    await quick.subscribe('t.rec2', () => assert.fail('it is gone'), { group: 'w' });
    await scene.watch.seen('"XCLAIM" "mastra:topic:t.rec2"');
    await quick.close();
    // The second question of the capture is a repeated one.
    assert.equal((await crashed.xPending('mastra:topic:t.rec2', 'w')).pending, 0);

    await scene.part('6');
    const patient = recorder((_, settle, n) => (n === 1 ? undefined : settle.ack()));
    const timing = scene.bus({ reclaimIntervalMs: 300, inFlightTimeoutMs: 200 });
    await timing.subscribe('t.hang', patient.callback, { group: 'w' });
    await timing.publish('t.hang', event('hang'));
    await patient.count(2);
    await scene.watch.seen('"XPENDING" "mastra:topic:t.hang" "w" "IDLE"');
    await timing.close();
    await scene.part('7');
    const long = recorder(async (_, settle) => {
      await settle.extend();
      await settle.ack();
    });
    const beating = scene.bus();
    await beating.subscribe('t.ext', long.callback, { group: 'w' });
    await beating.publish('t.ext', event('long'));
    await long.count(1);
    await beating.close();
    await scene.part('the end');
    await crashed.quit();
  });
});

redisTest('clearing, trimming and leases (8 to 10g)', async t => {
  await scene(t, async scene => {
    const bus = scene.bus();
    const all = recorder();
    await scene.part('8');
    await bus.subscribe('t.clr', all.callback);
    await bus.publish('t.clr', event('c1'));
    await all.count(1);
    await scene.part('8a');
    await bus.clearTopic('t.clr');
    await scene.watch.seen('"CREATE" "mastra:topic:t.clr"', 2);
    await scene.part('8b');
    await bus.publish('t.clr', event('c2'));
    await all.count(2);
    await bus.unsubscribe('t.clr', all.callback);

    await scene.part('8c');
    const ttl = scene.bus({ streamIdleTtlMs: 60_000 });
    const other = await scene.other();
    const none = recorder();
    await ttl.subscribe('t.clr2', none.callback);
    await scene.reading('t.clr2', 1);
    await other.del('mastra:topic:t.clr2');
    await scene.watch.seen('"CREATE" "mastra:topic:t.clr2"', 2);
    await ttl.unsubscribe('t.clr2', none.callback);

    await scene.part('9');
    // The captured events were published within one millisecond.
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
    const part = (producedAt, runId, more) => bus.publish('t.trim', event('stream-part', { producedAt, ...more }, runId));
    await part(900, 'run-a');
    await part(950, 'run-a', { pinned: true });
    await part(2000, 'run-a');
    await part(900, 'run-b');
    t.mock.timers.reset();
    await scene.part('9a');
    await bus.trimTopic('t.trim', { runId: 'run-a', producedBefore: 1000 });
    await scene.part('9b');
    await bus.trimTopic('t.trim', { runId: 'run-a' });
    await scene.part('10');
    assert.deepEqual(await bus.acquireLease('thread-1', 'owner-A', 30_000), { acquired: true, owner: 'owner-A' });
    await scene.part('10b');
    assert.deepEqual(await bus.acquireLease('thread-1', 'owner-A', 30_000), { acquired: true, owner: 'owner-A' });
    await scene.part('10c');
    assert.deepEqual(await bus.acquireLease('thread-1', 'owner-B', 30_000), { acquired: false, owner: 'owner-A' });
    await scene.part('10d');
    assert.equal(await bus.renewLease('thread-1', 'owner-A', 30_000), true);
    assert.equal(await bus.renewLease('thread-1', 'owner-B', 30_000), false);
    await scene.part('10e');
    assert.equal(await bus.transferLease('thread-1', 'owner-A', 'owner-B', 30_000), true);
    await scene.part('10f');
    assert.equal(await bus.getLeaseOwner('thread-1'), 'owner-B');
    await scene.part('10g');
    await bus.releaseLease('thread-1', 'owner-A');
    await bus.releaseLease('thread-1', 'owner-B');
    await scene.part('11');
    await ttl.close();
    await bus.close();
    await scene.part('the end');
    await other.quit();
  });
});

redisTest('a nack reaches every group (12 to 13)', async t => {
  await scene(t, async scene => {
    await scene.part('12');
    const trimming = scene.bus({ trimRedeliveries: true });
    const once = recorder((_, settle, n) => (n < 2 ? settle.nack() : settle.ack()));
    await trimming.subscribe('t.nack2', once.callback, { group: 'w' });
    await trimming.publish('t.nack2', event('n'));
    await once.count(2);
    await trimming.close();
    await scene.part('12b');
    const timing = scene.bus({ trimRedeliveries: true, reclaimIntervalMs: 300, inFlightTimeoutMs: 200 });
    const patient = recorder((_, settle, n) => (n === 1 ? undefined : settle.ack()));
    await timing.subscribe('t.hang2', patient.callback, { group: 'w' });
    await timing.publish('t.hang2', event('hang'));
    await patient.count(2);
    await scene.watch.seen('"XPENDING" "mastra:topic:t.hang2" "w" "IDLE"');
    await timing.close();

    await scene.part('13');
    const bus = scene.bus();
    const refuses = recorder((_, settle, n) => (n === 1 ? settle.nack() : settle.ack()));
    const [content, all] = [recorder(), recorder()];
    await bus.subscribe('t.x', refuses.callback, { group: 'A' });
    await scene.reading('t.x', 1);
    await bus.subscribe('t.x', content.callback, { group: 'B' });
    await scene.reading('t.x', 2);
    await bus.subscribe('t.x', all.callback);
    await scene.reading('t.x', 3);
    await bus.publish('t.x', event('x'));
    await Promise.all([refuses, content, all].map(one => one.count(2)));
    for (const { seen } of [refuses, content, all]) assert.deepEqual(seen.map(one => one.deliveryAttempt), [1, 2]);
    await bus.close();
    await scene.part('the end');
  });
});
