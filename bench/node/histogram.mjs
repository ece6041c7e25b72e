// Latencies in buckets one percent wide, in the transport form of ../README.md.
const BUCKETS = 3200;
const WIDTH = Math.log(1.01);

export class Histogram {
  #counts = new Float64Array(BUCKETS);
  n = 0;
  maxNs = 0;

  /** Records a latency in nanoseconds. */
  add(ns) {
    this.#counts[Math.min(BUCKETS - 1, Math.floor(Math.log(Math.max(ns, 1)) / WIDTH))]++;
    this.n++;
    if (ns > this.maxNs) this.maxNs = ns;
  }

  /** Adds what another histogram holds, given in its transport form. */
  merge({ n, max_ns, buckets }) {
    for (const [index, count] of buckets) this.#counts[index] += count;
    this.n += n;
    this.maxNs = Math.max(this.maxNs, max_ns);
  }

  toJSON() {
    const buckets = [];
    this.#counts.forEach((count, index) => count && buckets.push([index, count]));
    return { n: this.n, max_ns: Math.round(this.maxNs), buckets };
  }

  /** Quantile in microseconds with three decimals; null when nothing was recorded. */
  quantileUs(q) {
    if (this.n === 0) return null;
    let missing = Math.max(1, Math.ceil(q * this.n));
    const index = this.#counts.findIndex(count => (missing -= count) <= 0);
    const ns = Math.min(Math.exp((index + 0.5) * WIDTH), this.maxNs);
    return Number((ns / 1e3).toFixed(3));
  }
}
