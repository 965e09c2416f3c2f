-- Grants tokens of a sliding window. See store.rs: tokens of one slot may be used until `valid` slots later, so that many more
-- slots than the window has are counted.
-- KEYS[1] the key; ARGV: count, microseconds of a slot, slots counted, slots valid, want, debt, slot and count to give back.
-- The hash holds 'n' the newest slot, 's' the sum, and the slots by their number modulo the slots counted.
local key = KEYS[1]
local count, width, counted, valid = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local want, debt, back_slot, back = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local slot = math.floor(now / width)
local head = redis.call('HMGET', key, 'n', 's')
local newest, sum = tonumber(head[1]), tonumber(head[2])
if not newest or slot - newest >= counted then
  redis.call('DEL', key)
  newest, sum = slot, 0
elseif slot < newest then
  slot = newest -- the clock was set back
end
if slot > newest then
  local names = {}
  for gone = newest - counted + 1, slot - counted do names[#names + 1] = string.format('%d', gone % counted) end
  local values = redis.call('HMGET', key, unpack(names))
  local drop = {}
  for at = 1, #names do
    if values[at] then
      sum = sum - tonumber(values[at])
      drop[#drop + 1] = names[at]
    end
  end
  if #drop > 0 then redis.call('HDEL', key, unpack(drop)) end
end
if back > 0 and back_slot <= slot and back_slot > slot - counted then
  local name = string.format('%d', back_slot % counted)
  local there = tonumber(redis.call('HGET', key, name) or 0)
  local given = math.min(there, back)
  if given > 0 then
    redis.call('HINCRBY', key, name, string.format('%d', -given))
    sum = sum - given
  end
end
local granted = math.max(0, math.min(want, count - sum - debt))
if granted + debt > 0 then
  redis.call('HINCRBY', key, string.format('%d', slot % counted), string.format('%d', granted + debt))
  sum = sum + granted + debt
end
redis.call('HSET', key, 'n', string.format('%d', slot), 's', string.format('%d', sum))
redis.call('PEXPIRE', key, math.ceil(width * (counted + 2) / 1000))
local wait = 0
if granted == 0 and sum >= count then
  local names = {}
  for age = slot - counted + 1, slot do names[#names + 1] = string.format('%d', age % counted) end
  local values = redis.call('HMGET', key, unpack(names))
  local left = sum
  wait = counted * width
  for at = 1, #names do
    if values[at] then
      left = left - tonumber(values[at])
      if left < count then
        wait = (slot + at) * width - now
        break
      end
    end
  end
end
local remaining = math.max(0, count - sum)
return {granted, remaining, wait, (slot + valid + 1) * width - now, slot}
