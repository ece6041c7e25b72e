// One subscriber of a role: it counts, and keeps latencies and, if asked, a trace.
import { nowNs } from './clock.mjs';
import { Histogram } from './histogram.mjs';
import { UNSTAMPED, sinceStamp } from './payload.mjs';

const sum = numbers => numbers.reduce((total, number) => total + number, 0);
/** The extreme of those that are not null, or null. */
const extreme = (choose, numbers) => (numbers.some(number => number !== null) ? choose(...numbers.filter(number => number !== null)) : null);

export class Counter {
  constructor(options = {}) {
    this.reset(options);
  }

  reset({ latency_every = 10, trace = false }) {
    this.latencyEvery = latency_every;
    this.trace = [];
    this.tracing = trace;
    this.received = 0;
    this.misplaced = 0;
    this.acked = 0;
    this.firstNs = null;
    this.lastNs = null;
    this.lastAckNs = null;
    this.largest = -1;
    this.histogram = new Histogram();
  }

  /** The callback to subscribe. */
  onEvent = ({ data }) => {
    const now = nowNs();
    const seq = Number.parseInt(data?.seq, 10);
    if (Number.isNaN(seq)) return;
    this.received++;
    this.firstNs ??= now;
    this.lastNs = now;
    if (seq <= this.largest) this.misplaced++;
    else this.largest = seq;
    if (seq % this.latencyEvery === 0 && data.t !== UNSTAMPED) this.histogram.add(sinceStamp(data.t, now));
    if (this.tracing) this.trace.push([seq, now]);
  };

  /** The callback to subscribe where every event is to be acknowledged. */
  onEventToAck = async (event, ack) => {
    this.onEvent(event);
    await ack();
    this.acked++;
    this.lastAckNs = nowNs();
  };

  /** What several subscribers counted together. The reference never tells what is missing. */
  static report(all) {
    const histogram = new Histogram();
    for (const counter of all) histogram.merge(counter.histogram.toJSON());
    const each = member => all.map(counter => counter[member]);
    return {
      received: sum(each('received')),
      out_of_order_or_dup: sum(each('misplaced')),
      missed: 0,
      acked: sum(each('acked')),
      first_ns: extreme(Math.min, each('firstNs')),
      last_ns: extreme(Math.max, each('lastNs')),
      last_ack_ns: extreme(Math.max, each('lastAckNs')),
      hist: histogram,
    };
  }
}
