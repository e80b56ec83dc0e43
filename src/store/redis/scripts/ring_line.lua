-- Puts an incoming call on its callee's line, unless they have blocked the caller, and reads what an invite must know of them.
-- KEYS line, history, devices, blocks, bans, attached devices
-- ARGV user, now (ms), call, claim lapses (ms), claim, calls in a history, history kept until (ms), caller
-- {1 if blocked, 1 if banned, claims before it, devices, "<attached device> <instance>" of each}
local now, call = tonumber(ARGV[2]), ARGV[3]
local blocked = redis.call('SISMEMBER', KEYS[4], ARGV[8])
local before
if blocked == 1 then
  before = claims_before(KEYS[1], now, call)
else
  before = claim(KEYS[1], now, call, ARGV[4], ARGV[5])
  remember(KEYS[2], call, tonumber(ARGV[6]), ARGV[7])
end
local banned = holds(redis.call('HGET', KEYS[5], ARGV[1]), now) and 1 or 0
return { blocked, banned, before, redis.call('HVALS', KEYS[3]), redis.call('HKEYS', KEYS[6]) }
