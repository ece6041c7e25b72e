// The packages under measurement, from the one place where they are installed.
const interop = path => import(new URL(`../../interop/${path}`, import.meta.url));
const core = name => interop(`node_modules/@mastra/core/dist/${name}/index.js`);

/** Bus classes: `EventEmitterPubSub`, `CachingPubSub`, `UnixSocketPubSub`. */
export const loadEvents = () => core('events');
/** Server caches: `InMemoryServerCache`. */
export const loadCache = () => core('cache');
/** The engine: `Mastra`. */
export const loadEngine = () => core('mastra');
/** The evented workflows: `createWorkflow`, `createStep`. */
export const loadWorkflows = () => core('workflows/evented');
/** Agents: `Agent`. */
export const loadAgent = () => core('agent');
/** Durable agents: `createDurableAgent`, `createEventedAgent`. */
export const loadDurableAgents = () => core('agent/durable');
/** Schemas: `z`. */
export const loadZod = () => interop('node_modules/zod/index.js');
/** Storage backends: `InMemoryStore`. */
export const loadStorage = () => core('storage');
/** The bus on Redis: `RedisStreamsPubSub`. The package of the reference is not in the registry, so this one is ours. */
export const loadRedisBus = () => interop('lib/redis-streams.mjs');
/** The cache on Redis: `RedisServerCache`, `nodeRedisPreset`. */
export const loadRedisCache = () => interop('node_modules/@mastra/redis/dist/index.js');
/** The client library of both: `createClient`. */
export const loadRedisClient = () => interop('node_modules/redis/dist/index.js');
