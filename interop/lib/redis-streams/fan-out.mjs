// The callbacks of this process that all get every event of a topic: they share one private group and one reader.
import { randomUUID } from 'node:crypto';
import { decode, isAfter, textOf } from './entry.mjs';
import { Reader } from './reader.mjs';
import { Settlement, call, detached } from './settlement.mjs';

/** An entry that every member has to settle; the first refusal decides for all. */
class SharedSettlement {
  #open;
  #inner;

  constructor(inner, members) {
    this.#inner = inner;
    this.#open = new Set(members);
  }

  ackFor(member) {
    if (!this.#open.delete(member) || this.#open.size > 0) return Promise.resolve();
    return this.#inner.ack();
  }

  nackFor(member) {
    return this.#open.has(member) ? this.#inner.nack() : Promise.resolve();
  }

  extend() {
    return this.#inner.extend();
  }
}

/** The shared reader of one topic. */
export class FanOut {
  #stream;
  #options;
  #members = new Map();
  #unsettled = new Set();
  #reader;
  #opened;

  constructor(stream, options) {
    this.#stream = stream;
    this.#options = options;
  }

  /** How many callbacks there are. */
  get size() {
    return this.#members.size;
  }

  /** Adds a callback. The first one decides where the group begins; later ones are brought to where it is. */
  async add(callback, isLatest, connect) {
    const member = { callback };
    if (!this.#reader) {
      this.#members.set(callback, member);
      return this.#open(isLatest ? '$' : '0', connect);
    }
    await this.#opened;
    member.waiting = [];
    this.#members.set(callback, member);
    await (isLatest ? this.#skip(member) : this.#catchUp(member));
  }

  async #open(anchor, connect) {
    const group = `__fanout-${randomUUID()}`;
    const onEntry = entry => this.#deliver(entry);
    this.#reader = new Reader({ stream: this.#stream, group, anchor, isPrivate: true, options: this.#options, onEntry });
    this.#opened = this.#reader.open(connect);
    await this.#opened;
  }

  /** The history up to the boundary, then what came meanwhile, all of it beside the group. */
  async #catchUp(member) {
    const boundary = await this.#stream.lastDelivered(this.#reader.group);
    for await (const page of this.#stream.pages(boundary)) for (const entry of page) this.#deliverDetached(member, entry);
    this.#goLive(member, boundary);
  }

  async #skip(member) {
    this.#goLive(member, await this.#stream.lastEntry());
  }

  #goLive(member, boundary) {
    for (const entry of member.waiting) if (isAfter(entry.id, boundary)) this.#deliverDetached(member, entry);
    member.waiting = undefined;
    member.after = boundary;
  }

  #deliverDetached(member, { id, message }) {
    const text = textOf(message);
    const event = decode(text);
    if (event) call(member.callback, event, detached(this.#stream, id, text, this.#options));
  }

  #isLive(member, id) {
    return !member.waiting && (!member.after || isAfter(id, member.after));
  }

  #deliver(entry) {
    const text = textOf(entry.message);
    const members = [...this.#members.values()];
    for (const member of members) member.waiting?.push(entry);
    const inner = new Settlement(this.#reader, entry.id, text, this.#options);
    const live = decode(text) ? members.filter(member => this.#isLive(member, entry.id)) : [];
    if (live.length === 0) return void inner.ack();
    const shared = new SharedSettlement(inner, live);
    this.#unsettled.add(shared);
    inner.onSettled = () => this.#unsettled.delete(shared);
    for (const member of live) {
      // Decoded for each of them: what one handler changes is not seen by the next.
      call(member.callback, decode(text), {
        ack: () => shared.ackFor(member),
        nack: () => shared.nackFor(member),
        extend: () => shared.extend(),
      });
    }
  }

  startOver() {
    this.#reader?.startOver();
    for (const member of this.#members.values()) member.after = undefined;
  }

  /** Removes a callback, which agrees with everything it left open; the last one takes the reader with it. */
  async remove(callback) {
    const member = this.#members.get(callback);
    this.#members.delete(callback);
    await Promise.all([...this.#unsettled].map(shared => shared.ackFor(member)));
    if (this.#members.size === 0) await this.#reader.stop();
  }
}
