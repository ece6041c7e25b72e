// Values on the peer's own channel. Both directions use the envelopes of the bus codec, written anew here so that the
// package's codec is the thing observed and never the thing observing, plus tags for what that codec cannot say.

const TAG = '__m_codec__';
const tagged = (tag, v) => (v === undefined ? { [TAG]: tag } : { [TAG]: tag, v });

const fromUnits = units => String.fromCharCode(...units);
const toUnits = text => Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));

function reviveError(fields) {
  const { name = 'Error', message = '', stack, cause, ...own } = fields;
  const error = cause === undefined ? new Error(revive(message)) : new Error(revive(message), { cause: revive(cause) });
  // Not enumerable, as on the prototype of a real error class.
  Object.defineProperty(error, 'name', { value: revive(name), writable: true, configurable: true, enumerable: false });
  // Without one on purpose when none was given: the peer's own call stack would be an accident of its layout.
  if (stack === undefined) delete error.stack;
  else error.stack = revive(stack);
  for (const [key, value] of Object.entries(own)) error[key] = revive(value);
  return error;
}

const revivers = {
  Undefined: () => undefined,
  Date: v => new Date(v),
  InvalidDate: () => new Date(NaN),
  BigInt: v => BigInt(v),
  URL: v => new URL(v),
  RegExp: v => new RegExp(v.source, v.flags),
  Map: v => new Map(v.map(([key, value]) => [revive(key), revive(value)])),
  Set: v => new Set(v.map(revive)),
  Error: reviveError,
  Number: v => Number(v),
  Utf16: fromUnits,
  Plain: v => Object.fromEntries(v.map(([key, value]) => [revive(key), revive(value)])),
  Function: () => () => {},
};

/** JavaScript values from tagged JSON. Throws on an unknown tag, so that a misspelt one is not sent as data. */
export function revive(json) {
  if (json === null || typeof json !== 'object') return json;
  if (Array.isArray(json)) return json.map(revive);
  if (Object.hasOwn(json, TAG)) {
    const tag = json[TAG];
    if (!Object.hasOwn(revivers, tag)) throw new Error(`unknown tag ${JSON.stringify(tag)}; send such an object as Plain`);
    return revivers[tag](json.v);
  }
  // fromEntries defines members, so a member named __proto__ stays one.
  return Object.fromEntries(Object.entries(json).map(([key, value]) => [key, revive(value)]));
}

function revealString(text) {
  return text.isWellFormed() ? text : tagged('Utf16', toUnits(text));
}

function revealNumber(number) {
  return Number.isFinite(number) && !Object.is(number, -0) ? number : tagged('Number', Object.is(number, -0) ? '-0' : String(number));
}

function revealMembers(object, path) {
  const entries = Object.entries(object);
  const ambiguous = entries.some(([key]) => key === TAG || key === '__proto__' || !key.isWellFormed());
  if (!ambiguous) return Object.fromEntries(entries.map(([key, value]) => [key, walk(value, path)]));
  return tagged('Plain', entries.map(([key, value]) => [revealString(key), walk(value, path)]));
}

function revealError(error, path) {
  const fields = { name: revealString(String(error.name)), message: revealString(String(error.message)) };
  if (error.stack !== undefined) fields.stack = revealString(String(error.stack));
  if (Object.hasOwn(error, 'cause')) fields.cause = walk(error.cause, path);
  for (const [key, value] of Object.entries(error)) if (!Object.hasOwn(fields, key)) fields[key] = walk(value, path);
  return tagged('Error', fields);
}

function revealInstance(object, path) {
  const name = object.constructor?.name;
  if (Object.getPrototypeOf(object) === null || name === 'Object') return revealMembers(object, path);
  return { [TAG]: 'Class', n: String(name), v: revealMembers(object, path) };
}

function revealObject(object, path) {
  if (path.includes(object)) return tagged('Cycle');
  const inner = [...path, object];
  if (Array.isArray(object)) return Array.from(object, item => walk(item, inner));
  if (object instanceof Date) return Number.isNaN(object.getTime()) ? tagged('InvalidDate') : tagged('Date', object.toISOString());
  if (object instanceof RegExp) return tagged('RegExp', { source: revealString(object.source), flags: object.flags });
  if (object instanceof URL) return tagged('URL', object.href);
  if (object instanceof Map) return tagged('Map', [...object].map(([key, value]) => [walk(key, inner), walk(value, inner)]));
  if (object instanceof Set) return tagged('Set', [...object].map(item => walk(item, inner)));
  if (object instanceof Error) return revealError(object, inner);
  return revealInstance(object, inner);
}

function walk(value, path) {
  switch (typeof value) {
    case 'string':
      return revealString(value);
    case 'number':
      return revealNumber(value);
    case 'bigint':
      return tagged('BigInt', String(value));
    case 'undefined':
      return tagged('Undefined');
    case 'function':
    case 'symbol':
      return tagged('Function');
    case 'object':
      return value === null ? null : revealObject(value, path);
    default:
      return value;
  }
}

/** Tagged JSON that tells every type and value apart; `revive` undoes it, except for classes, functions and cycles. */
export function reveal(value) {
  return walk(value, []);
}
