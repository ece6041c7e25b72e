-- KEYS: list. ARGV: the first index to keep.
-- The last record always stays, hidden if need be: it carries the name of the history.
local list, before = KEYS[1], tonumber(ARGV[1])
local head = redis.call('LINDEX', list, 0)
if not head then
  return 0
end
local name, length = generation(head), redis.call('LLEN', list)
local last = index_of(redis.call('LINDEX', list, -1)) or length - 1
before = math.min(before, last + 1)

-- Where records are missing, the first one to keep lies further to the front.
local position = math.min(before - (index_of(head) or 0), length - 1)
while position > 0 and (index_of(redis.call('LINDEX', list, position - 1)) or 0) >= before do
  position = position - 1
end
if position > 0 then
  redis.call('LTRIM', list, position, -1)
end
local first = index_of(redis.call('LINDEX', list, 0))
if first and first < before then
  stamp(list, name, before)
elseif position > 0 then
  stamp(list, name)
end
return 1
