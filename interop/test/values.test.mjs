import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reveal, revive } from '../lib/values.mjs';

const T = (tag, v) => (v === undefined ? { __m_codec__: tag } : { __m_codec__: tag, v });

const roundTrips = {
  'plain JSON': { a: [1, 'x', true, null, { b: 1.5 }] },
  undefined: { a: T('Undefined') },
  date: T('Date', '2026-01-02T03:04:05.678Z'),
  'invalid date': T('InvalidDate'),
  'big integer': T('BigInt', '-12345678901234567890'),
  url: T('URL', 'https://u:p@example.org/a?b#c'),
  regexp: T('RegExp', { source: 'a\\/b+', flags: 'gi' }),
  map: T('Map', [[T('Date', '1970-01-01T00:00:00.000Z'), T('Map', [])]]),
  set: T('Set', [1, T('Undefined'), 'a']),
  error: T('Error', { name: 'TypeError', message: 'm', stack: 's', code: T('Map', [[1, 2]]) }),
  'error with a cause': T('Error', { name: 'Error', message: 'm', stack: 's', cause: T('Error', { name: 'E', message: 'i', stack: 't' }) }),
  'negative zero': T('Number', '-0'),
  'not a number': T('Number', 'NaN'),
  infinity: T('Number', '-Infinity'),
  'lone surrogate': T('Utf16', [0x61, 0xd800]),
  'data that looks tagged': T('Plain', [['__m_codec__', 'Date'], ['v', '1970-01-01T00:00:00.000Z']]),
  'data with a __proto__ member': T('Plain', [['__proto__', 1]]),
};

for (const [name, json] of Object.entries(roundTrips)) {
  test(`reveal undoes revive: ${name}`, () => assert.deepEqual(reveal(revive(json)), json));
}

test('values are what they claim to be', () => {
  assert.ok(revive(T('Date', '1970-01-01T00:00:00.000Z')) instanceof Date);
  assert.ok(Number.isNaN(revive(T('InvalidDate')).getTime()));
  assert.equal(revive(T('BigInt', '5')), 5n);
  assert.ok(revive(T('Error', { message: 'm' })) instanceof Error);
  assert.equal(revive(T('Error', { message: 'm' })).stack, undefined);
  assert.ok(Object.is(revive(T('Number', '-0')), -0));
  assert.ok('a' in revive({ a: T('Undefined') }));
});

test('a class shows its name and members, a cycle and a function show themselves', () => {
  class Point {
    x = 1;
  }
  const loop = {};
  loop.self = loop;
  assert.deepEqual(reveal(new Point()), { __m_codec__: 'Class', n: 'Point', v: { x: 1 } });
  assert.deepEqual(reveal(loop), { self: T('Cycle') });
  assert.deepEqual(reveal([() => {}]), [T('Function')]);
});

test('a shared value is shown at every place', () => {
  const shared = { x: 1 };
  assert.deepEqual(reveal([shared, shared]), [{ x: 1 }, { x: 1 }]);
});

test('an unknown tag is refused', () => {
  assert.throws(() => revive({ a: T('Dat', 1) }), /unknown tag "Dat"/);
});
