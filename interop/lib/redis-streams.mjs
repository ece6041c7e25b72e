// The Redis Streams bus of the reference is not to be had from the registry, so this is one written anew from what such a bus
// does on the wire. Rust peers are tested against it, and it against captured commands.
import { createClient } from 'redis';
import { PubSub } from '@mastra/core/events';
import { randomUUID } from 'node:crypto';
import { encode, localEvent } from './redis-streams/entry.mjs';
import { FanOut } from './redis-streams/fan-out.mjs';
import { GroupMember } from './redis-streams/group-member.mjs';
import { Leases } from './redis-streams/leases.mjs';
import { settle } from './redis-streams/options.mjs';
import { quit } from './redis-streams/reader.mjs';
import { call, noSettlement } from './redis-streams/settlement.mjs';
import { Stream } from './redis-streams/stream.mjs';

/** A bus of one stream per topic, with one connection for writing and one for each reader. */
export class RedisStreamsPubSub extends PubSub {
  #options;
  #writer;
  #connecting;
  #closed = false;
  /** topic → callback → `{ready, close, startOver}` */
  #subscriptions = new Map();
  #fanOuts = new Map();
  #publishing = new Set();
  #leases;

  constructor(options) {
    super();
    this.#options = settle(options);
    const { redisOptions, url } = this.#options;
    this.#writer = createClient({ ...redisOptions, url });
    this.#writer.on('error', error => this.#options.log.debug('connection', { error }));
    this.#leases = new Leases(this.#options.keyPrefix, async () => (this.#closed ? undefined : this.#connected()));
  }

  get supportedModes() {
    return ['pull'];
  }

  /** The connection for writing; a first connect that failed is tried again by the next call. */
  #connected() {
    this.#connecting ??= this.#writer.connect().catch(error => {
      this.#connecting = undefined;
      throw error;
    });
    return this.#connecting.then(() => this.#writer);
  }

  async #stream(topic) {
    return new Stream(topic, await this.#connected(), this.#options);
  }

  async #reading() {
    const connection = this.#writer.duplicate();
    connection.on('error', error => this.#options.log.debug('connection', { error }));
    return connection.connect();
  }

  async publish(topic, event, options) {
    if (this.#closed) throw new Error('cannot publish on closed client');
    if (options?.localOnly) {
      for (const callback of this.#subscriptions.get(topic)?.keys() ?? []) call(callback, localEvent(event), noSettlement);
      return;
    }
    const text = encode(event);
    const publishing = this.#stream(topic).then(stream => stream.append(text));
    this.#publishing.add(publishing);
    try {
      await publishing;
    } finally {
      this.#publishing.delete(publishing);
    }
  }

  async subscribe(topic, callback, options = {}) {
    if (this.#closed) throw new Error('cannot subscribe on closed client');
    const callbacks = this.#subscriptions.get(topic) ?? new Map();
    this.#subscriptions.set(topic, callbacks);
    const known = callbacks.get(callback);
    if (known) return known.ready;
    const subscription = {};
    callbacks.set(callback, subscription);
    subscription.ready = this.#attach(topic, callback, options, subscription);
    try {
      await subscription.ready;
    } catch (error) {
      this.#forget(topic, callback);
      throw error;
    }
  }

  async #attach(topic, callback, { group, startFrom }, subscription) {
    const stream = await this.#stream(topic);
    const isLatest = startFrom === 'latest';
    if (group === undefined && !this.#options.older) return this.#share(topic, stream, callback, isLatest, subscription);
    const member = new GroupMember({
      stream,
      group: group ?? `__fanout-${randomUUID()}`,
      isPrivate: group === undefined,
      anchor: isLatest ? '$' : '0',
      callback,
      options: this.#options,
    });
    subscription.close = () => member.close();
    subscription.startOver = () => member.startOver();
    await member.open(() => this.#reading());
  }

  async #share(topic, stream, callback, isLatest, subscription) {
    const fanOut = this.#fanOuts.get(topic) ?? new FanOut(stream, this.#options);
    this.#fanOuts.set(topic, fanOut);
    subscription.startOver = () => fanOut.startOver();
    subscription.close = async () => {
      if (fanOut.size === 1) this.#fanOuts.delete(topic);
      await fanOut.remove(callback);
    };
    try {
      await fanOut.add(callback, isLatest, () => this.#reading());
    } catch (error) {
      // The next subscriber begins anew.
      if (this.#fanOuts.get(topic) === fanOut) this.#fanOuts.delete(topic);
      throw error;
    }
  }

  #forget(topic, callback) {
    const callbacks = this.#subscriptions.get(topic);
    callbacks?.delete(callback);
    if (callbacks?.size === 0) this.#subscriptions.delete(topic);
  }

  async unsubscribe(topic, callback) {
    const subscription = this.#subscriptions.get(topic)?.get(callback);
    if (!subscription) return;
    // A subscribe that fails has nothing to be undone; its caller is told.
    await subscription.ready.catch(() => {});
    this.#forget(topic, callback);
    await subscription.close?.();
  }

  async #quietly(what, act) {
    if (this.#closed) return;
    try {
      await act();
    } catch (error) {
      this.#options.log.warn(`${what} failed`, { error });
    }
  }

  async clearTopic(topic) {
    await this.#quietly('clearTopic', async () => {
      await (await this.#stream(topic)).remove();
      for (const subscription of this.#subscriptions.get(topic)?.values() ?? []) subscription.startOver?.();
    });
  }

  async trimTopic(topic, options) {
    await this.#quietly('trimTopic', async () => (await this.#stream(topic)).removeRun(options));
  }

  async flush() {
    await Promise.allSettled(this.#publishing);
  }

  async close() {
    if (this.#closed) return;
    this.#closed = true;
    const all = [...this.#subscriptions].flatMap(([topic, callbacks]) => [...callbacks.keys()].map(callback => [topic, callback]));
    await Promise.allSettled(all.map(([topic, callback]) => this.unsubscribe(topic, callback)));
    await this.flush();
    await quit(this.#writer);
  }

  acquireLease(key, owner, ttlMs) {
    return this.#leases.acquire(key, owner, ttlMs);
  }

  getLeaseOwner(key) {
    return this.#leases.owner(key);
  }

  releaseLease(key, owner) {
    return this.#leases.release(key, owner);
  }

  renewLease(key, owner, ttlMs) {
    return this.#leases.renew(key, owner, ttlMs);
  }

  transferLease(key, from, to, ttlMs) {
    return this.#leases.transfer(key, from, to, ttlMs);
  }
}
