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

-- Adds a claim to a line if its call has none, and returns those before it.
local function claim(line, now, call, lapses, entry)
  local before, stands = claims_before(line, now, call)
  if not stands then
    redis.call('RPUSH', line, entry)
    if redis.call('PEXPIRETIME', line) < tonumber(lapses) then
      redis.call('PEXPIREAT', line, lapses)
    end
  end
  return before
end

-- The newest calls of a user, whose ids sort by time.
local function remember(history, call, most, kept_until)
  redis.call('ZADD', history, 0, call)
  redis.call('ZREMRANGEBYRANK', history, 0, -most - 1)
  redis.call('PEXPIREAT', history, kept_until)
end

-- Whether "<until in ms, 0: for good> <ban>" holds.
local function holds(ban, now)
  local ends = ban and tonumber(string.match(ban, '^%d+'))
  return ends == 0 or (ends or 0) > now
end
