// W9: wall time and footprint of fresh processes up to their first delivered event.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { nowNs, round } from './clock.mjs';

const CHILD = fileURLToPath(new URL('./w9_child.mjs', import.meta.url));
const ROUNDS = 11;
const ascending = numbers => numbers.toSorted((a, b) => a - b);
const median = numbers => ascending(numbers)[(ROUNDS - 1) / 2];

function startOne(kind) {
  const start = nowNs();
  const { stdout, stderr, status } = spawnSync(process.execPath, [CHILD, kind], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`the process for ${kind} ended with ${status}: ${stderr}`);
  const { now_ns, rss_mb } = JSON.parse(stdout);
  return { us: (now_ns - start) / 1e3, rss_mb };
}

function startMany(kind) {
  const starts = Array.from({ length: ROUNDS }, () => startOne(kind));
  const times = starts.map(({ us }) => us);
  return {
    events: ROUNDS,
    seconds: times.reduce((sum, us) => sum + us, 0) / 1e6,
    p50_us: round(median(times), 3),
    p99_us: round(Math.max(...times), 3),
    rss_mb: median(starts.map(({ rss_mb }) => rss_mb)),
  };
}

function measurement(kind) {
  const line = { workload: 'W9.startup', params: { kind, rounds: ROUNDS } };
  return { lines: [line], run: async print => print(line, startMany(kind)) };
}

export const measurements = ['bare', 'bus', 'mastra'].map(measurement);
