// The processes of W4 and W5 as seen by the coordinator: any program that speaks the role protocol of ../README.md.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readLines } from '../../interop/lib/channel.mjs';
import { sleep } from './clock.mjs';
import { Histogram } from './histogram.mjs';

const NODE_ROLE = [process.execPath, fileURLToPath(new URL('./role.mjs', import.meta.url))];
const DEADLINE_MS = 60_000;
const POLL_MS = 20;

function commandOf(role) {
  const given = process.env[`BENCH_ROLE_${role.toUpperCase()}`];
  return given === undefined ? NODE_ROLE : JSON.parse(given);
}

export class Role {
  unhandled = 0;
  #pending = new Map();
  #nextId = 1;

  constructor(name, address) {
    this.name = name;
    const [program, ...args] = commandOf(name);
    const stderr = process.env.BENCH_ROLE_STDERR === '1' ? 'inherit' : 'ignore';
    this.child = spawn(program, [...args, address], { stdio: ['pipe', 'pipe', stderr] });
    this.child.stdin.on('error', () => {});
    this.ended = new Promise(resolve => {
      const end = error => resolve(this.#fail(error));
      this.child.on('error', end);
      this.child.on('exit', (status, signal) => end(new Error(`${name} ended with ${signal ?? status}`)));
    });
    this.ready = this.#expect('ready').then(message => void (this.impl = message.impl));
    // A role that fails while nobody awaits it is noticed by the next call.
    this.ready.catch(() => {});
    readLines(this.child.stdout, line => this.#take(JSON.parse(line)));
  }

  #expect(key, workSeconds = 0) {
    if (this.failure) return Promise.reject(this.failure);
    const deadlineMs = DEADLINE_MS + workSeconds * 1000;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${this.name}: no answer to ${key} in ${deadlineMs} ms`)), deadlineMs);
      this.#pending.set(key, { resolve, reject, timer });
    });
  }

  #settle(key, action) {
    const waiting = this.#pending.get(key);
    if (!waiting) return;
    this.#pending.delete(key);
    clearTimeout(waiting.timer);
    action(waiting);
  }

  #take(message) {
    if (message.ready) this.#settle('ready', ({ resolve }) => resolve(message));
    else if (message.notice) this.unhandled++;
    else if (message.fatal) this.#fail(new Error(`${this.name}: ${message.fatal}`));
    else this.#settle(message.reply, ({ resolve, reject }) => (message.ok ? resolve(message) : reject(new Error(`${this.name}: ${message.error}`))));
  }

  #fail(error) {
    this.failure ??= error;
    for (const key of [...this.#pending.keys()]) this.#settle(key, ({ reject }) => reject(this.failure));
  }

  /** Sends a command and resolves with its reply; rejects when it failed, took a minute more than its `seconds`, or the process ended. */
  call(cmd, members = {}) {
    const id = this.#nextId++;
    const reply = this.#expect(id, members.seconds);
    this.child.stdin.write(JSON.stringify({ id, cmd, ...members }) + '\n');
    return reply;
  }

  kill() {
    this.child.kill('SIGKILL');
  }
}

/** The same command to each of `roles`, at the same time. */
export const callEach = (roles, cmd, members) => Promise.all(roles.map(role => role.call(cmd, members)));

/** Polls `roles` until `isDone(stats)` or nothing moved for `stillMs`; resolves with their last stats. */
export async function settled(roles, stillMs, isDone) {
  let moved = -1;
  let since = performance.now();
  for (;;) {
    const stats = await callEach(roles, 'stats');
    if (isDone(stats)) return stats;
    const now = stats.reduce((total, { received, acked = 0 }) => total + received + acked, 0);
    if (now !== moved) since = performance.now();
    else if (performance.now() - since >= stillMs) return stats;
    moved = now;
    await sleep(POLL_MS);
  }
}

/** What all subscribers got of a publication: events, seconds, latencies, losses. `each` subscribers report as one. */
export function delivered(published, stats, each = 1) {
  const histogram = new Histogram();
  for (const { hist } of stats) histogram.merge(hist);
  const lastNs = Math.max(...stats.map(stat => stat.last_ns ?? published.first_ns));
  return {
    events: published.published,
    seconds: (lastNs - published.first_ns) / 1e9,
    histogram,
    lost: stats.reduce((total, stat) => total + published.published * each - stat.received, 0),
  };
}

/** One broker, one publisher and some subscribers on a fresh socket. */
export class Cluster {
  #directory = mkdtempSync(join(process.env.BENCH_DIR ?? tmpdir(), 'bowline-w4-'));
  #all = [];

  static async start(subscribers) {
    const cluster = new Cluster();
    try {
      await cluster.#connect(subscribers);
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  #spawn(name) {
    const role = new Role(name, join(this.#directory, 'bus.sock'));
    this.#all.push(role);
    return role;
  }

  async #connect(subscribers) {
    this.broker = this.#spawn('broker');
    await this.broker.ready;
    await this.broker.call('subscribe-noop');
    this.publisher = this.#spawn('publisher');
    this.subscribers = Array.from({ length: subscribers }, () => this.#spawn('subscriber'));
    await Promise.all(this.#all.map(role => role.ready));
    for (const subscriber of this.subscribers) await subscriber.call('subscribe');
    await this.publisher.call('subscribe-noop');
  }

  /** The same command to every subscriber. */
  callSubscribers(cmd, members) {
    return callEach(this.subscribers, cmd, members);
  }

  get unhandled() {
    return this.#all.reduce((sum, role) => sum + role.unhandled, 0);
  }

  /** The extra `roles`, or nothing when all three are the Node program. */
  get mixture() {
    const roles = { broker: this.broker.impl, publisher: this.publisher.impl, subscriber: this.subscribers[0].impl };
    return Object.values(roles).every(impl => impl === 'node') ? {} : { roles };
  }

  /** Kills every process; the directory goes after the last has ended, since a survivor would make it again. */
  async stop() {
    for (const role of this.#all) role.kill();
    await Promise.all(this.#all.map(role => role.ended));
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
