// What the measurements on Redis need beside the bus: addresses, a server, and requests without a bus.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readLines } from '../../interop/lib/channel.mjs';
import { nowNs, sleep } from './clock.mjs';
import { Histogram } from './histogram.mjs';
import { loadRedisBus, loadRedisClient } from './packages.mjs';
import { sinceStamp, stamp } from './payload.mjs';

const CAP = 'max_stream_length';

/** Whether `address` is that of a bus on Redis. */
export const isRedis = address => /^(redis|valkey)s?:\/\//.test(address);

/** The address of a bus with this stream cap, 0 for none; without `cap` it has its default. */
export const addressOf = (url, cap) => (cap === undefined ? url : `${url}?${CAP}=${cap}`);

/** `{url, maxStreamLength?}`, the options of a bus at `address`. */
export function optionsOf(address) {
  const [url, option] = address.split('?');
  if (option === undefined) return { url };
  const [name, cap] = option.split('=');
  if (name !== CAP || !/^\d+$/.test(cap)) throw new Error(`${JSON.stringify(option)} in the address; the only option is ${CAP}=<number>`);
  return { url, maxStreamLength: Number(cap) };
}

export async function openBus(address) {
  const { RedisStreamsPubSub } = await loadRedisBus();
  return new RedisStreamsPubSub(optionsOf(address));
}

let topics = 0;
/** A topic that no measurement had before, on this server or another. */
export const freshTopic = () => `bench-${process.pid}-${topics++}-${Date.now().toString(36)}`;

/** Why there is nothing to measure on, if so. */
export function missingServer() {
  if (process.env.REDIS_URL !== undefined) return undefined;
  if (spawnSync('redis-server', ['--version']).status === 0) return undefined;
  return 'redis-server is not on PATH and REDIS_URL is not set; install Redis 7 or name a server';
}

async function freePort() {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

/** Calls `use(url)` with the server that `REDIS_URL` names, or with one of its own that ends with it. */
export async function withServer(use) {
  if (process.env.REDIS_URL !== undefined) return use(process.env.REDIS_URL);
  const port = await freePort();
  const directory = mkdtempSync(join(tmpdir(), 'bowline-w5-'));
  const args = ['--bind', '127.0.0.1', '--port', port, '--save', '', '--appendonly', 'no', '--daemonize', 'no'];
  const server = spawn('redis-server', args.map(String), { cwd: directory, stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await new Promise((resolve, reject) => {
      server.on('error', reject);
      server.on('exit', status => reject(new Error(`redis-server ended with ${status}`)));
      readLines(server.stdout, line => line.includes('Ready to accept connections') && resolve());
    });
    return await use(`redis://127.0.0.1:${port}`);
  } finally {
    server.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * Round trips of one request after the other, each when a timer finds it due, `rate` per second for `seconds`. Each appends an
 * entry of `bytes` bytes, with the instant at its beginning, to the stream `key`; `cap` 0 keeps all.
 */
export async function roundTrips(url, key, cap, bytes, rate, seconds) {
  const { createClient } = await loadRedisClient();
  const client = await createClient({ url }).connect();
  const options = cap > 0 ? { TRIM: { strategy: 'MAXLEN', strategyModifier: '~', threshold: cap } } : undefined;
  const histogram = new Histogram();
  for (let left = Math.round(rate * seconds); left > 0; left--) {
    const called = nowNs();
    await client.xAdd(key, '*', { event: stamp(called).padEnd(bytes, 'x') }, options);
    histogram.add(nowNs() - called);
    await sleep(1000 / rate);
  }
  await client.close();
  return histogram;
}

const GROUP = 'bench-bare';

/** Begins to read the stream `key`, as one consumer of a group that begins now; the entries' times go into `histogram`. */
export async function listen(url, key, histogram) {
  const { createClient } = await loadRedisClient();
  const client = await createClient({ url }).connect();
  await client.xGroupCreate(key, GROUP, '$', { MKSTREAM: true });
  const read = async () => {
    const [stream] = (await client.xReadGroup(GROUP, 'one', { key, id: '>' }, { COUNT: 100, BLOCK: 1000 })) ?? [];
    const now = nowNs();
    for (const { message } of stream?.messages ?? []) histogram.add(sinceStamp(message.event.slice(0, 16), now));
  };
  const loop = async () => {
    for (;;) await read();
  };
  // Ends when the stream is removed.
  loop().catch(() => client.destroy());
}
