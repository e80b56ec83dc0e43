-- Writes the next record of a call where the expected version stands, with its wake-up and the notice of its new events. A job is one that is
-- urgent, to wake-ups of its own, without a notice.
-- KEYS call, urgent wake-ups, later ones, number of the last notice, channel
-- ARGV newest format known, expected version ('' for nothing), this commit, its version, record, due (ms), urgent, call id, notice ('' for none)
-- 1: written. 0: something else stands there. -n: a record of format n, which is left alone.
local stands, format, version, commit = head(KEYS[1])
if stands then
  if not format or format > tonumber(ARGV[1]) then
    return -(format or 0)
  end
  -- Written before, by a try whose answer was lost.
  if version == ARGV[4] and commit == ARGV[3] then
    return 1
  end
end
if (ARGV[2] == '' and stands) or (ARGV[2] ~= '' and version ~= ARGV[2]) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[5])
wake(ARGV[7], KEYS[2], KEYS[3], ARGV[6], ARGV[8])
if ARGV[9] ~= '' then
  tell(KEYS[4], KEYS[5], ARGV[9])
end
return 1
