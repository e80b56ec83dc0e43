-- Takes of a user's rates, unless they are banned.
-- KEYS bans, rates
-- ARGV user, now (ms), rates
-- 0 if banned, 1 if not.
local now = tonumber(ARGV[2])
if holds(redis.call('HGET', KEYS[1], ARGV[1]), now) then
  return 0
end
return charge(now) or 1
