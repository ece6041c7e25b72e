// The line of a measurement, in the order that ../README.md fixes.
import { loadavg } from 'node:os';
import { round, rssMb } from './clock.mjs';

const load1 = round(loadavg()[0], 2);
let cpuBefore = process.cpuUsage();

function cpuSinceLastLine() {
  const { user, system } = process.cpuUsage(cpuBefore);
  cpuBefore = process.cpuUsage();
  return round((user + system) / 1e6, 2);
}

/**
 * The line for `result`: `{events, seconds, histogram | p50_us and p99_us, rss_mb, …extras}`. Without `rss_mb` it is that
 * of this process.
 */
export function lineOf({ workload, params }, result) {
  const { events, seconds, histogram, rss_mb = rssMb(), p50_us, p99_us, ...extras } = result;
  return {
    workload,
    params,
    events,
    seconds: round(seconds, 4),
    events_per_s: events === null || !seconds ? null : Math.round(events / seconds),
    p50_us: histogram?.quantileUs(0.5) ?? p50_us ?? null,
    p99_us: histogram?.quantileUs(0.99) ?? p99_us ?? null,
    rss_mb,
    ...extras,
    proc_cpu_s: cpuSinceLastLine(),
    load1,
  };
}
