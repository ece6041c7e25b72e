// The real Upstash client makes every kind of call that a cache makes, and a few more, at the service given on the command
// line; one JSON line per call says what the client made of the answer.
//   node upstash-calls.mjs <url> <token>
import { Redis } from '@upstash/redis';

const [url, token] = process.argv.slice(2);
const retry = { retries: 2, backoff: () => 5 };
const client = new Redis({ url, token, retry, latencyLogging: false });
const stranger = new Redis({ url, token: `not ${token}`, retry, latencyLogging: false });

const calls = {
  set: () => client.set('text', 'plain'),
  get: () => client.get('text'),
  missing: () => client.get('missing'),
  odd: async () => {
    const text = 'é😀 "\\ \u2028\u0000\n';
    await client.set('odd', text);
    return (await client.get('odd')) === text;
  },
  lone: async () => {
    await client.set('lone', JSON.stringify({ s: '\ud800' }));
    return (await client.get('lone')).s.charCodeAt(0);
  },
  object: async () => {
    await client.set('object', { a: [1, 'x', null] });
    return client.get('object');
  },
  expires: async () => {
    await client.set('expires', 'soon', { ex: 100 });
    const left = await client.ttl('expires');
    return left > 90 && left <= 100;
  },
  counter: async () => [await client.incr('n'), await client.incr('n'), await client.expire('n', 100), await client.get('n')],
  list: async () => [await client.rpush('l', '{"a":1}', 'text', '2'), await client.lrange('l', 0, -1), await client.llen('l')],
  nothing: () => client.lrange('no-list', 0, -1),
  script: () => client.eval("redis.call('SET', KEYS[1], ARGV[1]) return {1, 'two', redis.call('GET', KEYS[1])}", ['k'], ['v']),
  scan: async () => {
    const [cursor, keys] = await client.scan('0', { match: 'l*', count: 100 });
    return [cursor, keys.sort()];
  },
  removed: () => client.del('l', 'n', 'missing'),
  wrongType: () => client.lrange('text', 0, -1),
  scriptError: () => client.eval("return redis.call('LPUSH', 'text', 'x')", [], []),
  pipeline: () => client.pipeline().set('p', 1).incr('p').get('p').exec(),
  pipelineError: () => client.pipeline().set('p', 'x').incr('p').exec(),
  transaction: () => client.multi().set('t', 1).incr('t').get('t').exec(),
  // Calls made in one turn of the loop go out as one pipeline.
  together: () => Promise.all([client.set('a', 1), client.incr('a'), client.get('a')]),
  stranger: () => stranger.get('text'),
};

for (const [name, call] of Object.entries(calls)) {
  let outcome;
  try {
    outcome = { result: await call() };
  } catch (error) {
    outcome = { error: error.message, kind: error.name };
  }
  process.stdout.write(JSON.stringify({ name, ...outcome }) + '\n');
}
