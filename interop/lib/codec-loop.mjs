// The package's codec seen from outside: it is not exported, so values are sent through a private socket bus of a real
// broker, a real client and a raw connection that sees the bytes.
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { UnixSocketPubSub } from '@mastra/core/events';
import { readLines } from './channel.mjs';
import { reveal, revive } from './values.mjs';

const TOPIC = 'codec';
const HEAD = `{"type":"event","topic":"${TOPIC}","event":{"type":"value","runId":"r","data":`;
/** Well below the bus's frame limit in bytes: beyond that the connection would be dropped and no end mark could come. */
const LONGEST_TEXT = 16 * 1024 * 1024;
const END = { type: 'end', runId: 'r' };

/** The bytes of `data` in an event line written by the broker; null when the encoder left the member out. */
function dataText(line) {
  return line.startsWith(HEAD) ? line.slice(HEAD.length, line.lastIndexOf(',"id":"')) : null;
}

/** A private bus on which one value at a time is sent and watched. */
export class CodecLoop {
  #turn = Promise.resolve();
  #bus;

  async #open() {
    const directory = await mkdtemp(join(tmpdir(), 'bowline-codec-'));
    const path = join(directory, 'bus.sock');
    const broker = new UnixSocketPubSub(path);
    const client = new UnixSocketPubSub(path);
    const bus = { directory, broker, client, lines: [], arrivals: [], wake: () => {} };
    await broker.subscribe('elsewhere', () => {});
    await client.subscribe(TOPIC, event => {
      bus.arrivals.push(event);
      bus.wake();
    });
    bus.raw = net.createConnection(path);
    await once(bus.raw, 'connect');
    readLines(bus.raw, line => {
      bus.lines.push(line);
      bus.wake();
    });
    bus.raw.write(`{"type":"subscribe","topic":"${TOPIC}"}\n`);
    await this.#until(bus, () => bus.lines.length > 0);
    return bus;
  }

  #until(bus, done) {
    return new Promise(resolve => {
      bus.wake = () => done() && resolve();
      bus.wake();
    });
  }

  async #send(bus, command) {
    if (command.text === undefined) {
      await bus.broker.publish(TOPIC, { type: 'value', runId: 'r', data: revive(command.value) });
      await bus.broker.publish(TOPIC, END);
      return;
    }
    if (command.text.includes('\n')) throw new Error('"text" must be one line');
    if (command.text.length > LONGEST_TEXT) throw new Error(`"text" is longer than ${LONGEST_TEXT} characters`);
    bus.raw.write(`{"type":"publish","topic":"${TOPIC}","event":{"type":"value","runId":"r","data":${command.text}}}\n`);
    bus.raw.write(`{"type":"publish","topic":"${TOPIC}","event":${JSON.stringify(END)}}\n`);
  }

  async #once(command) {
    const bus = await (this.#bus ??= this.#open());
    bus.lines.length = 0;
    bus.arrivals.length = 0;
    await this.#send(bus, command);
    // Each connection is first in, first out: when the end mark is there, the value either came before it or never will.
    await this.#until(bus, () => bus.arrivals.at(-1)?.type === 'end' && bus.lines.at(-1)?.includes('"type":"end"'));
    const value = bus.arrivals.find(event => event.type === 'value');
    if (!value) return { dropped: true };
    return { dropped: false, arrived: reveal(value.data), wire: dataText(bus.lines[0]) };
  }

  /** Sends `command.value` (revived, from the broker) or `command.text` (as wire bytes); calls take turns. */
  run(command) {
    const result = this.#turn.then(() => this.#once(command));
    this.#turn = result.catch(() => {});
    return result;
  }

  /** Closes the private bus and removes its directory. */
  async close() {
    const bus = await this.#bus;
    if (!bus) return;
    bus.raw.destroy();
    await bus.client.close();
    await bus.broker.close();
    await rm(bus.directory, { recursive: true, force: true });
  }
}
