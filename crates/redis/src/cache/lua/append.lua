-- Gives a record its index, appends it and renews the lifetime of both keys.
-- With `mark`, a text that only this record has, the last `depth` records are searched for it first: an earlier attempt may have
-- succeeded.
local function append(list, counter, record, ttl, most, mark, depth)
  -- First, so that a key of another type is found before anything is changed.
  local head = redis.call('LINDEX', list, 0)

  if mark then
    for _, kept in ipairs(redis.call('LRANGE', list, -tonumber(depth), -1)) do
      if string.find(kept, mark, 1, true) then
        return { index_of(kept), generation(head), found = true }
      end
    end
  end

  -- The first command that writes: it is the one that a server without memory refuses in a script.
  local count = redis.call('INCR', counter)
  if ttl > 0 then
    -- Before the record is added, so that a user who may not do this adds none.
    redis.call('EXPIRE', counter, ttl)
  end
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
  end
  return { count - 1, name }
end

