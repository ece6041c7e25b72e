-- Appends an event to its history and to the stream of its topic.
-- KEYS: list, counter, stream.
-- ARGV: event without index, seconds to live of the history (0: for ever), events to keep in the history (0: all),
--       length of the stream ('': any), milliseconds to live of the stream ('': for ever),
--       and, when an earlier attempt may have succeeded: a text that only this event has, records to search for it.
local list, stream = KEYS[1], KEYS[3]
local event, longest, stream_ttl = ARGV[1], ARGV[4], ARGV[5]

local appended = append(list, KEYS[2], event, tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[6], ARGV[7])
if appended.err or appended.found then
  return appended
end

local index, name = appended[1], appended[2]
local live = string.sub(event, 1, -2) .. string.format(',"index":%d,"deliveryAttempt":1', index)
if name then
  live = live .. ',"logGeneration":"' .. name .. '"'
end
live = live .. '}'

local added
if longest == '' then
  added = redis.pcall('XADD', stream, '*', 'event', live)
else
  added = redis.pcall('XADD', stream, 'MAXLEN', '~', longest, '*', 'event', live)
end
if stream_ttl ~= '' and not (type(added) == 'table' and added.err) then
  added = redis.pcall('PEXPIRE', stream, stream_ttl)
end
if type(added) == 'table' and added.err then
  -- The history has the event all the same.
  return { index, name, added.err }
end
return { index, name }
