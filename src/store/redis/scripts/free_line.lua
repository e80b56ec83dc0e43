-- Takes a call off a line.
-- KEYS line
-- ARGV call
for _, entry in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  if string.match(entry, '^%d+ (%S+) ') == ARGV[1] then
    redis.call('LREM', KEYS[1], 1, entry)
  end
end
return 1
