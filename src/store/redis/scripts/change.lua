-- Writes a field of a hash as long as it is what was read; the empty value removes it.
-- KEYS hash
-- ARGV field, value that was read, next value
-- 0: it is something else by now. 1: the next value stands there.
local value = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if value == ARGV[3] then
  return 1
end
if value ~= ARGV[2] then
  return 0
end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
return 1
