// A callback with a label: what it does with a delivery is set by command, and it keeps count.
import { createHash } from 'node:crypto';
import { reveal } from './values.mjs';

/** Data whose revealed JSON is longer than this many bytes is reported by hash. */
export const BIG_BYTES = 64 * 1024;

/** `{bytes, sha256}` of the UTF-8 text. */
export function digest(text) {
  return { bytes: Buffer.byteLength(text), sha256: createHash('sha256').update(text).digest('hex') };
}

function revealEvent(event) {
  const { data, ...rest } = event;
  const text = JSON.stringify(reveal(data));
  if (text.length <= BIG_BYTES && Buffer.byteLength(text) <= BIG_BYTES) return { event: reveal(event) };
  return { event: reveal(rest), big: digest(text) };
}

function freshStats() {
  return { count: 0, firstSeq: null, lastSeq: null, largestSeq: null, outOfOrder: 0, ids: new Set(), duplicates: 0 };
}

const defaults = { ack: true, nackUntil: 0, throw: false, quiet: false };

/** One labelled subscriber; `callback` is the object registered with the bus, the same one for every topic. */
export class Subscriber {
  #notify;
  #stats = freshStats();
  #waiters = [];
  #behaviour = { ...defaults };
  topics = new Set();

  constructor(label, notify) {
    this.label = label;
    this.#notify = notify;
    this.callback = (event, ack, nack) => this.#deliver(event, ack, nack);
  }

  /** Changes the members of the behaviour that `command` has. */
  configure(command) {
    for (const name of Object.keys(defaults)) if (command[name] !== undefined) this.#behaviour[name] = command[name];
  }

  #deliver(event, ack, nack) {
    this.#count(event);
    if (!this.#behaviour.quiet) this.#notify({ event: this.#describe(event) });
    // After the notification: a parent that was told of the last event must not wait for the count.
    this.#wake();
    if (this.#behaviour.throw === 'async') return Promise.reject(new Error(`thrown by ${this.label}`));
    if (this.#behaviour.throw) throw new Error(`thrown by ${this.label}`);
    if ((event.deliveryAttempt ?? 1) < this.#behaviour.nackUntil) return nack?.();
    if (this.#behaviour.ack) return ack?.();
  }

  #describe(event) {
    return {
      as: this.label,
      // The bus does not tell a callback the topic, so it is known only while the label has a single one.
      topic: this.topics.size === 1 ? reveal([...this.topics][0]) : null,
      t: Math.round(Number(process.hrtime.bigint()) / 1e3) / 1e3,
      ...revealEvent(event),
      createdAtIsDate: event.createdAt instanceof Date,
    };
  }

  #count(event) {
    const stats = this.#stats;
    stats.count++;
    if (stats.ids.has(event.id)) stats.duplicates++;
    else stats.ids.add(event.id);
    const seq = Number(event.data?.seq ?? NaN);
    if (Number.isNaN(seq)) return;
    stats.firstSeq ??= seq;
    stats.lastSeq = seq;
    if (stats.largestSeq !== null && seq <= stats.largestSeq) stats.outOfOrder++;
    else stats.largestSeq = seq;
  }

  #wake() {
    this.#waiters = this.#waiters.filter(waiter => {
      if (this.#stats.count < waiter.count) return true;
      clearTimeout(waiter.timer);
      waiter.resolve();
      return false;
    });
  }

  /** The counts since the start or the last `reset`. */
  stats() {
    const { ids, largestSeq, ...counts } = this.#stats;
    return { ...counts, distinct: ids.size };
  }

  /** Forgets all counts. */
  reset() {
    this.#stats = freshStats();
  }

  /** Resolves when at least `count` events were counted; rejects after `withinMs`. */
  reached(count, withinMs) {
    if (this.#stats.count >= count) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const waiter = { count, resolve };
      waiter.timer = setTimeout(() => {
        this.#waiters = this.#waiters.filter(other => other !== waiter);
        reject(new Error(`${this.label} has ${this.#stats.count} of ${count} events after ${withinMs} ms`));
      }, withinMs);
      this.#waiters.push(waiter);
    });
  }
}
