// A redis-server for one test file: scratch port on the loopback, nothing on disk that outlives it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readLines } from '../lib/channel.mjs';

/** A test that needs a server; left out, and said so, with `BOWLINE_SKIP_REDIS=1`. */
export function redisTest(name, run) {
  test(name, { skip: process.env.BOWLINE_SKIP_REDIS === '1' && 'BOWLINE_SKIP_REDIS=1' }, run);
}

async function freePort() {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

/** Starts a server and resolves with its URL and port; it ends with the test, after what was given to `before`. */
export async function startRedis(t) {
  const directory = mkdtempSync(join(tmpdir(), 'bowline-redis-'));
  const port = await freePort();
  const args = ['--port', port, '--bind', '127.0.0.1', '--dir', directory, '--save', '', '--appendonly', 'no'];
  const server = spawn('redis-server', args.map(String), { stdio: ['ignore', 'pipe', 'inherit'] });
  const cleanups = [];
  t.after(async () => {
    // Clients first: they would try to come back to a server that is gone.
    for (const clean of cleanups.reverse()) await clean();
    server.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  });
  await new Promise((resolve, reject) => {
    server.on('error', () => reject(new Error('redis-server cannot be started; install it, for example with `cargo xtask install`')));
    server.on('exit', status => reject(new Error(`redis-server ended with ${status}`)));
    readLines(server.stdout, line => line.includes('Ready to accept connections') && resolve());
  });
  return { url: `redis://127.0.0.1:${port}`, port, before: clean => void cleanups.push(clean) };
}

/** Everything the server is told from now on, as lines of MONITOR. */
export async function monitor(t, port) {
  const socket = net.createConnection(port, '127.0.0.1');
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  const lines = [];
  const waiters = new Set();
  readLines(socket, line => {
    if (!line.startsWith('+OK')) lines.push(line.slice(1).trimEnd());
    for (const check of waiters) check();
  });
  socket.write('MONITOR\r\n');
  /** Resolves when `check(lines)` holds. */
  const until = check =>
    new Promise(resolve => {
      const ask = () => {
        if (!check(lines)) return;
        waiters.delete(ask);
        resolve();
      };
      waiters.add(ask);
      ask();
    });
  /** Resolves when `times` lines include `text`: everything told before it is then in `lines`. */
  const seen = (text, times = 1) => until(lines => lines.filter(line => line.includes(text)).length >= times);
  /** Resolves when `count` connections have read the stream `key`. */
  const readers = (key, count) => {
    const reads = line => line.includes('"XREADGROUP"') && line.includes(`"STREAMS" "${key}" `);
    return until(lines => new Set(lines.filter(reads).map(line => line.split(' ')[2])).size >= count);
  };
  return { lines, seen, readers };
}
