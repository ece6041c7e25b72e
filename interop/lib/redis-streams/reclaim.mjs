// Takes over what other consumers of the group left pending, and refuses what hangs here.

const MOST = 100;

/** Runs every `reclaimIntervalMs` for one consumer; the first time after one interval. */
export class Reclaim {
  #reader;
  #inFlight;
  #deliver;
  #options;
  #timer;
  #running = Promise.resolve();
  #stopped = false;

  constructor(reader, inFlight, deliver, options) {
    this.#reader = reader;
    this.#inFlight = inFlight;
    this.#deliver = deliver;
    this.#options = options;
  }

  start() {
    if (this.#options.reclaimIntervalMs <= 0 || this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#running = this.#run().then(() => this.start());
    }, this.#options.reclaimIntervalMs);
  }

  async #run() {
    try {
      await this.#timeOut();
      for (const entry of await this.#claim()) this.#deliver(entry);
    } catch (error) {
      this.#options.log.debug('reclaim failed', { key: this.#reader.stream.key, error });
    }
  }

  async #timeOut() {
    const limit = this.#options.inFlightTimeoutMs;
    if (limit === 0) return;
    await Promise.all([...this.#inFlight.values()].map(settlement => settlement.timeOut(limit)));
  }

  async #claim() {
    const { stream, group, consumer } = this.#reader;
    const idle = this.#options.reclaimIdleMs;
    if (this.#options.older) return stream.claimAny(group, consumer, idle, MOST);
    const ids = await this.#idleIds();
    return ids.length === 0 ? [] : stream.claim(group, consumer, idle, ids);
  }

  /** Pending entries that nobody here works on. */
  async #idleIds() {
    const { stream, group } = this.#reader;
    const ids = [];
    for (let start = '-'; ; ) {
      const page = await stream.pending(group, this.#options.reclaimIdleMs, start, MOST);
      ids.push(...page.map(one => one.id).filter(id => !this.#inFlight.has(id)));
      if (page.length < MOST || ids.length >= MOST) return ids.slice(0, MOST);
      start = `(${page.at(-1).id}`;
    }
  }

  async stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }
}
