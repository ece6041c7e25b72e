// The bus under the peer's control: one of the package's own classes with the package's own defaults.
import { CachingPubSub, EventEmitterPubSub, UnixSocketPubSub } from '@mastra/core/events';
import { InMemoryServerCache } from '@mastra/core/cache';

/** The kinds `openBus` knows, by the name used on the command line. */
export const kinds = {
  unix: (socketPath, options) => new UnixSocketPubSub(socketPath, options),
  emitter: () => new EventEmitterPubSub(),
  caching: () => new CachingPubSub(new EventEmitterPubSub(), new InMemoryServerCache()),
};

/** Opens the bus named by `options.bus` (default `unix`); the other options go to the constructor as they are. */
export function openBus(socketPath, { bus = 'unix', ...options } = {}) {
  if (!Object.hasOwn(kinds, bus)) throw new Error(`unknown bus ${JSON.stringify(bus)}; known: ${Object.keys(kinds).join(', ')}`);
  return kinds[bus](socketPath, options);
}
