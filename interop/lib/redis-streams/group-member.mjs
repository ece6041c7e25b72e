// A callback in a group, with a consumer of its own.
import { decode, textOf } from './entry.mjs';
import { Reader } from './reader.mjs';
import { Reclaim } from './reclaim.mjs';
import { Settlement, call } from './settlement.mjs';

/** One callback that competes with the other consumers of its group. */
export class GroupMember {
  #callback;
  #options;
  #reader;
  #reclaim;
  inFlight = new Map();

  constructor({ stream, group, anchor, isPrivate, callback, options }) {
    this.#callback = callback;
    this.#options = options;
    this.#reader = new Reader({ stream, group, anchor, isPrivate, options, onEntry: entry => this.#deliver(entry) });
    this.#reclaim = isPrivate ? undefined : new Reclaim(this.#reader, this.inFlight, entry => this.#deliver(entry), options);
  }

  async open(connect) {
    await this.#reader.open(connect);
    this.#reclaim?.start();
  }

  #deliver({ id, message }) {
    const text = textOf(message);
    const event = decode(text);
    const settlement = new Settlement(this.#reader, id, text, this.#options, () => {
      if (this.inFlight.get(id) === settlement) this.inFlight.delete(id);
    });
    if (!event) {
      this.#options.log.debug('not an event, dropped', { id });
      return void settlement.ack();
    }
    this.inFlight.set(id, settlement);
    call(this.#callback, event, settlement);
  }

  startOver() {
    this.#reader.startOver();
  }

  async close() {
    await this.#reclaim?.stop();
    await this.#reader.stop();
  }
}
