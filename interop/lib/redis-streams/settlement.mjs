// The decision about one delivered entry: the first ack or nack counts, later ones do nothing.
import { attemptOf, nextAttempt } from './entry.mjs';

/** Hands an event to a callback. A callback that throws, or whose promise is rejected, refuses it. */
export function call(callback, event, settlement) {
  const nack = () => settlement.nack();
  try {
    Promise.resolve(callback(event, () => settlement.ack(), nack, () => settlement.extend())).catch(nack);
  } catch {
    void nack();
  }
}

/** For callbacks that have nothing to decide. */
export const noSettlement = { ack: async () => {}, nack: async () => {}, extend: async () => {} };

/** Publishes `text` again for its next attempt; whether there was one left. */
async function again(stream, id, text, { maxDeliveryAttempts, log }) {
  const attempt = attemptOf(text);
  if (attempt >= maxDeliveryAttempts) {
    const { type, id: eventId } = JSON.parse(text);
    log.warn('dropped after its last attempt', { key: stream.key, type, eventId, id, attempt });
    return;
  }
  await stream.appendAgain(nextAttempt(text));
}

/** An entry that a group has to settle. */
export class Settlement {
  #settled = false;
  #reader;
  #options;
  #since = Date.now();

  /** `reader` is `{stream, group, consumer}`; `onSettled` is called once, when the decision is final. */
  constructor(reader, id, text, options, onSettled = () => {}) {
    this.#reader = reader;
    this.#options = options;
    this.id = id;
    this.text = text;
    this.onSettled = onSettled;
  }

  async #xack() {
    try {
      await this.#reader.stream.ack(this.#reader.group, this.id);
    } catch (error) {
      this.#options.log.debug('not acknowledged; the entry comes back by reclaim', { id: this.id, error });
    }
  }

  async ack() {
    if (this.#settled) return;
    this.#settled = true;
    this.onSettled();
    await this.#xack();
  }

  async nack() {
    if (this.#settled) return;
    this.#settled = true;
    try {
      await again(this.#reader.stream, this.id, this.text, this.#options);
    } catch (error) {
      this.#settled = false;
      this.#options.log.warn('not published again; the entry stays pending', { id: this.id, error });
      return;
    }
    this.onSettled();
    await this.#xack();
  }

  /** Tells that the handler is alive. */
  async extend() {
    if (this.#settled) return;
    this.#since = Date.now();
    if (!this.#reader.isPrivate) await this.#reader.stream.extend(this.#reader.group, this.#reader.consumer, this.id);
  }

  /** Refuses the entry in the place of a handler that has held it for longer than `limitMs`. */
  async timeOut(limitMs) {
    if (this.#settled || Date.now() - this.#since < limitMs) return;
    this.#settled = true;
    this.onSettled();
    const { stream, group, consumer } = this.#reader;
    const isLast = attemptOf(this.text) >= this.#options.maxDeliveryAttempts;
    await stream.nackIfOwned(group, consumer, this.id, isLast ? '' : nextAttempt(this.text));
  }
}

/** A delivery beside the group, from the history: nothing to acknowledge, but it can be refused. */
export function detached(stream, id, text, options) {
  let settled = false;
  return {
    ...noSettlement,
    ack: async () => void (settled = true),
    nack: async () => {
      if (settled) return;
      settled = true;
      await again(stream, id, text, options).catch(error => {
        settled = false;
        options.log.warn('not published again', { id, error });
      });
    },
  };
}
