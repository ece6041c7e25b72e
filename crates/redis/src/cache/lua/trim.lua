-- KEYS: list. ARGV: the first index to keep, and how far a record can be from the place of its index.
-- The last record always stays, hidden if need be: it carries the name of the history.
local list, before, disorder = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local head = redis.call('LINDEX', list, 0)
if not head then
  return 0
end
local name, length = generation(head), redis.call('LLEN', list)

local last
for _, record in ipairs(redis.call('LRANGE', list, -math.max(disorder, 1), -1)) do
  last = math.max(last or -1, index_of(record) or -1)
end
if last < 0 then
  last = length - 1
end
before = math.max(math.min(before, last + 1), forgotten(head))

-- Where records are missing, or stand in another order, the first one to keep lies further to the front.
local position = math.min(before - (index_of(head) or 0), length - 1)
while position > 0 and (index_of(redis.call('LINDEX', list, position - 1)) or 0) >= before do
  position = position - 1
end
if disorder > 0 and position > 0 then
  local from = math.max(position - disorder, 0)
  for place, record in ipairs(redis.call('LRANGE', list, from, position - 1)) do
    if (index_of(record) or 0) >= before then
      position = from + place - 1
      break
    end
  end
end
if position > 0 then
  redis.call('LTRIM', list, position, -1)
end

-- What stays and is forgotten, or may come late.
local hidden = position > 0 and disorder > 0
for _, record in ipairs(redis.call('LRANGE', list, 0, math.max(disorder, 1) - 1)) do
  hidden = hidden or (index_of(record) or before) < before
end
if hidden then
  stamp(list, name, before)
elseif position > 0 then
  stamp(list, name)
end
return 1
