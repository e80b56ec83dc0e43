-- What several scripts do. Each begins with a copy of this.

-- The format, the version and the commit of the record under a key: nothing where nothing stands, no version for a tombstone.
-- A record begins with these fields in this order, so that a few bytes of it tell.
local function head(key)
  local start = redis.call('GETRANGE', key, 0, 255)
  local format = tonumber(string.match(start, '^{"format":(%d+)'))
  local commit, version = string.match(start, '^{"format":%d+,"commit":"(%x*)","id":"[^"]*","version":(%d+)[,}]')
  return start ~= '', format, version, commit
end

-- Puts a call's wake-up into the one set and out of the other.
local function wake(urgent, into, out_of, due, call)
  if urgent ~= '1' then
    into, out_of = out_of, into
  end
  redis.call('ZADD', into, due, call)
  redis.call('ZREM', out_of, call)
end

-- Tells every instance. Notices of a partition are numbered, so that a lost one is noticed.
local function tell(counter, channel, notice)
  local number = redis.call('INCR', counter)
  redis.call('SPUBLISH', channel, number .. ' ' .. notice)
end

-- The claims of a line before that of a call, and whether it has one. Those that have lapsed are forgotten.
-- An entry is "<until in ms> <call> <claim>".
local function claims_before(line, now, call)
  local before = {}
  for _, entry in ipairs(redis.call('LRANGE', line, 0, -1)) do
    local ends, whose = string.match(entry, '^(%d+) (%S+) ')
    if tonumber(ends) <= now then
      redis.call('LREM', line, 1, entry)
    elseif whose == call then
      return before, true
    else
      before[#before + 1] = entry
    end
  end
  return before, false
end

-- Adds a claim to a line.
local function claim(line, lapses, entry)
  redis.call('RPUSH', line, entry)
  if redis.call('PEXPIRETIME', line) < tonumber(lapses) then
    redis.call('PEXPIREAT', line, lapses)
  end
end

-- The newest calls of a user, whose ids sort by time.
local function remember(history, call, most, kept_until)
  redis.call('ZADD', history, 0, call)
  redis.call('ZREMRANGEBYRANK', history, 0, -most - 1)
  redis.call('PEXPIREAT', history, kept_until)
end

-- That a call names a user, and until when a record of it may be kept, as was configured when that was noted. Those of which none is any more go.
local function name(named, call, now, kept_until)
  redis.call('ZREMRANGEBYSCORE', named, '-inf', now)
  redis.call('ZADD', named, 'GT', kept_until, call)
  if redis.call('PEXPIRETIME', named) < tonumber(kept_until) then
    redis.call('PEXPIREAT', named, kept_until)
  end
end

-- Whether "<until in ms, 0: for good> <ban>" holds.
local function holds(ban, now)
  local ends = ban and tonumber(string.match(ban, '^%d+'))
  return ends == 0 or (ends or 0) > now
end

-- Takes one of each rate, or, where one has none left, nothing: {'limited', which, how long to wait (us)}, of the longest wait.
-- The rates are the last keys; the last arguments are the interval and the span (us) of each, and how many there are. Under the key of a rate
-- stands the time (us) at which all that was taken would have come to its end, had it been spread evenly (see domain/rate.rs).
local function charge(now, only_look)
  local count, longest, which = tonumber(ARGV[#ARGV]), 0, nil
  local keys, args, nexts = #KEYS - count, #ARGV - 1 - 2 * count, {}
  now = now * 1000
  for place = 1, count do
    local interval, span = tonumber(ARGV[args + 2 * place - 1]), tonumber(ARGV[args + 2 * place])
    local arrival = tonumber(redis.call('GET', KEYS[keys + place]) or 0)
    if arrival > now + 2 * span then
      arrival = 0
    end
    nexts[place] = math.max(arrival, now) + interval
    local wait = nexts[place] - span - now
    if wait > longest then
      longest, which = wait, place
    end
  end
  if which then
    return { 'limited', which, longest }
  end
  for place = 1, only_look and 0 or count do
    local kept_for = math.ceil((nexts[place] - now) / 1000)
    redis.call('SET', KEYS[keys + place], string.format('%.0f', nexts[place]), 'PX', string.format('%.0f', kept_for))
  end
  return nil
end
