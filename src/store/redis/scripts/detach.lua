-- Notes that a device reads no events at an instance any more; it may read at another.
-- KEYS attached devices
-- ARGV device, instance
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
  redis.call('HDEL', KEYS[1], ARGV[1])
end
return 1
