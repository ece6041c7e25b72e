// Starts peers for the tests: commands return promises, notifications are kept and can be waited for.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readLines } from '../lib/channel.mjs';

const PEER = fileURLToPath(new URL('../peer.mjs', import.meta.url));
const PATIENCE_MS = 30_000;

/** A list that can be awaited: `until(done)` resolves with the list as soon as `done(list)` holds. */
export class Watched {
  items = [];
  #waiters = [];

  add(item) {
    this.items.push(item);
    this.#waiters = this.#waiters.filter(check => !check());
  }

  until(done, what = 'condition') {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`${what} not met; seen: ${JSON.stringify(this.items).slice(0, 2000)}`)),
        PATIENCE_MS,
      );
      const check = () => {
        if (!done(this.items)) return false;
        clearTimeout(timer);
        resolve(this.items);
        return true;
      };
      if (!check()) this.#waiters.push(check);
    });
  }

  count(n) {
    return this.until(items => items.length >= n, `${n} items`);
  }
}

/** Asks again until `check` holds. */
export async function eventually(check, what) {
  for (const end = Date.now() + PATIENCE_MS; !(await check()); ) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}

/** One peer process. */
export class Peer {
  messages = new Watched();
  events = new Watched();
  #id = 0;

  constructor(socketPath, options, address = socketPath) {
    // The private sockets of `codec` go where the test's own socket goes, and are removed with it.
    const env = { ...process.env, TMPDIR: dirname(socketPath) };
    const args = [PEER, address, JSON.stringify(options ?? {})];
    this.child = spawn(process.execPath, args, { env, stdio: ['pipe', 'pipe', 'ignore'] });
    this.exited = once(this.child, 'exit').then(([status, signal]) => signal ?? status);
    readLines(this.child.stdout, line => {
      const message = JSON.parse(line);
      this.messages.add(message);
      if (message.event) this.events.add(message.event);
    });
  }

  async message(matches, what) {
    const messages = await this.messages.until(items => items.some(matches), what);
    return messages.find(matches);
  }

  ready() {
    return this.message(message => message.ready, 'ready');
  }

  write(text) {
    this.child.stdin.write(text);
  }

  /** The whole reply, whether it succeeded or not. */
  reply(cmd, members = {}) {
    const id = ++this.#id;
    this.write(JSON.stringify({ id, cmd, ...members }) + '\n');
    return this.message(message => message.reply === id, `reply to ${cmd}`);
  }

  /** The reply of a command that must succeed. */
  async do(cmd, members) {
    const reply = await this.reply(cmd, members);
    if (!reply.ok) throw new Error(`${cmd}: ${reply.error}`);
    return reply;
  }

  publish(topic, data, more) {
    return this.do('publish', { topic, event: { type: 'x', runId: 'r', data, ...more } });
  }
}

/** A directory for one test, and peers on a socket in it; everything goes when the test ends. */
export function scratch(t) {
  const directory = mkdtempSync(join(tmpdir(), 'bowline-test-'));
  const path = join(directory, 'bus.sock');
  const peers = [];
  t.after(() => {
    for (const peer of peers) peer.child.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  });
  const start = async (options, address) => {
    const peer = new Peer(path, options, address);
    peers.push(peer);
    await peer.ready();
    return peer;
  };
  return { path, start };
}

/** A connection that speaks bare lines. */
export async function rawClient(t, path) {
  const socket = net.createConnection(path);
  socket.on('error', () => {});
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  const lines = new Watched();
  readLines(socket, line => lines.add(line));
  return { socket, lines, send: line => socket.write(line + '\n') };
}

/** A broker of bare lines: it records what clients write, and acknowledges memberships unless told not to. */
export async function rawBroker(t, path, { acknowledges = true } = {}) {
  const lines = new Watched();
  const connections = new Watched();
  const server = net.createServer(socket => {
    socket.on('error', () => {});
    readLines(socket, line => {
      lines.add(line);
      const { type, topic, group } = JSON.parse(line);
      if (!acknowledges || !type.endsWith('subscribe')) return;
      socket.write(JSON.stringify({ type: `${type}d`, topic, ...(typeof group === 'string' && { group }) }) + '\n');
    });
    connections.add(socket);
  });
  t.after(() => {
    for (const socket of connections.items) socket.destroy();
    server.close();
  });
  await new Promise(resolve => server.listen(path, resolve));
  return { lines, connections, send: line => connections.items.at(-1).write(line + '\n') };
}
