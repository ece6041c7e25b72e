// The packages under measurement, from the one place where they are installed.
const core = name => import(new URL(`../../interop/node_modules/@mastra/core/dist/${name}/index.js`, import.meta.url));

/** Bus classes: `EventEmitterPubSub`, `CachingPubSub`, `UnixSocketPubSub`. */
export const loadEvents = () => core('events');
/** Server caches: `InMemoryServerCache`. */
export const loadCache = () => core('cache');
/** The engine: `Mastra`. */
export const loadEngine = () => core('mastra');
/** Storage backends: `InMemoryStore`. */
export const loadStorage = () => core('storage');
