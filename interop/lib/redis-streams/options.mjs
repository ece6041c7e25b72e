// The options of the bus: names and defaults as users of the reference know them.

const defaults = {
  url: 'redis://localhost:6379',
  redisOptions: {},
  keyPrefix: 'mastra:topic',
  blockMs: 1000,
  maxStreamLength: 10_000,
  streamIdleTtlMs: 0,
  reclaimIntervalMs: 30_000,
  reclaimIdleMs: 60_000,
  maxDeliveryAttempts: 5,
  inFlightTimeoutMs: 0,
  logger: undefined,
  // Behave like the line before shared readers: a group per callback, and a reclaim that takes its own entries, too.
  older: false,
  // Trim when a nack publishes again, as the line after core 1.71 does.
  trimRedeliveries: false,
};

function checkAttempts(value, warn) {
  if (Number.isNaN(value) || value < 0) throw new Error(`maxDeliveryAttempts must not be negative, got ${value}`);
  if (value > 0) return value;
  warn('maxDeliveryAttempts 0 is taken for Infinity');
  return Infinity;
}

function checkMillis(name, value, whole) {
  const fine = Number.isFinite(value) && value >= 0 && (!whole || Number.isInteger(value));
  if (!fine) throw new Error(`${name} must be a ${whole ? 'whole ' : ''}number of milliseconds, 0 or more, got ${value}`);
}

/** The options with every default filled in; throws on an unknown or impossible one. */
export function settle(given = {}) {
  for (const name of Object.keys(given)) if (!Object.hasOwn(defaults, name)) throw new Error(`unknown option ${JSON.stringify(name)}`);
  const options = { ...defaults, ...given };
  options.log = {
    debug: (message, detail) => options.logger?.debug?.(message, detail),
    warn: (message, detail) => options.logger?.warn?.(message, detail),
  };
  options.maxDeliveryAttempts = checkAttempts(options.maxDeliveryAttempts, options.log.warn);
  checkMillis('streamIdleTtlMs', options.streamIdleTtlMs, true);
  checkMillis('inFlightTimeoutMs', options.inFlightTimeoutMs, false);
  return options;
}
