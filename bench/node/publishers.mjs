// The two ways of publishing: as fast as a number of awaited tasks can, and at a rate without awaiting.
import { localNs, sleep } from './clock.mjs';

/**
 * `width` tasks that each call `publish(seq)` and await it, until `seconds` have passed; resolves with the number of calls.
 * `seq` counts the calls of all tasks. The clock is read before every call whose number is a multiple of `clockEvery`.
 */
export async function blast(seconds, width, publish, clockEvery = 64) {
  const end = localNs() + seconds * 1e9;
  let next = 0;
  let over = false;
  const task = async () => {
    for (;;) {
      if (next % clockEvery === 0 && localNs() >= end) over = true;
      if (over) return;
      await publish(next++);
    }
  };
  await Promise.all(Array.from({ length: width }, task));
  return next;
}

/** Calls `publish(seq)` `rate` times per second for `seconds`; never waits for it. Resolves with the number of calls. */
export async function pace(rate, seconds, publish) {
  const total = Math.round(rate * seconds);
  const start = localNs();
  let next = 0;
  while (next < total) {
    const due = Math.min(total, Math.floor(((localNs() - start) / 1e9) * rate) + 1);
    while (next < due) publish(next++);
    if (next < total) await sleep(1);
  }
  return total;
}
