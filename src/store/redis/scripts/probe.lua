-- Does what the other scripts do, to a key of its own, so that a server that does not let them is found at the start.
-- KEYS a key, channel
-- The command that is not allowed, or nothing.
local refused, why
local function try(command, ...)
  local answer = redis.pcall(command, ...)
  if not why and type(answer) == 'table' and answer.err then
    refused, why = command, answer
  end
end
try('DEL', KEYS[1])
try('SET', KEYS[1], '1', 'PX', 1000)
try('GET', KEYS[1])
try('MGET', KEYS[1])
try('GETRANGE', KEYS[1], 0, 1)
try('INCR', KEYS[1])
try('DEL', KEYS[1])
try('RPUSH', KEYS[1], 'x')
try('LRANGE', KEYS[1], 0, -1)
try('PEXPIRE', KEYS[1], '1000')
try('PEXPIREAT', KEYS[1], '4102444800000')
try('PEXPIRETIME', KEYS[1])
try('LREM', KEYS[1], 1, 'x')
try('ZADD', KEYS[1], 1, 'x')
try('ZSCORE', KEYS[1], 'x')
try('ZRANGE', KEYS[1], 0, -1)
try('ZREMRANGEBYRANK', KEYS[1], 1, 1)
try('ZREMRANGEBYSCORE', KEYS[1], 2, 3)
try('ZREM', KEYS[1], 'x')
try('HSET', KEYS[1], 'x', '1')
try('HGET', KEYS[1], 'x')
try('HMGET', KEYS[1], 'x')
try('HINCRBY', KEYS[1], 'x', 1)
try('HVALS', KEYS[1])
try('HKEYS', KEYS[1])
try('HGETALL', KEYS[1])
try('HDEL', KEYS[1], 'x')
try('SADD', KEYS[1], 'x')
try('SISMEMBER', KEYS[1], 'x')
try('SCARD', KEYS[1])
try('SMEMBERS', KEYS[1])
try('SREM', KEYS[1], 'x')
try('SPUBLISH', KEYS[2], '')
-- Redis does not name it, in the words of one release or another.
if why and (string.find(why.err, "can't run this command", 1, true) or string.find(why.err, 'to run the', 1, true)) then
  return string.lower(refused)
end
return why or false
