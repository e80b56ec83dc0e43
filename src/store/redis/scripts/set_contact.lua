-- Adds a contact of a user or takes one off.
-- KEYS contacts
-- ARGV peer, 1 if listed, how many there may be
-- 0: nothing changed. 1: it did. 2: there are as many as there may be.
if ARGV[2] ~= '1' then
  return redis.call('SREM', KEYS[1], ARGV[1])
end
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 0 and redis.call('SCARD', KEYS[1]) >= tonumber(ARGV[3]) then
  return 2
end
return redis.call('SADD', KEYS[1], ARGV[1])
