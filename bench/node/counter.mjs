// The subscriber of W4: it counts, and keeps latencies and, if asked, a trace.
import { nowNs } from './clock.mjs';
import { Histogram } from './histogram.mjs';
import { UNSTAMPED, sinceStamp } from './payload.mjs';

export class Counter {
  constructor() {
    this.reset({});
  }

  reset({ latency_every = 10, trace = false }) {
    this.latencyEvery = latency_every;
    this.trace = [];
    this.tracing = trace;
    this.received = 0;
    this.misplaced = 0;
    this.lastNs = null;
    this.largest = -1;
    this.histogram = new Histogram();
  }

  /** The callback to subscribe. */
  onEvent = ({ data }) => {
    const now = nowNs();
    const seq = Number.parseInt(data?.seq, 10);
    if (Number.isNaN(seq)) return;
    this.received++;
    this.lastNs = now;
    if (seq <= this.largest) this.misplaced++;
    else this.largest = seq;
    if (seq % this.latencyEvery === 0 && data.t !== UNSTAMPED) this.histogram.add(sinceStamp(data.t, now));
    if (this.tracing) this.trace.push([seq, now]);
  };

  report() {
    return { received: this.received, out_of_order_or_dup: this.misplaced, last_ns: this.lastNs, hist: this.histogram };
  }
}
