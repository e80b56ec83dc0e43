-- Counts a missed call once, and says whether its callee is told of it.
-- KEYS calls of the pair by number; the member '' has, below all numbers, minus the time (ms) until which they count,
--      "<when told last (ms)> <of which call> <its number> <call that is to tell next, or -> <its number>" of the pair,
--      calls of all callers that the callee was told of, by time
-- ARGV call, now (ms), counts until (ms), how many calls are remembered, the pause after a telling (ms), how many in an hour,
--      how long the call that is to tell has for it (ms), the number from which the pause is longer, that pause (ms)
-- {number, when to count it again (ms); 0: tell now, -1: do not}
local call, now = ARGV[1], tonumber(ARGV[2])
local ends = redis.call('ZSCORE', KEYS[1], '')
if ends and -tonumber(ends) <= now then
  redis.call('DEL', KEYS[1])
end
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
local newest = math.max(tonumber(last[2] or 0), 0)
local state = redis.call('GET', KEYS[2]) or '0 - 0 - 0'
local at, told, told_number, teller, teller_number = string.match(state, '^(%d+) (%S+) (%d+) (%S+) (%d+)$')
at, told_number, teller_number = tonumber(at), tonumber(told_number), tonumber(teller_number)
-- The number counted last goes back when the two have talked.
local persistent = math.min(told_number, newest) >= tonumber(ARGV[8])
local next = at + tonumber(persistent and ARGV[9] or ARGV[5])

local function note(at, told, told_number, teller, teller_number)
  local state = string.format('%.0f %s %.0f %s %.0f', at, told, told_number, teller, teller_number)
  redis.call('SET', KEYS[2], state, 'PXAT', ARGV[3])
end

-- Tells of a number, unless there was too much in the last hour.
local function tell(number)
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - 3600000)
  if #redis.call('ZRANGE', KEYS[3], 0, -1) >= tonumber(ARGV[6]) then
    note(at, told, told_number, '-', 0)
    return { number, -1 }
  end
  redis.call('ZADD', KEYS[3], now, call)
  redis.call('PEXPIREAT', KEYS[3], string.format('%.0f', now + 3600000))
  note(now, call, number, '-', 0)
  return { number, 0 }
end

-- What is asked about again: forgotten, if the newest number went back.
if told == call then
  return { told_number, newest < told_number and -1 or 0 }
end
if teller == call then
  if newest < teller_number then
    return { teller_number, -1 }
  end
  if now < next then
    return { teller_number, next }
  end
  return tell(newest)
end
local known = redis.call('ZSCORE', KEYS[1], call)
if known then
  return { tonumber(known), -1 }
end

local number = newest + 1
redis.call('ZADD', KEYS[1], '-' .. ARGV[3], '', number, call)
redis.call('ZREMRANGEBYRANK', KEYS[1], 1, -tonumber(ARGV[4]) - 1)
redis.call('PEXPIREAT', KEYS[1], ARGV[3])
if teller ~= '-' and newest >= teller_number and now < next + tonumber(ARGV[7]) then
  return { number, -1 }
end
if told == '-' or now >= next then
  return tell(number)
end
note(at, told, told_number, call, number)
return { number, next }
