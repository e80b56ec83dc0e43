-- Registers or refreshes a device, and takes its tokens from whichever device had them. The one registered longest ago gives way where there
-- are too many.
-- KEYS devices of the user, owners of tokens
-- ARGV device, its value, how many there may be, user, prefix of the keys of devices, tokens
for index = 6, #ARGV do
  local owner = redis.call('HGET', KEYS[2], ARGV[index])
  if owner then
    local user, device = string.match(owner, '^(.*) (.-)$')
    if user ~= ARGV[4] or device ~= ARGV[1] then
      redis.call('HDEL', ARGV[5] .. user, device)
    end
  end
  redis.call('HSET', KEYS[2], ARGV[index], ARGV[4] .. ' ' .. ARGV[1])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[3]) then
  local oldest, at
  for _, value in ipairs(redis.call('HVALS', KEYS[1])) do
    local device = cjson.decode(value)
    if device.id ~= ARGV[1] and (not at or device.registered_at < at) then
      oldest, at = device.id, device.registered_at
    end
  end
  redis.call('HDEL', KEYS[1], oldest)
end
return 1
