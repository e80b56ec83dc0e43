-- Notes that a device reads events at an instance, and forgets what was noted too long ago by instances that never took it back.
-- KEYS attached devices
-- ARGV device and instance, now (ms), how long it is remembered (ms)
local noted = redis.call('HGETALL', KEYS[1])
for place = 1, #noted, 2 do
  if tonumber(noted[place + 1]) + tonumber(ARGV[3]) < tonumber(ARGV[2]) then
    redis.call('HDEL', KEYS[1], noted[place])
  end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
