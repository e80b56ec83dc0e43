-- Closes all event streams of a user.
-- KEYS number of the last notice, channel
-- ARGV user
tell(KEYS[1], KEYS[2], cjson.encode({ closed = ARGV[1] }))
return 1
