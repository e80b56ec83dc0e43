-- Bans a user, and closes their event streams.
-- KEYS bans, number of the last notice, channel
-- ARGV user, ban
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  tell(KEYS[2], KEYS[3], cjson.encode({ closed = ARGV[1] }))
end
return 1
