-- Puts an outgoing call on its caller's line, and reserves the idempotency key, if there is one.
-- KEYS line, history, missed calls from the callee, bans, calls that name the user, idempotency key (if there is one), rates
-- ARGV user, now (ms), call, claim lapses (ms), claim, calls in a history, history kept until (ms), that it names the user kept until (ms),
--      with a key: the call whose reservation gives way, digest of the body, key kept until (ms);
--      rates
-- {'banned'}, {'reserved', call, digest of its body}, or {'claimed', claims before it}.
local now, call = tonumber(ARGV[2]), ARGV[3]
local key = #KEYS - tonumber(ARGV[#ARGV]) > 5 and KEYS[6]
if holds(redis.call('HGET', KEYS[4], ARGV[1]), now) then
  return { 'banned' }
end
local before, stands = claims_before(KEYS[1], now, call)
local known = stands
local taken = key and redis.call('GET', key)
if taken then
  local ends, owner, body = string.match(taken, '^(%d+) (%S+) (.*)$')
  known = known or owner == call
  if tonumber(ends) > now and owner ~= call and owner ~= ARGV[9] then
    return { 'reserved', owner, body }
  end
end
local refused = not known and charge(now)
if refused then
  return refused
end
if key then
  redis.call('SET', key, ARGV[11] .. ' ' .. call .. ' ' .. ARGV[10], 'PXAT', ARGV[11])
end
if tonumber(ARGV[4]) <= now then
  -- It lapses before it is made.
  return { 'claimed', before }
end
if not stands then
  claim(KEYS[1], ARGV[4], ARGV[5])
end
remember(KEYS[2], call, tonumber(ARGV[6]), ARGV[7])
name(KEYS[5], call, now, ARGV[8])
redis.call('DEL', KEYS[3])
return { 'claimed', before }
