-- Puts an incoming call on its callee's line, unless they have blocked the caller, and reads what an invite must know of them.
-- KEYS line, history, devices, blocks, bans, attached devices, calls that name the user, contacts, rates
-- ARGV user, now (ms), call, claim lapses (ms), claim, calls in a history, history kept until (ms), that it names the user kept until (ms),
--      caller, 1 if contacts alone may call, how many claims may be before it, rates
-- {1} for a stranger, else {0, 1 if blocked, 1 if banned, 1 if too many are before it, claims before it, devices, "<attached device> <instance>" of each}
if ARGV[10] == '1' and redis.call('SISMEMBER', KEYS[8], ARGV[9]) == 0 then
  return { 1 }
end
local now, call = tonumber(ARGV[2]), ARGV[3]
local blocked = redis.call('SISMEMBER', KEYS[4], ARGV[9]) == 1
local before, stands = claims_before(KEYS[1], now, call)
local refused = not stands and charge(now, blocked)
if refused then
  return refused
end
-- Also one that is hidden: its record names them.
name(KEYS[7], call, now, ARGV[8])
local crowded = not blocked and not stands and #before >= tonumber(ARGV[11])
if not blocked then
  if not stands and not crowded then
    claim(KEYS[1], ARGV[4], ARGV[5])
  end
  remember(KEYS[2], call, tonumber(ARGV[6]), ARGV[7])
end
local banned = holds(redis.call('HGET', KEYS[5], ARGV[1]), now)
return { 0, blocked and 1 or 0, banned and 1 or 0, crowded and 1 or 0, before, redis.call('HVALS', KEYS[3]), redis.call('HKEYS', KEYS[6]) }
