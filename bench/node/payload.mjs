// The two event shapes that all measurements publish.
export const UNSTAMPED = '0'.repeat(16);
const STAMP_MODULUS = 1e16;

const digits = (number, width) => String(number).padStart(width, '0');
const pads = new Map();

function padFor(bytes, emptyData) {
  if (!pads.has(bytes)) pads.set(bytes, 'x'.repeat(bytes - JSON.stringify(emptyData).length));
  return pads.get(bytes);
}

/** An instant of `nowNs` as the 16 digits of `data.t`. */
export const stamp = ns => digits(ns % STAMP_MODULUS, 16);

/** Nanoseconds from the stamp `t` to the instant `ns`. */
export const sinceStamp = (t, ns) => (ns - Number(t) + STAMP_MODULUS) % STAMP_MODULUS;

/** P(bytes): the compact JSON of its data is `bytes` long, at least 52. */
export function benchEvent(bytes, seq, t = UNSTAMPED) {
  const pad = padFor(bytes, { seq: digits(0, 10), t: UNSTAMPED, pad: '' });
  return { type: 'bench', runId: 'r', data: { seq: digits(seq, 10), t, pad } };
}

const RUN = '00000000-0000-4000-8000-000000000000';
const delta = text => ({ type: 'text-delta', runId: RUN, from: 'AGENT', payload: { id: 'txt-0', text } });
const deltaPad = 'x'.repeat(200 - JSON.stringify(delta(digits(0, 10))).length);

/** C(200): an agent's text delta whose data is 200 bytes of compact JSON. */
export const chunkEvent = seq => ({ type: 'chunk', runId: 'r', data: delta(digits(seq, 10) + deltaPad) });
