// Sizes that the environment may change; the defaults are those of a comparable run.
const number = (name, fallback) => Number(process.env[name] ?? fallback);

export const SECONDS = number('BENCH_SECONDS', 3);
export const WARMUP_SECONDS = number('BENCH_WARMUP_SECONDS', 0.5);
export const FAILOVERS = number('FAILOVERS', 20);
export const FAILOVER_RATE = number('FAILOVER_RATE', 1000);
