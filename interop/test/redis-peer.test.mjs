// The peer with a Redis bus and the package's caches, driven as the Rust tests drive it.
import assert from 'node:assert/strict';
import { createClient } from 'redis';
import { eventually, scratch } from './driver.mjs';
import { redisTest, startRedis } from './redis-server.mjs';

async function meeting(t) {
  const { start } = scratch(t);
  const { url, before } = await startRedis(t);
  const client = createClient({ url });
  client.on('error', () => {});
  await client.connect();
  before(() => client.destroy());
  return { url, client, peer: options => start({ bus: 'redis', blockMs: 50, ...options }, url) };
}

redisTest('two peers on one server: fan-out, a shared group, refusals', async t => {
  const { peer } = await meeting(t);
  const [one, two] = await Promise.all([peer(), peer()]);
  for (const each of [one, two]) {
    await each.do('subscribe', { topic: 't', as: 'all' });
    await each.do('subscribe', { topic: 't', as: 'member', group: 'g', nackUntil: 2 });
  }
  await one.publish('t', { when: { __m_codec__: 'Date', v: '1970-01-01T00:00:00.000Z' }, lone: { __m_codec__: 'Utf16', v: [0xd800] } });
  // The refusal publishes a copy, which everybody gets.
  for (const each of [one, two]) {
    const seen = await each.events.until(items => items.filter(one => one.as === 'all').length === 2, 'both deliveries');
    const [first, second] = seen.filter(one => one.as === 'all').map(one => one.event);
    assert.deepEqual(first.data, { when: '1970-01-01T00:00:00.000Z', lone: { __m_codec__: 'Utf16', v: [0xd800] } });
    assert.deepEqual([first.deliveryAttempt, second.deliveryAttempt, first.id], [1, 2, second.id]);
  }
  const members = () => [one, two].flatMap(each => each.events.items.filter(one => one.as === 'member'));
  await eventually(() => members().length >= 2, 'both attempts of the group');
  assert.deepEqual(members().map(one => one.event.deliveryAttempt).sort(), [1, 2]);
});

redisTest('startFrom latest leaves the history out', async t => {
  const { peer } = await meeting(t);
  const one = await peer();
  await one.publish('t', 'old');
  await one.do('subscribe', { topic: 't', as: 'live', startFrom: 'latest' });
  await one.publish('t', 'new');
  assert.deepEqual((await one.events.count(1)).map(seen => seen.event.data), ['new']);
});

redisTest('leases between peers', async t => {
  const { peer } = await meeting(t);
  const [one, two] = await Promise.all([peer(), peer()]);
  const lease = { key: 'k', ttlMs: 60_000 };
  const fields = ({ acquired, owner }) => ({ acquired, owner });
  assert.deepEqual(fields(await one.do('acquire', { ...lease, owner: 'a' })), { acquired: true, owner: 'a' });
  assert.deepEqual(fields(await two.do('acquire', { ...lease, owner: 'b' })), { acquired: false, owner: 'a' });
  assert.equal((await two.do('renew', { ...lease, owner: 'b' })).held, false);
  assert.equal((await one.do('transfer', { ...lease, owner: 'a', to: 'b' })).held, true);
  assert.equal((await one.do('owner', { key: 'k' })).owner, 'b');
  await two.do('release', { key: 'k', owner: 'b' });
  assert.equal((await one.do('owner', { key: 'k' })).owner, null);
});

redisTest('the replay cache of the package over our bus', async t => {
  const { url, client, peer } = await meeting(t);
  const cache = { kind: 'redis', url, ttlSeconds: 60 };
  const [one, two] = await Promise.all([peer({ cache }), peer({ cache })]);
  await one.publish('s', 0);
  await two.publish('s', 1);
  await one.do('subscribe', { topic: 's', as: 'late', offset: 1 });
  await two.publish('s', 2);
  const seen = await one.events.count(2);
  assert.deepEqual(seen.map(each => [each.event.data, each.event.index]), [[1, 1], [2, 2]]);
  assert.deepEqual((await two.do('history', { topic: 's' })).indices, [0, 1, 2]);
  assert.equal(await client.get('mastra:cache:pubsub:s:counter'), '3');
  await one.do('close');
});

redisTest('an unknown cache is fatal', async t => {
  const { Peer } = await import('./driver.mjs');
  const { path } = scratch(t);
  const one = new Peer(path, { bus: 'emitter', cache: { kind: 'paper' } });
  assert.match((await one.message(message => message.fatal, 'fatal')).fatal, /unknown cache "paper"; known: redis, upstash/);
  assert.equal(await one.exited, 70);
});
