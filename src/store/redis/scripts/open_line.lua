-- Puts an outgoing call on its caller's line, and reserves the idempotency key, if there is one.
-- KEYS line, history, missed calls from the callee, bans, idempotency key ('' for none, last)
-- ARGV user, now (ms), call, claim lapses (ms), claim, calls in a history, history kept until (ms),
--      with a key: the call whose reservation gives way, digest of the body, key kept until (ms)
-- {'banned'}, {'reserved', call, digest of its body}, or {'claimed', claims before it}.
local now, call = tonumber(ARGV[2]), ARGV[3]
if holds(redis.call('HGET', KEYS[4], ARGV[1]), now) then
  return { 'banned' }
end
if KEYS[5] then
  local taken = redis.call('GET', KEYS[5])
  if taken then
    local ends, owner, body = string.match(taken, '^(%d+) (%S+) (.*)$')
    if tonumber(ends) > now and owner ~= call and owner ~= ARGV[8] then
      return { 'reserved', owner, body }
    end
  end
  redis.call('SET', KEYS[5], ARGV[10] .. ' ' .. call .. ' ' .. ARGV[9], 'PXAT', ARGV[10])
end
local before = claim(KEYS[1], now, call, ARGV[4], ARGV[5])
remember(KEYS[2], call, tonumber(ARGV[6]), ARGV[7])
redis.call('DEL', KEYS[3])
return { 'claimed', before }
