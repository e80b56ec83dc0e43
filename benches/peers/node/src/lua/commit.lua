-- Writes the next record of a call where the expected version stands, with its wake-up and its new events. One that ended leaves both lines.
-- KEYS call, wake-ups, caller's line, callee's line
-- ARGV expected version, record, id, wake-up (ms; '' for a call that has ended), how long an ended call stays (ms), caller's channel,
--      callee's channel, events ('' for none)
-- 1: written. 0: another version stands there.
if redis.call('HGET', KEYS[1], 'v') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'v', tonumber(ARGV[1]) + 1, 'r', ARGV[2])
if ARGV[4] ~= '' then
  redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3])
else
  redis.call('ZREM', KEYS[2], ARGV[3])
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  for _, line in ipairs({ KEYS[3], KEYS[4] }) do
    if redis.call('GET', line) == ARGV[3] then
      redis.call('DEL', line)
    end
  end
end
if ARGV[8] ~= '' then
  redis.call('PUBLISH', ARGV[6], ARGV[8])
  redis.call('PUBLISH', ARGV[7], ARGV[8])
end
return 1
