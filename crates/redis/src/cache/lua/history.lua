-- What the scripts know of a history: a list of JSON objects, each with its index as first member.

-- The record without the members that trimming puts before the index.
local function bare(record)
  record = string.gsub(record, '^{"logGeneration":"[^"\\]+",', '{')
  return (string.gsub(record, '^{"logFirst":%d+,', '{'))
end

-- The index of a record; clients without scripts write it last.
local function index_of(record)
  local index = string.match(bare(record), '^{"index":(%d+)[,}]') or string.match(record, ',"index":(%d+)}$')
  return tonumber(index)
end

-- The name of the history that begins with this record: what trimming wrote there, or the id of the record.
local function generation(head)
  return string.match(head, '^{"logGeneration":"([^"\\]+)",') or string.match(head, '^.*"id":"([^"\\]+)"') or false
end

-- The first index that is not forgotten, as trimming wrote it into the head.
local function forgotten(head)
  local first = tonumber(string.match(head, '^{"logGeneration":"[^"\\]+","logFirst":(%d+),'))
  -- What Lua cannot count is not of our making.
  return first and first <= 2 ^ 53 and first or 0
end

-- Writes the name of the history, and the first index that is not forgotten, into a new head.
local function stamp(list, name, first)
  local head = redis.call('LINDEX', list, 0)
  if not name or not index_of(head) then
    return
  end
  local mark = '{"logGeneration":"' .. name .. '",'
  if first then
    mark = mark .. string.format('"logFirst":%d,', first)
  end
  redis.call('LSET', list, 0, mark .. string.sub(bare(head), 2))
end

