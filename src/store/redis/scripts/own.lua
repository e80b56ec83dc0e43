-- Gives a token an owner, as long as the one before is known, or the same device.
-- KEYS token
-- ARGV owner, the one before ('' for none), user and device of the owner, how long a device is kept (ms)
-- The owner that stands there, if it is another one.
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] and owner ~= ARGV[2] then
  local there = cjson.decode(owner)
  if there.user ~= ARGV[3] or there.device ~= ARGV[4] then
    return owner
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[5])
return false
