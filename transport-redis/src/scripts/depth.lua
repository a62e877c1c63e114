-- How full the queue is: { calls nobody has taken, { server's id, calls it has taken }, … }.
local reply, taken = { 0 }, 0
local rooms = redis.call('HGETALL', ROOMS)
for i = 1, #rooms, 2 do
  local id = string.match(rooms[i + 1], '^%d %d+ %d+ (.*):%d+$')
  local load = tonumber(redis.call('ZSCORE', COUNTS, 'load:' .. rooms[i]) or 0)
  taken = taken + load
  table.insert(reply, { id, load })
end
local out = 0
for _, name in ipairs(NAMES) do
  out = out + tonumber(redis.call('ZSCORE', COUNTS, name) or 0)
end
reply[1] = math.max(0, out - taken)
return reply
