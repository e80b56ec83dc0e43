-- Counts a missed call once, and returns its number.
-- KEYS calls by number; the member '' has, below all numbers, minus the time (ms) until which they count
-- ARGV call, now (ms), counts until (ms), how many calls are remembered
local ends = redis.call('ZSCORE', KEYS[1], '')
if ends and -tonumber(ends) <= tonumber(ARGV[2]) then
  redis.call('DEL', KEYS[1])
end
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
if known then
  return tonumber(known)
end
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
local number = math.max(tonumber(last[2] or 0), 0) + 1
redis.call('ZADD', KEYS[1], '-' .. ARGV[3], '', number, ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 1, -tonumber(ARGV[4]) - 1)
redis.call('PEXPIREAT', KEYS[1], ARGV[3])
return number
