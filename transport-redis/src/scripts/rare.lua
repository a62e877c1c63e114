-- What few exchanges have. It stands in `exchange.lua`, after `common.lua`.
--
-- ARGV  the last entry read of the own inbox, or '', and the bytes read of it since
--       1 if this server wants to know of room elsewhere
-- then for each of the two queues: how many entries are to be deleted, and these; 1 if it is to be trimmed
-- then how many calls are put back:   queue, entry, client, time, calls, their places, bytes
-- then how many entries are taken back: queue, entry, 1 if nothing else in it is wanted, bytes of a cancel or ''
local next_arg = rare + 1
local function take()
  local value = ARGV[next_arg]
  next_arg = next_arg + 1
  return value
end

local read, bytes = take(), tonumber(take())
if read ~= '' then
  redis.call('XTRIM', inbox(me), 'MINID', after(read))
  count('unread:' .. me, -bytes)
  -- Whatever was refused in the middle, and counted in part, ends here.
  if redis.call('XLEN', inbox(me)) == 0 then redis.call('ZADD', COUNTS, 'XX', 0, 'unread:' .. me) end
end

if take() == '1' then
  local rooms = redis.call('HGETALL', ROOMS)
  for i = 1, #rooms, 2 do
    local ready, concurrency = string.match(rooms[i + 1], '^(%d) (%d+)')
    if rooms[i] ~= me and ready == '1' then
      local load = redis.call('ZSCORE', COUNTS, 'load:' .. rooms[i])
      elsewhere = elsewhere + math.max(0, concurrency - (tonumber(load) or 0))
    end
  end
end

local below = { '', '' }
for queue_number, queue in ipairs(QUEUES) do
  local count, ids = tonumber(take()), {}
  for i = 1, count do ids[i] = take() end
  if count > 0 then redis.call('XDEL', queue, unpack(ids)) end
  if take() == '1' then
    below[queue_number] = trim(queue_number)
  end
end
trimmed = below[1] .. ';' .. below[2]

for _ = 1, tonumber(take()) do
  local queue, id, client, time, calls, places, pack =
    tonumber(take()), take(), take(), take(), take(), take(), take()
  if is_member(client) then
    local again = redis.call('XADD', QUEUES[queue], '*', 'a', client, 'n', calls, 't', time, 'p', pack)
    tell(client, 'moved', queue .. ' ' .. id .. ' ' .. again .. ' ' .. places)
  else
    settled(queue, tonumber(calls))
  end
  returns(queue, id, calls)
end

local fates = {}
for i = 1, tonumber(take()) do
  local queue_number, id, whole, cancel = tonumber(take()), take(), take(), take()
  local queue = QUEUES[queue_number]
  local given, of = delivered(queue), entry(queue, id)
  if not of or not given then
    fates[i] = 'gone'
  elseif is_after(id, given) and whole == '1' then
    redis.call('XDEL', queue, id)
    settled(queue_number, tonumber(of['n']) or 0)
    fates[i] = 'removed'
  elseif is_after(id, given) then
    fates[i] = 'waits'
  else
    fates[i] = 'taken'
    if cancel ~= '' then
      local consumer = taker(queue, id)
      local member = consumer and member_of(consumer)
      if member then tell(member, 'frames', cancel) end
    end
  end
end
taken_back = table.concat(fates, ',')
