// The steps that must not be torn apart. Each script names one key, so that it also runs in a cluster.

const ifOwner = (owner, then) => `if redis.call('GET', KEYS[1]) == ${owner} then ${then} end return 0`;

const owned = `
local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)
if #held == 0 or held[1][2] ~= ARGV[2] then return 0 end`;

/** KEYS: lease; ARGV: owner, milliseconds. 1 when the lease of this owner lives on. */
export const LEASE_RENEW = ifOwner('ARGV[1]', `return redis.call('PEXPIRE', KEYS[1], ARGV[2])`);

/** The same step, asked after somebody else turned out to hold the lease. */
export const LEASE_REFRESH = `-- refresh\n${LEASE_RENEW}`;

/** KEYS: lease; ARGV: owner. */
export const LEASE_RELEASE = ifOwner('ARGV[1]', `return redis.call('DEL', KEYS[1])`);

/** KEYS: lease; ARGV: present owner, next owner, milliseconds. */
export const LEASE_TRANSFER = ifOwner('ARGV[1]', `redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) return 1`);

const nackIfOwned = append => `${owned}
if ARGV[4] ~= '' then
  ${append}
  if tonumber(ARGV[5]) > 0 then redis.call('PEXPIRE', KEYS[1], ARGV[5]) end
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
return 1`;

/** KEYS: stream; ARGV: group, consumer, entry, text to publish ('' for none), milliseconds to live (0 for ever). */
export const NACK_IF_OWNED = nackIfOwned(`redis.call('XADD', KEYS[1], '*', 'event', ARGV[4])`);

/** As before, and ARGV[6]: the length to trim to. */
export const NACK_IF_OWNED_TRIMMED = nackIfOwned(`redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[6], '*', 'event', ARGV[4])`);

/** KEYS: stream; ARGV: group, consumer, entry. Makes the entry look fresh without counting a delivery. */
export const EXTEND_IF_OWNED = `${owned}
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'JUSTID')
return 1`;
