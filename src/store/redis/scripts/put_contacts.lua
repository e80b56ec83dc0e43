-- Lists a user's contacts, in place of those who were.
-- KEYS contacts
-- ARGV contacts
redis.call('DEL', KEYS[1])
for first = 1, #ARGV, 1000 do
  redis.call('SADD', KEYS[1], unpack(ARGV, first, math.min(first + 999, #ARGV)))
end
