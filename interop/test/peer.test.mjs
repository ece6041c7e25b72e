import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { scratch } from './driver.mjs';

/** A broker and a client of it, in two processes. */
async function pair(t, options) {
  const { path, start } = scratch(t);
  const broker = await start(options);
  await broker.do('subscribe', { topic: 'noop', as: 'noop' });
  const client = await start(options);
  await client.do('subscribe', { topic: 'noop', as: 'noop' });
  return { path, start, broker, client };
}

test('the first to subscribe is the broker, the next its client', async t => {
  const { broker, client } = await pair(t);
  const { isBroker, remoteClientCount } = await broker.do('status');
  assert.deepEqual([isBroker, remoteClientCount], [true, 1]);
  assert.equal((await client.do('status')).isBroker, false);
});

test('an event reaches both processes with one id, and its values are told apart', async t => {
  const { broker, client } = await pair(t);
  for (const peer of [broker, client]) await peer.do('subscribe', { topic: 'a', as: 'a' });
  const data = {
    at: { __m_codec__: 'Date', v: '1970-01-01T00:00:00.000Z' },
    none: { __m_codec__: 'Undefined' },
    big: { __m_codec__: 'BigInt', v: '9007199254740993' },
    lone: { __m_codec__: 'Utf16', v: [0xd800] },
    separators: '\u2028\u2029',
  };
  await client.publish('a', data);
  const [[atBroker], [atClient]] = await Promise.all([broker.events.count(1), client.events.count(1)]);
  assert.deepEqual(atClient.event.data, data);
  assert.equal(atClient.event.id, atBroker.event.id);
  for (const seen of [atBroker, atClient]) {
    assert.deepEqual([seen.as, seen.topic, seen.createdAtIsDate, seen.event.deliveryAttempt], ['a', 'a', true, 1]);
    assert.equal(seen.event.createdAt.__m_codec__, 'Date');
    assert.equal(typeof seen.t, 'number');
  }
});

test('a label on two topics is one callback, and the topic is then unknown', async t => {
  const { client } = await pair(t);
  await client.do('subscribe', { topic: 'a', as: 'both' });
  await client.do('subscribe', { topic: 'b', as: 'both' });
  await client.publish('a', 1);
  await client.publish('b', 2);
  const events = await client.events.count(2);
  assert.deepEqual(events.map(e => [e.as, e.topic, e.event.data]), [['both', null, 1], ['both', null, 2]]);
  await client.do('unsubscribe', { topic: 'a', as: 'both' });
  await client.publish('a', 3);
  await client.publish('b', 4);
  await client.events.count(3);
  assert.deepEqual(client.events.items.slice(2).map(e => [e.topic, e.event.data]), [['b', 4]]);
});

test('the members of a group share the events of a topic', async t => {
  const { broker, client } = await pair(t);
  for (const peer of [broker, client]) await peer.do('subscribe', { topic: 'jobs', as: 'w', group: 'g', quiet: true });
  await broker.do('publishMany', { topic: 'jobs', count: 6 });
  for (const peer of [broker, client]) assert.equal((await peer.do('reached', { as: 'w', count: 3 })).count, 3);
});

test('nackUntil asks for redelivery until the attempt is reached', async t => {
  const { client } = await pair(t);
  await client.do('subscribe', { topic: 'n', as: 'n', nackUntil: 3 });
  await client.publish('n', 'again');
  const events = await client.events.count(3);
  assert.deepEqual(events.map(e => e.event.deliveryAttempt), [1, 2, 3]);
  assert.equal(new Set(events.map(e => e.event.id)).size, 1);
});

for (const kind of [true, 'async']) {
  test(`a callback that throws (${kind}) harms nobody`, async t => {
    const { client } = await pair(t);
    await client.do('subscribe', { topic: 'x', as: 'bad', throw: kind });
    await client.do('subscribe', { topic: 'x', as: 'good' });
    await client.publish('x', 1);
    const events = await client.events.count(2);
    assert.deepEqual(events.map(e => e.as), ['bad', 'good']);
  });
}

test('localOnly stays in the process', async t => {
  const { broker, client } = await pair(t);
  for (const peer of [broker, client]) await peer.do('subscribe', { topic: 'l', as: 'l' });
  await client.do('publish', { topic: 'l', event: { type: 'x', runId: 'r', data: 'here' }, localOnly: true });
  await client.publish('l', 'everywhere');
  await client.events.count(2);
  const [first] = await broker.events.count(1);
  assert.equal(first.event.data, 'everywhere');
});

test('a flood is counted without notifications', async t => {
  const { broker, client } = await pair(t);
  await client.do('subscribe', { topic: 'f', as: 'f', quiet: true });
  const published = await broker.do('publishMany', { topic: 'f', count: 500, bytes: 100, from: 10 });
  assert.deepEqual([published.published, published.rejected, published.errors], [500, 0, {}]);
  const stats = await client.do('reached', { as: 'f', count: 500 });
  const { count, firstSeq, lastSeq, outOfOrder, duplicates, distinct } = stats;
  assert.deepEqual({ count, firstSeq, lastSeq, outOfOrder, duplicates, distinct }, {
    count: 500, firstSeq: 10, lastSeq: 509, outOfOrder: 0, duplicates: 0, distinct: 500,
  });
  assert.deepEqual(client.events.items, []);
  await broker.do('publishMany', { topic: 'f', count: 1, from: 3 });
  assert.equal((await client.do('reached', { as: 'f', count: 501 })).outOfOrder, 1);
  await client.do('resetStats', { as: 'f' });
  assert.equal((await client.do('stats', { as: 'f' })).count, 0);
});

test('reached fails when the events do not come', async t => {
  const { client } = await pair(t);
  const reply = await client.reply('reached', { as: 'noop', count: 1, withinMs: 20 });
  assert.deepEqual([reply.ok, reply.error], [false, 'noop has 0 of 1 events after 20 ms']);
});

test('big data is reported by its hash', async t => {
  const { broker, client } = await pair(t);
  await client.do('subscribe', { topic: 'big', as: 'big' });
  const sent = await broker.do('publishBig', { topic: 'big', chars: 200_000 });
  const [seen] = await client.events.count(1);
  assert.deepEqual(seen.big, { bytes: sent.bytes, sha256: sent.sha256 });
  assert.equal(sent.bytes, 200_000 + '{"big":""}'.length);
  assert.ok(!('data' in seen.event));
});

test('a command that fails says so and the peer goes on', async t => {
  const { client } = await pair(t);
  client.write('nonsense\n');
  assert.match((await client.message(m => m.reply === null, 'complaint')).error, /JSON object with an "id"/);
  assert.match((await client.reply('fly')).error, /unknown command "fly"/);
  assert.match((await client.reply('subscribe', { topic: 't' })).error, /needs "as"/);
  assert.match((await client.reply('stats', { as: 'nobody' })).error, /no subscriber "nobody"/);
  assert.equal((await client.do('status')).isBroker, false);
});

test('a subscribe that waits does not block what follows', async t => {
  const { broker, client } = await pair(t, { membershipAckTimeoutMs: 60_000 });
  broker.child.kill('SIGSTOP');
  const pending = client.do('subscribe', { topic: 'late', as: 'late' });
  assert.equal((await client.do('status')).isBroker, false);
  assert.ok(!client.messages.items.some(m => m.reply === 2), 'the subscribe is still pending');
  broker.child.kill('SIGCONT');
  await pending;
});

test('codec: a value is shown as it arrives and as it travels', async t => {
  const { client } = await pair(t);
  const value = { at: { __m_codec__: 'Date', v: '1970-01-01T00:00:00.000Z' }, n: { __m_codec__: 'Number', v: 'NaN' } };
  const { dropped, arrived, wire } = await client.do('codec', { value });
  assert.equal(dropped, false);
  assert.deepEqual(arrived, { ...value, n: null });
  assert.equal(wire, '{"at":{"__m_codec__":"Date","v":"1970-01-01T00:00:00.000Z"},"n":null}');
});

test('codec: wire text is shown as it arrives and as the broker relays it', async t => {
  const { client } = await pair(t);
  const cases = [
    ['{"__m_codec__":"Class","n":"Nobody","v":{"a":1}}', { a: 1 }, '{"a":1}'],
    ['{"__m_codec__":"Nope","v":1}', { __m_codec__: 'Plain', v: [['__m_codec__', 'Nope'], ['v', 1]] }, '{"__m_codec__":"Nope","v":1}'],
    ['12345678901234567890', 12345678901234567890, '12345678901234567000'],
    ['{"__m_codec__":"Undefined"}', { __m_codec__: 'Undefined' }, '{"__m_codec__":"Undefined"}'],
  ];
  for (const [text, arrived, wire] of cases) {
    const seen = await client.do('codec', { text });
    assert.deepEqual([seen.dropped, seen.arrived, seen.wire], [false, arrived, wire], text);
  }
  assert.equal((await client.do('codec', { text: '{"__m_codec__":"BigInt","v":"x"}' })).dropped, true);
  assert.equal((await client.do('codec', { text: 'not json' })).dropped, true);
  assert.match((await client.reply('codec', { value: { __m_codec__: 'InvalidDate' } })).error, /Invalid time value/);
  assert.equal((await client.do('codec', { text: '1' })).arrived, 1);
});

test('flush and close are answered, after close nothing works', async t => {
  const { path, broker, client } = await pair(t);
  await broker.do('flush');
  await client.do('close');
  assert.match((await client.reply('publish', { topic: 'a', event: { type: 'x', runId: 'r' } })).error, /closed/);
  await broker.do('close');
  assert.ok(!existsSync(path));
});

test('exit and the end of the input both end the process with status 0', async t => {
  const { broker, client } = await pair(t);
  await client.do('exit');
  assert.equal(await client.exited, 0);
  broker.child.stdin.end();
  assert.equal(await broker.exited, 0);
});

test('constructor errors are fatal, with status 70', async t => {
  const { path } = scratch(t);
  const { Peer } = await import('./driver.mjs');
  const peer = new Peer(path, { maxInboundFrameBytes: 0 });
  const { fatal } = await peer.message(m => m.fatal, 'fatal');
  assert.match(fatal, /maxInboundFrameBytes must be a positive finite number/);
  assert.equal(await peer.exited, 70);
});

test('the in-process buses can be driven too', async t => {
  const { start } = scratch(t);
  const emitter = await start({ bus: 'emitter' });
  await emitter.do('subscribe', { topic: 'a', as: 'a' });
  await emitter.publish('a', 1);
  assert.equal((await emitter.events.count(1))[0].event.data, 1);
  assert.equal((await emitter.do('status')).isBroker, null);

  const caching = await start({ bus: 'caching' });
  for (const n of [0, 1, 2]) await caching.publish('h', n);
  assert.deepEqual((await caching.do('history', { topic: 'h', offset: 1 })).indices, [1, 2]);
  await caching.do('subscribe', { topic: 'h', as: 'h', offset: 2 });
  await caching.publish('h', 3);
  assert.deepEqual((await caching.events.count(2)).map(e => e.event.index), [2, 3]);
  await caching.do('clearTopic', { topic: 'h' });
  assert.equal((await caching.do('history', { topic: 'h' })).count, 0);
});
