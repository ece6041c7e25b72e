// The bus under the peer's control: one of the package's own classes with the package's own defaults, or our Redis bus.
// What talks to Redis is loaded when it is asked for: it takes half a second.
import { CachingPubSub, EventEmitterPubSub, UnixSocketPubSub } from '@mastra/core/events';
import { InMemoryServerCache } from '@mastra/core/cache';

/** The kinds `openBus` knows, by the name used on the command line. */
export const kinds = {
  unix: (socketPath, options) => new UnixSocketPubSub(socketPath, options),
  emitter: () => new EventEmitterPubSub(),
  caching: () => new CachingPubSub(new EventEmitterPubSub(), new InMemoryServerCache()),
  redis: async (url, options) => {
    const { RedisStreamsPubSub } = await import('./redis-streams.mjs');
    return new RedisStreamsPubSub({ url, ...options });
  },
};

/** The caches that can be laid over a bus. Each is the package's own class with the package's preset for its client. */
const caches = {
  async redis({ url, ...options }) {
    const { createClient } = await import('redis');
    const { RedisServerCache, nodeRedisPreset } = await import('@mastra/redis');
    const client = createClient({ url });
    client.on('error', () => {});
    // Commands wait for the connection.
    client.connect().catch(() => {});
    const close = async () => void (client.isReady ? await client.quit() : client.destroy());
    return { cache: new RedisServerCache({ client }, { ...nodeRedisPreset, ...options }), close };
  },
  async upstash({ url, token, ...options }) {
    const { Redis } = await import('@upstash/redis');
    const { RedisServerCache, upstashPreset } = await import('@mastra/redis');
    const client = new Redis({ url, token });
    return { cache: new RedisServerCache({ client }, { ...upstashPreset, ...options }), close: async () => {} };
  },
};

function known(table, what, name) {
  if (!Object.hasOwn(table, name)) throw new Error(`unknown ${what} ${JSON.stringify(name)}; known: ${Object.keys(table).join(', ')}`);
  return table[name];
}

/**
 * Opens the bus named by `options.bus` (default `unix`) at `address`. `options.cache` lays the caching decorator over it:
 * `kind` names the cache, `topicPrefix` goes to the decorator, the rest to the cache. The other options go to the constructor
 * of the bus. Resolves with `{bus, close, leases}`; for a bus without leases `leases` is undefined.
 */
export async function openBus(address, { bus: kind = 'unix', cache: cacheOptions, ...options } = {}) {
  const bus = await known(kinds, 'bus', kind)(address, options);
  const leases = 'acquireLease' in bus ? bus : undefined;
  if (cacheOptions === undefined) return { bus, leases, close: async () => bus.close?.() };
  const { kind: cacheKind, topicPrefix, ...rest } = cacheOptions;
  const { cache, close: closeCache } = await known(caches, 'cache', cacheKind)(rest);
  const caching = new CachingPubSub(bus, cache, topicPrefix === undefined ? {} : { keyPrefix: topicPrefix });
  const close = async () => {
    await bus.close?.();
    await closeCache();
  };
  return { bus: caching, leases, close };
}
