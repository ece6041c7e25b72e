// The stream of one topic, as the connection for writing sees it.
import { decode, textOf } from './entry.mjs';
import { EXTEND_IF_OWNED, NACK_IF_OWNED, NACK_IF_OWNED_TRIMMED } from './scripts.mjs';

const PAGE = 500;
const EXISTS = /^BUSYGROUP/;

/** What goes out for one topic, except for the blocking reads. */
export class Stream {
  #writer;
  #options;

  constructor(topic, writer, options) {
    this.key = `${options.keyPrefix}:${topic}`;
    this.#writer = writer;
    this.#options = options;
  }

  /** Runs `command` and sets the time to live with it, so that no key is ever left without one. */
  async #keepingTtl(command) {
    const ttl = this.#options.streamIdleTtlMs;
    if (ttl === 0) return command(this.#writer);
    const replies = await command(this.#writer.multi()).pExpire(this.key, ttl).exec();
    if (replies.at(-1) !== 1) this.#options.log.warn('the time to live was not set', { key: this.key });
  }

  async append(text, trim = true) {
    const length = this.#options.maxStreamLength;
    const options = trim && length > 0 ? { TRIM: { strategy: 'MAXLEN', strategyModifier: '~', threshold: length } } : undefined;
    await this.#keepingTtl(to => to.xAdd(this.key, '*', { event: text }, options));
  }

  /** Publishes a text again after a nack. */
  appendAgain(text) {
    return this.append(text, this.#options.trimRedeliveries);
  }

  /** Makes the group begin at `start` unless it exists. */
  async createGroup(group, start) {
    try {
      await this.#keepingTtl(to => to.xGroupCreate(this.key, group, start, { MKSTREAM: true }));
    } catch (error) {
      const failures = error.errorIndexes?.map(at => error.replies[at]) ?? [error];
      const other = failures.find(failure => !EXISTS.test(failure.message));
      if (other) throw other;
    }
  }

  async destroyGroup(group) {
    await this.#writer.xGroupDestroy(this.key, group);
  }

  async ack(group, id) {
    await this.#writer.xAck(this.key, group, id);
  }

  /** Settles an entry for a handler that hangs, if it still belongs to `consumer`; `text` is '' when its attempts are used up. */
  async nackIfOwned(group, consumer, id, text) {
    const { streamIdleTtlMs, maxStreamLength, trimRedeliveries } = this.#options;
    const trims = trimRedeliveries && maxStreamLength > 0;
    const args = [group, consumer, id, text, String(streamIdleTtlMs), ...(trims ? [String(maxStreamLength)] : [])];
    return (await this.#writer.eval(trims ? NACK_IF_OWNED_TRIMMED : NACK_IF_OWNED, { keys: [this.key], arguments: args })) === 1;
  }

  async extend(group, consumer, id) {
    await this.#writer.eval(EXTEND_IF_OWNED, { keys: [this.key], arguments: [group, consumer, id] });
  }

  /** The id up to which `group` was given entries. */
  async lastDelivered(group) {
    const groups = await this.#writer.xInfoGroups(this.key);
    return groups.find(one => one.name === group)?.['last-delivered-id'] ?? '0-0';
  }

  async lastEntry() {
    const [last] = await this.#writer.xRevRange(this.key, '+', '-', { COUNT: 1 });
    return last?.id ?? '0-0';
  }

  /** The entries from the first up to `end`, in pages. */
  async *pages(end) {
    for (let start = '-'; ; ) {
      const page = await this.#writer.xRange(this.key, start, end, { COUNT: PAGE });
      if (page.length > 0) yield page;
      if (page.length < PAGE) return;
      start = `(${page.at(-1).id}`;
    }
  }

  async pending(group, idleMs, start, count) {
    return this.#writer.xPendingRange(this.key, group, start, '+', count, { IDLE: idleMs });
  }

  async claim(group, consumer, idleMs, ids) {
    const entries = await this.#writer.xClaim(this.key, group, consumer, idleMs, ids);
    return entries.filter(Boolean);
  }

  /** The claim of the older line, which also takes what the claimer itself is working on. */
  async claimAny(group, consumer, idleMs, count) {
    const { messages } = await this.#writer.xAutoClaim(this.key, group, consumer, idleMs, '0-0', { COUNT: count });
    return messages.filter(Boolean);
  }

  async remove() {
    await this.#writer.del(this.key);
  }

  /** Removes the entries of one run; with `producedBefore` only those produced up to then and not pinned. */
  async removeRun({ runId, producedBefore }) {
    const goes = text => {
      const event = decode(text);
      if (event?.runId !== runId) return false;
      if (producedBefore === undefined) return true;
      return typeof event.data?.producedAt === 'number' && event.data.producedAt <= producedBefore && !event.data.pinned;
    };
    for await (const page of this.pages('+')) {
      const ids = page.filter(entry => goes(textOf(entry.message))).map(entry => entry.id);
      if (ids.length > 0) await this.#writer.xDel(this.key, ids);
    }
  }
}
