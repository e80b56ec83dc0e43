-- Registers or refreshes a device; the one registered longest ago gives way where there are too many. What is known of its app stays.
-- KEYS devices, number of the last notice, channel, rates
-- ARGV device, its value, how many there may be, user, its registration, now (ms), how long one is kept (ms), rates
-- The values that had to go.
local gone, others, value, known = {}, {}, ARGV[2], false
for _, stored in ipairs(redis.call('HVALS', KEYS[1])) do
  local device = cjson.decode(stored)
  if device.id == ARGV[1] then
    gone[#gone + 1] = stored
    -- Put there by a try whose answer was lost.
    known = device.registration == ARGV[5]
    local new = cjson.decode(value)
    if device.acks and not new.acks and device.app == new.app and device.platform == new.platform then
      -- What cjson writes of all of a device may not be what was read: an empty list, for one.
      value = string.sub(value, 1, -2) .. ',"acks":' .. cjson.encode(device.acks) .. '}'
    end
  else
    others[#others + 1] = { id = device.id, at = device.registered_at, value = stored }
  end
end
local refused = not known and charge(tonumber(ARGV[6]))
if refused then
  return refused
end
table.sort(others, function(a, b) return a.at < b.at end)
local oldest = tonumber(ARGV[6]) - tonumber(ARGV[7])
for place = 1, #others do
  if place > #others - math.max(tonumber(ARGV[3]), 1) + 1 and others[place].at > oldest then
    break
  end
  redis.call('HDEL', KEYS[1], others[place].id)
  gone[#gone + 1] = others[place].value
  tell(KEYS[2], KEYS[3], cjson.encode({ closed = ARGV[4], device = others[place].id }))
end
redis.call('HSET', KEYS[1], ARGV[1], value)
redis.call('PEXPIRE', KEYS[1], ARGV[7])
return gone
