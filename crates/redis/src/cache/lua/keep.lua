-- KEYS: list, counter.
-- ARGV: record without index, seconds to live (0: for ever), events to keep (0: all),
--       and, when an earlier attempt may have succeeded: a text that only this record has, records to search for it.
return append(KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5])
