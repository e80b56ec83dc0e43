-- Adds a call's share to what is used on some days, unless that was done.
-- KEYS that it was done, each day: "calls", "ms" of participants, and participants by minute of the day
-- ARGV how long it is remembered that it was done (ms); of each day: kept until (ms), ms, number of runs, and of each run
--      the first minute, the last one, participants
-- 1: added. 0: it was done before.
if not redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[1]) then
  return 0
end
local at = 2
for number = 2, #KEYS do
  local day, kept_until, runs = KEYS[number], ARGV[at], tonumber(ARGV[at + 2])
  redis.call('HINCRBY', day, 'calls', 1)
  redis.call('HINCRBY', day, 'ms', ARGV[at + 1])
  for run = at + 3, at + 3 * runs, 3 do
    for minute = tonumber(ARGV[run]), tonumber(ARGV[run + 1]) do
      redis.call('HINCRBY', day, minute, ARGV[run + 2])
    end
  end
  redis.call('PEXPIREAT', day, kept_until)
  at = at + 3 + 3 * runs
end
return 1
