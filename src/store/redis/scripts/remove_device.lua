-- Removes a device, of one registration only if it is named, and returns its value.
-- KEYS devices, number of the last notice, channel
-- ARGV device, registration ('' for any), user
local value = redis.call('HGET', KEYS[1], ARGV[1])
if not value or (ARGV[2] ~= '' and cjson.decode(value).registration ~= ARGV[2]) then
  return false
end
redis.call('HDEL', KEYS[1], ARGV[1])
tell(KEYS[2], KEYS[3], cjson.encode({ closed = ARGV[3], device = ARGV[1] }))
return value
