-- Removes a device as long as it is what was read.
-- KEYS devices, number of the last notice, channel
-- ARGV device, value that was read, user
-- 0: it is something else by now. 1: it is gone.
local value = redis.call('HGET', KEYS[1], ARGV[1])
if value and value ~= ARGV[2] then
  return 0
end
if value then
  redis.call('HDEL', KEYS[1], ARGV[1])
  tell(KEYS[2], KEYS[3], cjson.encode({ closed = ARGV[3], device = ARGV[1] }))
end
return 1
