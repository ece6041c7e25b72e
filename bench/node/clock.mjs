// Clocks and the footprint of this process.

/** CLOCK_MONOTONIC in nanoseconds: the same clock in every process of the machine. */
export const nowNs = () => Number(process.hrtime.bigint());

/** The same clock relative to the start of this process, cheaper to read: for spans inside one process. */
export const localNs = () => performance.now() * 1e6;

export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

/** One turn of the event loop. */
export const turn = () => new Promise(resolve => setImmediate(resolve));

/** Resident set in MB, one decimal. */
export const rssMb = () => round(process.memoryUsage.rss() / 2 ** 20, 1);

/** `number` with that many decimals; null stays null. */
export function round(number, decimals) {
  return number === null ? null : Number(number.toFixed(decimals));
}
