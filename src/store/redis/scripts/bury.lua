-- Writes a tombstone where nothing stands, and returns what stands there then.
-- KEYS call
-- ARGV tombstone, how long it stands (ms)
local there = redis.call('GET', KEYS[1])
if there then
  return there
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
