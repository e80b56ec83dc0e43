-- Removes the record of a call, or of a job, of one version, with its wake-up. A wake-up without a record goes too.
-- KEYS call, urgent wake-ups, later ones
-- ARGV newest format known, version, call id
-- 1: removed. 0: another version stands there. 2: nothing does. -n: a record of format n, which is left alone.
local stands, format, version = head(KEYS[1])
if stands and (not format or format > tonumber(ARGV[1])) then
  return -(format or 0)
end
local matches = version == ARGV[2]
if matches then
  redis.call('DEL', KEYS[1])
end
if matches or not version then
  redis.call('ZREM', KEYS[2], ARGV[3])
  redis.call('ZREM', KEYS[3], ARGV[3])
end
if not stands then
  return 2
end
return matches and 1 or 0
