// What subscribers of our bus in Node see, where the wire does not tell it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClient } from 'redis';
import { RedisStreamsPubSub } from '../lib/redis-streams.mjs';
import { eventually } from './driver.mjs';
import { redisTest, startRedis } from './redis-server.mjs';

async function server(t) {
  const { url, before } = await startRedis(t);
  const client = createClient({ url });
  client.on('error', () => {});
  await client.connect();
  before(() => client.destroy());
  const bus = options => {
    const made = new RedisStreamsPubSub({ url, blockMs: 50, ...options });
    before(() => made.close());
    return made;
  };
  return { url, client, bus };
}

function recorder() {
  const seen = [];
  const callback = (event, ack) => {
    seen.push(event);
    return ack();
  };
  const count = number => eventually(() => seen.length >= number, `${number} events`);
  return { seen, callback, count };
}

const event = data => ({ type: 'x', runId: 'r', data });
const groups = async (client, topic) => (await client.xInfoGroups(`mastra:topic:${topic}`)).map(one => one.name);

redisTest('callbacks of one process share a group, those of the older line do not', async t => {
  const { client, bus } = await server(t);
  for (const [older, count] of [[false, 1], [true, 3]]) {
    const topic = `older-${older}`;
    const one = bus({ older });
    const all = [recorder(), recorder(), recorder()];
    for (const { callback } of all) await one.subscribe(topic, callback);
    assert.equal((await groups(client, topic)).length, count);
    await one.publish(topic, event(1));
    await Promise.all(all.map(each => each.count(1)));
    await one.close();
    assert.deepEqual(await groups(client, topic), []);
  }
});

redisTest('each of the sharing callbacks has an event of its own', async t => {
  const { bus } = await server(t);
  const one = bus();
  const last = recorder();
  await one.subscribe('t', (event, ack) => {
    event.data.changed = true;
    return ack();
  });
  await one.subscribe('t', last.callback);
  await one.publish('t', event({ a: 1 }));
  await last.count(1);
  assert.deepEqual(last.seen[0].data, { a: 1 });
  assert.ok(last.seen[0].createdAt instanceof Date);
});

redisTest('who joins late gets the history once and in order, or nothing of it', async t => {
  const { bus } = await server(t);
  const one = bus();
  const [first, earliest, latest] = [recorder(), recorder(), recorder()];
  await one.subscribe('t', first.callback);
  let published = 0;
  const publish = async count => {
    for (const end = published + count; published < end; published++) await one.publish('t', event(published));
  };
  // More than a page of history.
  await publish(600);
  const joined = one.subscribe('t', earliest.callback);
  await publish(50);
  await joined;
  await one.subscribe('t', latest.callback, { startFrom: 'latest' });
  await publish(1);
  await earliest.count(651);
  await latest.count(1);
  assert.deepEqual(earliest.seen.map(one => one.data), [...Array(651).keys()]);
  assert.deepEqual(latest.seen.map(one => one.data), [650]);
});

redisTest('an entry without an event is passed on, one that is not JSON is dropped', async t => {
  const { client, bus } = await server(t);
  const key = 'mastra:topic:t';
  for (const text of ['{"type":', 'null', '7']) await client.xAdd(key, '*', { event: text });
  await client.xAdd(key, '*', { other: 'field' });
  await client.xAdd(key, '*', { event: '{"type":"last","more":[1]}' });
  const all = recorder();
  await bus().subscribe('t', all.callback, { group: 'g' });
  await all.count(2);
  assert.deepEqual(all.seen, [{}, { type: 'last', more: [1] }]);
  await eventually(async () => (await client.xPending(key, 'g')).pending === 0, 'everything is acknowledged');
});

redisTest('the older line takes its own running entries again, the newer does not', async t => {
  const { bus } = await server(t);
  for (const [older, wanted] of [[true, 2], [false, 1]]) {
    const topic = `reclaim-${older}`;
    const one = bus({ older, reclaimIntervalMs: 30, reclaimIdleMs: 30 });
    const seen = [];
    await one.subscribe(topic, event => void seen.push(event), { group: 'g' });
    await one.publish(topic, event(1));
    await one.publish(topic, event(2));
    await eventually(() => seen.length >= 2 * wanted, 'deliveries');
    // Several intervals, in which nothing may come that should not.
    await new Promise(resolve => setTimeout(resolve, 150));
    if (!older) assert.equal(seen.length, 2);
    await one.close();
  }
});

redisTest('localOnly reaches the callbacks of this process and nobody else', async t => {
  const { client, bus } = await server(t);
  const [here, elsewhere] = [bus(), bus()];
  const [plain, grouped, other] = [recorder(), recorder(), recorder()];
  await here.subscribe('t', plain.callback);
  await here.subscribe('t', grouped.callback, { group: 'g' });
  await elsewhere.subscribe('t', other.callback);
  await here.publish('t', event('local'), { localOnly: true });
  assert.equal(plain.seen.length + grouped.seen.length, 2);
  await here.publish('t', event('all'));
  await other.count(1);
  assert.equal(other.seen[0].data, 'all');
  assert.equal(await client.xLen('mastra:topic:t'), 1);
});

redisTest('a closed bus refuses to publish and is quiet about the rest', async t => {
  const { bus } = await server(t);
  const one = bus();
  await one.publish('t', event(1));
  await one.close();
  await assert.rejects(one.publish('t', event(2)), /closed/);
  await one.clearTopic('t');
  assert.deepEqual(await one.acquireLease('k', 'me', 1000), { acquired: false });
  assert.equal(await one.renewLease('k', 'me', 1000), false);
  await one.close();
});

redisTest('close waits for a publish that is still connecting', async t => {
  const { client, bus } = await server(t);
  const one = bus();
  const published = one.publish('t', event(1));
  await one.close();
  await published;
  assert.equal(await client.xLen('mastra:topic:t'), 1);
});

test('impossible options are refused', () => {
  const make = options => () => new RedisStreamsPubSub(options);
  assert.throws(make({ maxDeliveryAttempts: -1 }), /maxDeliveryAttempts/);
  assert.throws(make({ maxDeliveryAttempts: NaN }), /maxDeliveryAttempts/);
  assert.throws(make({ streamIdleTtlMs: 1.5 }), /streamIdleTtlMs/);
  assert.throws(make({ inFlightTimeoutMs: Infinity }), /inFlightTimeoutMs/);
  assert.throws(make({ blockms: 1 }), /unknown option "blockms"/);
});
