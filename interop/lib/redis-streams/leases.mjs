// Leases: a string key whose value is its owner and whose time to live is the lease.
import { LEASE_REFRESH, LEASE_RELEASE, LEASE_RENEW, LEASE_TRANSFER } from './scripts.mjs';

/** Leases under one key prefix; `writer` gives the connection, or undefined once the bus is closed. */
export class Leases {
  #prefix;
  #writer;

  constructor(prefix, writer) {
    this.#prefix = prefix;
    this.#writer = writer;
  }

  #key(key) {
    return `${this.#prefix}:lease:${key}`;
  }

  async #run(script, key, ...args) {
    const writer = await this.#writer();
    return (await writer?.eval(script, { keys: [this.#key(key)], arguments: args.map(String) })) === 1;
  }

  async acquire(key, owner, ttlMs) {
    const writer = await this.#writer();
    if (!writer) return { acquired: false };
    const taken = await writer.set(this.#key(key), owner, { PX: ttlMs, NX: true });
    if (taken !== null || (await this.#run(LEASE_REFRESH, key, owner, ttlMs))) return { acquired: true, owner };
    const holder = await writer.get(this.#key(key));
    return { acquired: false, ...(holder !== null && { owner: holder }) };
  }

  async owner(key) {
    const writer = await this.#writer();
    return (await writer?.get(this.#key(key))) ?? undefined;
  }

  async release(key, owner) {
    await this.#run(LEASE_RELEASE, key, owner);
  }

  renew(key, owner, ttlMs) {
    return this.#run(LEASE_RENEW, key, owner, ttlMs);
  }

  transfer(key, from, to, ttlMs) {
    return this.#run(LEASE_TRANSFER, key, from, to, ttlMs);
  }
}
