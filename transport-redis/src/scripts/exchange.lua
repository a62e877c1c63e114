-- All that one member sends at a time. It is done once, whatever becomes of the connection: whoever
-- sends it again, with the number it had, is given the reply of then.
--
-- ARGV[3]  its number                 ARGV[4]  how long an inbox outlives its last use, in ms
-- ARGV[5]  the calls this server has taken and not settled, or ''
-- ARGV[6]  the last entry read of the own inbox, or ''     ARGV[7]  the bytes read of it since
-- ARGV[8]  bytes that may wait unread in an inbox
-- then for each of the two queues: how many calls are settled, how many entries, and these; how many
--   entries are to be deleted, and these; 1 if it is to be trimmed
-- then how many calls are put back:   queue, entry, client, time, calls, their places, bytes
-- then how many calls are taken back: queue, entry, 1 if nothing else in the entry is wanted, bytes of a cancel or ''
-- then how many messages:             member, bytes
-- then how many packs:                queue, calls, bytes
--
-- Gives { 'ok', clock, room elsewhere, { trimmed below, … }, { taken back, … }, { message, … }, { pack, … },
--   servers, smallest }, or { 'unknown' } if this is no member.
if not redis.call('ZSCORE', LEASES, me) then return { 'unknown' } end
local before = redis.call('HGET', LAST, me)
if before then
  local number, reply = string.match(before, '^(%d+) (.*)$')
  if number == ARGV[3] then return cmsgpack.unpack(reply) end
end
local at = clock()
local reply = { 'ok', at, 0, {}, {}, {}, {}, 0, 0 }
local next_arg = 9
local function take()
  local value = ARGV[next_arg]
  next_arg = next_arg + 1
  return value
end
local function take_ids(count)
  local ids = {}
  for i = 1, count do ids[i] = take() end
  return ids
end

if ARGV[5] ~= '' then redis.call('HSET', LOADS, me, ARGV[5]) end
if ARGV[6] ~= '' then
  local ms, seq = string.match(ARGV[6], '^(%d+)-(%d+)$')
  redis.call('XTRIM', inbox(me), 'MINID', ms .. '-' .. string.format('%.0f', tonumber(seq) + 1))
  local bytes = tonumber(ARGV[7])
  if bytes > 0 and redis.call('HINCRBY', UNREAD, me, -bytes) <= 0 then redis.call('HDEL', UNREAD, me) end
end

for number, queue in ipairs(QUEUES) do
  local calls, count = tonumber(take()), tonumber(take())
  local ids = take_ids(count)
  if count > 0 then
    -- Without a group there is nothing to acknowledge.
    redis.pcall('XACK', queue, G, unpack(ids))
    settled(queue, calls)
  end
  count = tonumber(take())
  ids = take_ids(count)
  if count > 0 then redis.call('XDEL', queue, unpack(ids)) end
  reply[4][number] = ''
  if take() == '1' then
    local pending, last = redis.pcall('XPENDING', queue, G), delivered(queue)
    if last and not pending.err then
      local below = pending[2]
      if tonumber(pending[1]) == 0 or not below then
        local ms, seq = string.match(last, '^(%d+)-(%d+)$')
        below = ms .. '-' .. string.format('%.0f', tonumber(seq) + 1)
      end
      redis.call('XTRIM', queue, 'MINID', below)
      reply[4][number] = below
      if redis.call('XLEN', queue) == 0 then redis.call('HSET', STATE, queue, 0) end
    end
  end
end

for _ = 1, tonumber(take()) do
  local queue, id, client, time, calls, places, bytes =
    QUEUES[tonumber(take())], take(), take(), take(), take(), take(), take()
  if redis.call('ZSCORE', LEASES, client) then
    local again = redis.call('XADD', queue, '*', 'a', client, 'n', calls, 't', time, 'p', bytes)
    tell(client, 'moved', id .. ' ' .. again .. ' ' .. places)
  else
    settled(queue, tonumber(calls))
  end
end

for i = 1, tonumber(take()) do
  local queue, id, whole, cancel = QUEUES[tonumber(take())], take(), take(), take()
  local last, of = delivered(queue), entry(queue, id)
  if not of or not last then
    reply[5][i] = 'gone'
  elseif is_after(id, last) and whole == '1' then
    redis.call('XDEL', queue, id)
    settled(queue, tonumber(of['n']) or 0)
    reply[5][i] = 'removed'
  elseif is_after(id, last) then
    reply[5][i] = 'waits'
  else
    reply[5][i] = 'taken'
    if cancel ~= '' then
      local consumer = taker(queue, id)
      local member = consumer and member_of(consumer)
      if member then tell(member, 'frames', cancel) end
    end
  end
end

for i = 1, tonumber(take()) do
  local member, bytes = take(), take()
  if not redis.call('ZSCORE', LEASES, member) then
    reply[6][i] = 0
  else
    local unread = tonumber(redis.call('HGET', UNREAD, member) or 0)
    if unread > 0 and unread + #bytes > tonumber(ARGV[8]) then
      reply[6][i] = 2
    else
      tell(member, 'frames', bytes)
      redis.call('PEXPIRE', inbox(member), ARGV[4])
      reply[6][i] = 1
    end
  end
end

local packs = tonumber(take())
if packs > 0 then
  local of = redis.call('HMGET', STATE, 'room', 'reserve', 'servers', 'smallest', QUEUES[1], QUEUES[2])
  for i = 1, 6 do of[i] = tonumber(of[i] or 0) end
  local room, reserve, servers = of[1], of[2], of[3]
  local out = { of[5], of[6] }
  reply[8], reply[9] = servers, of[4]
  -- A server that is alone takes all there is and refuses what is too much by itself, since it knows whose turn
  -- it is; what may wait for it here keeps a server that has stopped from filling the broker.
  if servers == 1 then room = 2 * room end
  for i = 1, packs do
    local number, calls, bytes = tonumber(take()), tonumber(take()), take()
    local limit = number == 2 and room + 2 * reserve or room
    if servers == 0 then
      reply[7][i] = 'none'
    elseif out[1] + out[2] >= limit then
      local last = delivered(QUEUES[number])
      local first = last and redis.call('XRANGE', QUEUES[number], '(' .. last, '+', 'COUNT', 1)
      local age = first and #first > 0 and at - parts(first[1][1]) or 0
      reply[7][i] = 'busy ' .. (out[1] + out[2]) .. ' ' .. limit .. ' ' .. string.format('%.0f', age)
    else
      reply[7][i] = redis.call('XADD', QUEUES[number], '*', 'a', me, 'n', calls, 'p', bytes)
      out[number] = redis.call('HINCRBY', STATE, QUEUES[number], calls)
    end
  end
end

-- Room at other servers, for one that has more than it can run.
local load = tonumber(ARGV[5])
local mine = load and redis.call('HGET', ROOMS, me)
if mine and load > tonumber(string.match(mine, '^%d (%d+)')) then
  local rooms = redis.call('HGETALL', ROOMS)
  for i = 1, #rooms, 2 do
    local ready, concurrency = string.match(rooms[i + 1], '^(%d) (%d+)')
    if rooms[i] ~= me and ready == '1' then
      local free = tonumber(concurrency) - tonumber(redis.call('HGET', LOADS, rooms[i]) or 0)
      reply[3] = reply[3] + math.max(0, free)
    end
  end
end

redis.call('HSET', LAST, me, ARGV[3] .. ' ' .. cmsgpack.pack(reply))
return reply
