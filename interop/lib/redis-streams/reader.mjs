// One consumer of one group: a connection of its own, on which nothing but blocking reads happens.
import { randomUUID } from 'node:crypto';

const BATCH = 10;
const PAUSE_MS = 100;

const pause = () => new Promise(resolve => setTimeout(resolve, PAUSE_MS));

/** Ends a connection. One that is trying to reconnect would never answer a QUIT. */
export async function quit(connection) {
  if (!connection?.isOpen) return;
  if (!connection.isReady) return connection.destroy();
  const lost = new Promise(resolve => connection.once('error', resolve));
  await Promise.race([connection.quit(), lost]);
  if (connection.isOpen) connection.destroy();
}

/** Reads a group of `stream` and calls `onEntry({id, message})` for each entry, without waiting for what becomes of it. */
export class Reader {
  #options;
  #onEntry;
  #connection;
  #loop;
  #anchor;
  #stopping = false;

  constructor({ stream, group, anchor, isPrivate = false, options, onEntry }) {
    this.stream = stream;
    this.group = group;
    this.isPrivate = isPrivate;
    this.consumer = `${group}-${randomUUID()}`;
    this.#anchor = anchor;
    this.#options = options;
    this.#onEntry = onEntry;
  }

  /** Makes the group, opens the connection that `connect` gives, starts to read. */
  async open(connect) {
    await this.stream.createGroup(this.group, this.#anchor);
    this.#connection = await connect();
    this.#loop = this.#run();
  }

  async #read() {
    const from = { key: this.stream.key, id: '>' };
    const reply = await this.#connection.xReadGroup(this.group, this.consumer, from, { COUNT: BATCH, BLOCK: this.#options.blockMs });
    for (const entry of reply?.[0].messages ?? []) {
      this.#anchor = entry.id;
      this.#onEntry(entry);
    }
  }

  async #run() {
    while (!this.#stopping) {
      try {
        await this.#read();
      } catch (error) {
        if (this.#stopping) return;
        this.#options.log.debug('read failed', { key: this.stream.key, error });
        await this.#recover(error);
        await pause();
      }
    }
  }

  async #recover(error) {
    if (!error.message?.startsWith('NOGROUP')) return;
    try {
      await this.stream.createGroup(this.group, this.#anchor);
    } catch (failure) {
      this.#options.log.debug('group not made again', { key: this.stream.key, error: failure });
    }
  }

  /** To be called when this process removed the stream: what is written to it next may have ids below those already read. */
  startOver() {
    this.#anchor = '0';
  }

  /** Ends the reading; what the last read returned is still delivered. */
  async stop() {
    this.#stopping = true;
    await quit(this.#connection);
    await this.#loop;
    if (this.isPrivate) await this.stream.destroyGroup(this.group).catch(() => {});
  }
}
