-- Grants tokens of an even rate. The key holds the time at which all credit is back, in nanoseconds after the Unix epoch in
-- seconds and a rest, because numbers here have 53 bits.
-- KEYS[1] the key; ARGV: nanoseconds of one token, tokens of a burst, want, debt, count to give back, microseconds valid.
local key = KEYS[1]
local each, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local want, debt, back, valid = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now_s, now_ns = tonumber(time[1]), tonumber(time[2]) * 1000
-- Credit that is used, in nanoseconds.
local used = 0
local held = redis.call('HMGET', key, 's', 'n')
if held[1] then
  used = math.max(0, (tonumber(held[1]) - now_s) * 1000000000 + tonumber(held[2]) - now_ns)
end
used = math.max(0, used - back * each) + debt * each
local free = math.floor((burst * each - used) / each)
local granted = math.max(0, math.min(want, free))
used = used + granted * each
local at = now_ns + used
local s = math.floor(at / 1000000000)
redis.call('HSET', key, 's', string.format('%d', now_s + s), 'n', string.format('%d', at - s * 1000000000))
redis.call('PEXPIRE', key, math.ceil(used / 1000000) + 1000)
local wait = 0
if granted == 0 and free <= 0 then wait = math.ceil((used + each - burst * each) / 1000) end
return {granted, math.max(0, free - granted), math.max(0, wait), valid, 0}
