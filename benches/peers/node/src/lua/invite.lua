-- Begins a call: claims both lines, reserves the idempotency key, writes the record, its wake-up and its events, all or nothing.
-- KEYS call, caller's line, callee's line, wake-ups, caller's history, callee's history, idempotency key (if there is one)
-- ARGV id, record, wake-up (ms; '' for a call that has ended), now (ms), how long a line is claimed (ms), how long the record stays (ms; 0: for
--      good), how long a history stays (ms), '1' to claim the callee's line, the call known to be over that stands on the caller's line, and on
--      the callee's, caller's channel, callee's channel, events, digest of the body, how long the key is kept (ms)
-- {'begun'}, {'known', call, digest}, {'caller_busy', call} or {'callee_busy', call}
if KEYS[7] then
  local known = redis.call('GET', KEYS[7])
  if known then
    return { 'known', string.sub(known, 1, 36), string.sub(known, 38) }
  end
end
local own = redis.call('GET', KEYS[2])
if own and own ~= ARGV[9] then
  return { 'caller_busy', own }
end
if ARGV[8] == '1' then
  local theirs = redis.call('GET', KEYS[3])
  if theirs and theirs ~= ARGV[10] then
    return { 'callee_busy', theirs }
  end
end
if KEYS[7] then
  redis.call('SET', KEYS[7], ARGV[1] .. ' ' .. ARGV[14], 'PX', ARGV[15])
end
redis.call('HSET', KEYS[1], 'v', 1, 'r', ARGV[2])
if ARGV[3] ~= '' then
  redis.call('ZADD', KEYS[4], ARGV[3], ARGV[1])
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[5])
  redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[5])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
end
for _, history in ipairs({ KEYS[5], KEYS[6] }) do
  redis.call('ZADD', history, ARGV[4], ARGV[1])
  redis.call('ZREMRANGEBYRANK', history, 0, -101)
  redis.call('PEXPIRE', history, ARGV[7])
end
redis.call('PUBLISH', ARGV[11], ARGV[13])
redis.call('PUBLISH', ARGV[12], ARGV[13])
return { 'begun' }
