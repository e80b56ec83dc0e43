-- Lifts a ban; 1 if it held.
-- KEYS bans
-- ARGV user, now (ms)
local ban = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
return holds(ban, tonumber(ARGV[2])) and 1 or 0
