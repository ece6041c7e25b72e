// What the measurements on Redis need beside the bus: addresses, a server, and requests without a bus.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readLines } from '../../interop/lib/channel.mjs';
import { localNs, sleep } from './clock.mjs';
import { Histogram } from './histogram.mjs';
import { loadRedisBus, loadRedisClient } from './packages.mjs';

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

/** Appends the same entry again and again, as a publish does; `cap` 0 keeps all. */
export async function bareAppends(url, key, cap, bytes) {
  const { createClient } = await loadRedisClient();
  const client = await createClient({ url }).connect();
  const entry = { event: 'x'.repeat(bytes) };
  const options = cap > 0 ? { TRIM: { strategy: 'MAXLEN', strategyModifier: '~', threshold: cap } } : undefined;
  return { append: () => client.xAdd(key, '*', entry, options), close: () => client.close() };
}

/** Round trips of one request after the other, each when a timer finds it due, `rate` per second for `seconds`. */
export async function roundTrips({ append }, rate, seconds) {
  const histogram = new Histogram();
  for (let left = Math.round(rate * seconds); left > 0; left--) {
    const called = localNs();
    await append();
    histogram.add(localNs() - called);
    await sleep(1000 / rate);
  }
  return histogram;
}
