// What the package does on the wire, for the table "Observed" of README.md. A failure here after an update of the package
// means that the table, and what the Rust side relies on, must be looked at again.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { eventually, rawBroker, rawClient, scratch } from './driver.mjs';

const UNDEFINED = '{"__m_codec__":"Undefined"}';
const eventLine = (data, more = '') =>
  `{"type":"event","topic":"t","event":{"type":"x","runId":"r","data":${JSON.stringify(data)},"id":"i${data}",` +
  `"createdAt":{"__m_codec__":"Date","v":"1970-01-01T00:00:00.000Z"},"deliveryAttempt":1}${more}}`;

test('the frames a client writes', async t => {
  const { path, start } = scratch(t);
  const broker = await rawBroker(t, path);
  const client = await start();
  await client.do('subscribe', { topic: 't', as: 'a' });
  await client.do('subscribe', { topic: 't', as: 'b' });
  await client.do('subscribe', { topic: 'jobs', as: 'w', group: 'g' });
  await client.publish('t', 1);
  await client.do('publish', { topic: 't', event: { type: 'x', runId: 'r', data: 2 }, localOnly: false });
  await client.do('publish', { topic: 't', event: { type: 'x', runId: 'r', data: 3 }, localOnly: true });
  await client.do('unsubscribe', { topic: 't', as: 'a' });
  await client.do('unsubscribe', { topic: 't', as: 'b' });
  await client.do('unsubscribe', { topic: 'jobs', as: 'w' });
  assert.deepEqual(await broker.lines.count(6), [
    `{"type":"subscribe","topic":"t","group":${UNDEFINED}}`,
    '{"type":"subscribe","topic":"jobs","group":"g"}',
    `{"type":"publish","topic":"t","event":{"type":"x","runId":"r","data":1},"localOnly":${UNDEFINED}}`,
    '{"type":"publish","topic":"t","event":{"type":"x","runId":"r","data":2},"localOnly":false}',
    `{"type":"unsubscribe","topic":"t","group":${UNDEFINED}}`,
    '{"type":"unsubscribe","topic":"jobs","group":"g"}',
  ]);
});

test('a client takes events without group and with an undefined one, and drops those with group null', async t => {
  const { path, start } = scratch(t);
  const broker = await rawBroker(t, path);
  const client = await start();
  await client.do('subscribe', { topic: 't', as: 'a' });
  broker.send(eventLine('absent'));
  broker.send(eventLine('null', ',"group":null'));
  broker.send(eventLine('other', ',"group":"nobody"'));
  broker.send(eventLine('undefined', `,"group":${UNDEFINED}`));
  const events = await client.events.until(items => items.at(-1)?.event.data === 'undefined', 'the last event');
  assert.deepEqual(events.map(e => e.event.data), ['absent', 'undefined']);
});

test('a client survives malformed lines, unknown frames, repeated acknowledgements and odd framing', async t => {
  const { path, start } = scratch(t);
  const broker = await rawBroker(t, path);
  const client = await start();
  await client.do('subscribe', { topic: 't', as: 'a' });
  const noise = [
    '', '   ', '{', 'null', '7', '"text"', '[]', '{}', '{"type":"hello","version":9}', '{"type":7}',
    '{"type":"event"}', '{"type":"event","topic":"t"}', '{"type":"subscribed","topic":"t"}', '{"type":"unsubscribed","topic":"never"}',
    `{"type":"event","topic":"t","event":{"__m_codec__":"BigInt","v":"x"}}`,
  ];
  for (const line of noise) broker.send(line);
  broker.connections.items[0].write(Buffer.from([0xff, 0xfe, 0x0a]));
  broker.send(eventLine('crlf') + '\r');
  for (const byte of Buffer.from(eventLine('ünsplit') + '\n')) broker.connections.items[0].write(Buffer.from([byte]));
  const events = await client.events.until(items => items.at(-1)?.event.data === 'ünsplit', 'the last event');
  assert.deepEqual(events.map(e => e.event.data).filter(d => typeof d === 'string'), ['crlf', 'ünsplit']);
  assert.equal(broker.connections.items.length, 1);
});

test('createdAt reaches the callback as it was sent', async t => {
  const { path, start } = scratch(t);
  const broker = await rawBroker(t, path);
  const client = await start();
  await client.do('subscribe', { topic: 't', as: 'a' });
  broker.send(eventLine('date'));
  broker.send('{"type":"event","topic":"t","event":{"type":"x","runId":"r","id":"i","createdAt":"1970-01-01T00:00:00.000Z"}}');
  const events = await client.events.count(2);
  assert.deepEqual(events.map(e => e.createdAtIsDate), [true, false]);
});

test('a client whose connection drops comes back and asks for every membership again, one after the other', async t => {
  const { path, start } = scratch(t);
  const broker = await rawBroker(t, path);
  const client = await start();
  await client.do('subscribe', { topic: 't', as: 'a' });
  await client.do('subscribe', { topic: 'jobs', as: 'w', group: 'g' });
  await client.do('subscribe', { topic: 't', as: 'v', group: 'g' });
  broker.connections.items[0].destroy();
  const lines = await broker.lines.count(6);
  assert.deepEqual(lines.slice(3), [
    `{"type":"subscribe","topic":"t","group":${UNDEFINED}}`,
    '{"type":"subscribe","topic":"t","group":"g"}',
    '{"type":"subscribe","topic":"jobs","group":"g"}',
  ]);
  broker.send(eventLine('back'));
  assert.equal((await client.events.count(1))[0].event.data, 'back');
});

test('a client that gets no acknowledgement goes on after its timeout', async t => {
  const { path, start } = scratch(t);
  const broker = await rawBroker(t, path, { acknowledges: false });
  const client = await start({ membershipAckTimeoutMs: 50 });
  await client.do('subscribe', { topic: 't', as: 'a' });
  broker.send(eventLine('heard'));
  assert.equal((await client.events.count(1))[0].event.data, 'heard');
});

test('a client that gets a line over its limit drops the connection and comes back', async t => {
  const { path, start } = scratch(t);
  const broker = await rawBroker(t, path);
  const client = await start({ maxInboundFrameBytes: 1000 });
  await client.do('subscribe', { topic: 't', as: 'a' });
  broker.send(' '.repeat(1000));
  broker.send(eventLine('at the limit nothing happens'));
  await client.events.count(1);
  assert.equal(broker.connections.items.length, 1);
  broker.send(' '.repeat(1001));
  await broker.connections.count(2);
  await broker.lines.count(2);
});

test('a broker acknowledges what was asked, and stamps events', async t => {
  const { path, start } = scratch(t);
  const broker = await start();
  await broker.do('subscribe', { topic: 'noop', as: 'noop' });
  const raw = await rawClient(t, path);
  raw.send('{"type":"subscribe","topic":"t"}');
  raw.send(`{"type":"subscribe","topic":"t","group":${UNDEFINED}}`);
  raw.send('{"type":"subscribe","topic":"t","group":null}');
  raw.send('{"type":"subscribe","topic":"t","group":""}');
  raw.send('{"type":"unsubscribe","topic":"never"}');
  raw.send('{"type":"ack","id":"x"}');
  raw.send('{"type":"publish","topic":"t","event":{"id":"mine","deliveryAttempt":9,"index":7,"type":"x","runId":"r","extra":1}}');
  const lines = await raw.lines.count(7);
  assert.deepEqual(lines.slice(0, 5), [
    '{"type":"subscribed","topic":"t"}',
    '{"type":"subscribed","topic":"t"}',
    '{"type":"subscribed","topic":"t","group":null}',
    '{"type":"subscribed","topic":"t","group":""}',
    '{"type":"unsubscribed","topic":"never"}',
  ]);
  const stamped = lines[5].replace(/"id":"[0-9a-f-]{36}"/, '"id":ID').replace(/"v":"[^"]*"/, '"v":TIME');
  assert.equal(
    stamped,
    '{"type":"event","topic":"t","event":{"id":ID,"deliveryAttempt":1,"index":7,"type":"x","runId":"r","extra":1,' +
      '"createdAt":{"__m_codec__":"Date","v":TIME}}}',
  );
  assert.equal(lines[6].slice(0, -1), lines[5].slice(0, -1) + ',"group":""');
});

test('a broker survives noise, and drops frames whose values do not decode', async t => {
  const { path, start } = scratch(t);
  const broker = await start();
  await broker.do('subscribe', { topic: 't', as: 'a' });
  const raw = await rawClient(t, path);
  const publish = data => raw.send(`{"type":"publish","topic":"t","event":{"type":"x","runId":"r","data":${data}}}`);
  for (const line of ['', '{', 'null', '7', '[]', '{}', '{"type":"hello"}', '{"type":"subscribed","topic":"t"}']) raw.send(line);
  raw.socket.write(Buffer.from([0xff, 0x0a]));
  publish('{"__m_codec__":"BigInt","v":"x"}');
  publish('{"__m_codec__":"URL","v":"no url"}');
  publish('{"__m_codec__":"Map","v":[1]}');
  publish('{"__m_codec__":"Nope","v":1}');
  raw.send('{"type":"subscribe"}');
  publish('"last"');
  const events = await broker.events.count(2);
  const unknownTag = { __m_codec__: 'Plain', v: [['__m_codec__', 'Nope'], ['v', 1]] };
  assert.deepEqual(events.map(e => e.event.data), [unknownTag, 'last']);
  assert.deepEqual(await raw.lines.count(1), [`{"type":"subscribed","topic":${UNDEFINED}}`]);
});

test('a broker closes a connection whose line is over the limit, terminated or not', async t => {
  const { path, start } = scratch(t);
  const broker = await start({ maxInboundFrameBytes: 200 });
  await broker.do('subscribe', { topic: 'noop', as: 'noop' });
  const clients = async () => (await broker.do('status')).remoteClientCount;
  for (const end of ['', '\n']) {
    const raw = await rawClient(t, path);
    await eventually(async () => (await clients()) === 1, 'connected');
    const closed = once(raw.socket, 'close');
    raw.socket.write(' '.repeat(200));
    await broker.do('status');
    raw.socket.write('\n' + '{"type":"subscribe","topic":"t"}\n');
    await raw.lines.count(1);
    raw.socket.write(' '.repeat(201) + end);
    await closed;
    await eventually(async () => (await clients()) === 0, 'gone');
  }
});

test('a localOnly publish from the wire reaches the broker process and the sender, ungrouped only', async t => {
  const { path, start } = scratch(t);
  const broker = await start();
  await broker.do('subscribe', { topic: 't', as: 'plain' });
  await broker.do('subscribe', { topic: 't', as: 'grouped', group: 'g' });
  const sender = await rawClient(t, path);
  const other = await rawClient(t, path);
  for (const raw of [sender, other]) {
    raw.send('{"type":"subscribe","topic":"t"}');
    await raw.lines.count(1);
  }
  sender.send('{"type":"publish","topic":"t","event":{"type":"x","runId":"r","data":"near"},"localOnly":true}');
  sender.send('{"type":"publish","topic":"t","event":{"type":"x","runId":"r","data":"far"}}');
  await broker.events.count(3);
  const seen = broker.events.items.map(e => `${e.as} ${e.event.data}`);
  assert.deepEqual(seen, ['plain near', 'plain far', 'grouped far']);
  const datas = lines => lines.slice(1).map(line => JSON.parse(line).event.data);
  assert.deepEqual(datas(await sender.lines.count(3)), ['near', 'far']);
  assert.deepEqual(datas(await other.lines.count(2)), ['far']);
});

test('the members of a group are served in turn, the broker first, then by age of connection', async t => {
  const { path, start } = scratch(t);
  const broker = await start();
  const clients = [];
  await broker.do('subscribe', { topic: 'noop', as: 'noop' });
  for (let number = 0; number < 2; number++) {
    const client = await start();
    clients.push(client);
    await client.do('subscribe', { topic: 'jobs', as: 'w', group: 'g' });
  }
  await broker.do('subscribe', { topic: 'jobs', as: 'w', group: 'g' });
  await broker.do('publishMany', { topic: 'jobs', count: 6 });
  const seqs = async peer => (await peer.events.count(2)).map(e => e.event.data.seq);
  assert.deepEqual(await Promise.all([broker, ...clients].map(seqs)), [[0, 3], [1, 4], [2, 5]]);
});

test('a broker dies of an invalid date that a remote subscriber would get, and leaves its socket', async t => {
  const { path, start } = scratch(t);
  const broker = await start();
  await broker.do('subscribe', { topic: 'noop', as: 'noop' });
  const raw = await rawClient(t, path);
  raw.send('{"type":"subscribe","topic":"t"}');
  await raw.lines.count(1);
  raw.send('{"type":"publish","topic":"t","event":{"type":"x","data":{"__m_codec__":"Date","v":"soon"}}}');
  assert.match((await broker.message(m => m.fatal, 'fatal')).fatal, /Invalid time value/);
  assert.equal(await broker.exited, 70);
  assert.ok(existsSync(path));
});

test('when the broker is killed a client takes over and leaves no election lock', async t => {
  const { path, start } = scratch(t);
  const broker = await start();
  await broker.do('subscribe', { topic: 'noop', as: 'noop' });
  const heirs = [await start(), await start()];
  for (const heir of heirs) await heir.do('subscribe', { topic: 't', as: 'a' });
  broker.child.kill('SIGKILL');
  await broker.exited;
  const clientsOf = async heir => (await heir.do('status')).remoteClientCount;
  await eventually(async () => {
    const clients = await Promise.all(heirs.map(clientsOf));
    return clients.includes(1) && !existsSync(path + '.elect');
  }, 'one heir serves the other and the lock is gone');
  const roles = await Promise.all(heirs.map(heir => heir.do('status')));
  assert.deepEqual(roles.map(role => role.isBroker).sort(), [false, true]);
});

test('a slow subscriber over the queue limit is cut off, the others are not', async t => {
  const { path, start } = scratch(t);
  const broker = await start({ maxRemoteClientQueuedBytes: 256 * 1024 });
  await broker.do('subscribe', { topic: 'noop', as: 'noop' });
  const healthy = await start();
  await healthy.do('subscribe', { topic: 't', as: 'a', quiet: true });
  const raw = await rawClient(t, path);
  raw.send('{"type":"subscribe","topic":"t"}');
  await raw.lines.count(1);
  raw.socket.pause();
  for (let count = 1; count <= 40; count++) {
    await broker.do('publishMany', { topic: 't', count: 1, from: count, bytes: 32 * 1024 });
    await healthy.do('reached', { as: 'a', count });
  }
  assert.equal((await broker.do('status')).remoteClientCount, 1);
});
