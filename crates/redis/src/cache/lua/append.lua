-- KEYS: list, counter.
-- ARGV: record without index, seconds to live (0: for ever), events to keep (0: all),
--       and, when an earlier attempt may have succeeded: a text that only this record has, records to search for it.
local list, counter = KEYS[1], KEYS[2]
local record, ttl, most, mark, depth = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]

-- First, so that a key of another type is found before anything is changed.
local head = redis.call('LINDEX', list, 0)

if mark then
  for _, kept in ipairs(redis.call('LRANGE', list, -tonumber(depth), -1)) do
    if string.find(kept, mark, 1, true) then
      return { index_of(kept), generation(head) }
    end
  end
end

local count = redis.call('INCR', counter)
if count == 1 and head then
  -- The counter is gone and the list is not: go on behind the list.
  local last = index_of(redis.call('LINDEX', list, -1)) or redis.call('LLEN', list) - 1
  count = redis.call('INCRBY', counter, last + 1)
end
if count < 1 then
  return redis.error_reply('ERR the counter is negative')
end

local text = string.format('{"index":%d,', count - 1) .. string.sub(record, 2)
local length = redis.call('RPUSH', list, text)
local name = generation(head or text)
if most > 0 and length > most then
  redis.call('LTRIM', list, -most, -1)
  stamp(list, name)
end
if ttl > 0 then
  redis.call('EXPIRE', list, ttl)
  redis.call('EXPIRE', counter, ttl)
end
return { count - 1, name }
