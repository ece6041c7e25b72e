// W1: one topic of the in-process bus, subscribers without group.
import { localNs } from './clock.mjs';
import { Histogram } from './histogram.mjs';
import { loadEvents } from './packages.mjs';
import { benchEvent } from './payload.mjs';
import { blast } from './publishers.mjs';
import { SECONDS, WARMUP_SECONDS } from './settings.mjs';

const TOPIC = 'bench';
const BYTES = 200;
/** More sampled events than can be under way at once. */
const SENT_SLOTS = 4096;

/** The instants just before the publish of every tenth event. */
export class SentTimes {
  #ns = new Float64Array(SENT_SLOTS);

  /** Publishes P(200) number `seq`; the event is built before the clock is read. */
  publish(bus, seq) {
    const event = benchEvent(BYTES, seq);
    if (seq % 10 === 0) this.#ns[(seq / 10) % SENT_SLOTS] = localNs();
    return bus.publish(TOPIC, event);
  }

  since(seq) {
    return localNs() - this.#ns[(seq / 10) % SENT_SLOTS];
  }
}

class FanOutSubscriber {
  constructor(sent) {
    this.sent = sent;
    this.reset();
  }

  reset() {
    this.previous = -1;
    this.received = 0;
    this.misordered = 0;
    this.histogram = new Histogram();
  }

  onEvent = ({ data }) => {
    const seq = Number.parseInt(data.seq, 10);
    if (seq % 10 === 0) this.histogram.add(this.sent.since(seq));
    if (seq !== this.previous + 1) this.misordered++;
    this.previous = seq;
    this.received++;
  };
}

async function fanOut(subscribers, width) {
  const { EventEmitterPubSub } = await loadEvents();
  const bus = new EventEmitterPubSub();
  const sent = new SentTimes();
  const all = Array.from({ length: subscribers }, () => new FanOutSubscriber(sent));
  for (const subscriber of all) await bus.subscribe(TOPIC, subscriber.onEvent);
  await blast(WARMUP_SECONDS, width, seq => sent.publish(bus, seq));
  for (const subscriber of all) subscriber.reset();

  const start = localNs();
  const events = await blast(SECONDS, width, seq => sent.publish(bus, seq));
  const seconds = (localNs() - start) / 1e9;
  await bus.close();

  const histogram = new Histogram();
  for (const subscriber of all) histogram.merge(subscriber.histogram.toJSON());
  const deliveries = all.reduce((sum, subscriber) => sum + subscriber.received, 0);
  return {
    events,
    seconds,
    histogram,
    deliveries,
    deliveries_per_s: Math.round(deliveries / seconds),
    lost: events * subscribers - deliveries,
    misordered: all.reduce((sum, subscriber) => sum + subscriber.misordered, 0),
  };
}

function measurement(subscribers, in_flight) {
  const line = { workload: 'W1', params: { subscribers, in_flight, payload_bytes: BYTES } };
  return { lines: [line], run: async print => print(line, await fanOut(subscribers, in_flight)) };
}

export const measurements = [1, 8, 100].flatMap(subscribers => [1, 1000].map(width => measurement(subscribers, width)));
