-- Says that a server is there and counts those that said so lately.
-- KEYS[1] the set; ARGV: the server, milliseconds for which it counts.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local since = now - tonumber(ARGV[2])
redis.call('ZADD', KEYS[1], string.format('%d', now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%d', since))
redis.call('PEXPIRE', KEYS[1], string.format('%d', tonumber(ARGV[2])))
return redis.call('ZCARD', KEYS[1])
