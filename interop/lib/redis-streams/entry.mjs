// An event as a stream entry: one field named `event` with plain JSON in it.
import { randomUUID } from 'node:crypto';

/** The JSON of an event that is published for the first time: the bus gives it an id and a time. */
export function encode(event) {
  const deliveryAttempt = event.deliveryAttempt ?? 1;
  return JSON.stringify({ ...event, id: randomUUID(), createdAt: new Date(), deliveryAttempt });
}

/** The same event for subscribers of this process alone. */
export function localEvent(event) {
  return { ...event, id: randomUUID(), createdAt: new Date(), deliveryAttempt: event.deliveryAttempt ?? 1 };
}

/** The text of an entry. An entry without the field counts as an event without members. */
export function textOf(message) {
  return message.event ?? '{}';
}

/** The event, or undefined when the text is not that of an object. Only `createdAt` becomes a date. */
export function decode(text) {
  let event;
  try {
    event = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (event === null || typeof event !== 'object') return undefined;
  if (typeof event.createdAt === 'string') event.createdAt = new Date(event.createdAt);
  return event;
}

/** Which delivery of the event this text is. */
export function attemptOf(text) {
  return JSON.parse(text).deliveryAttempt ?? 1;
}

/** The text for the next delivery: everything stays, unknown members included, but the number of the attempt. */
export function nextAttempt(text) {
  return JSON.stringify({ ...JSON.parse(text), deliveryAttempt: attemptOf(text) + 1 });
}

/** Whether entry id `a` comes after `b`. */
export function isAfter(a, b) {
  const [aTime, aNumber] = a.split('-').map(BigInt);
  const [bTime, bNumber] = b.split('-').map(BigInt);
  return aTime > bTime || (aTime === bTime && aNumber > bNumber);
}
