-- What scripts begin with, but for the one that is run for every call.
--
-- KEYS[1]  the prefix of all keys of one service, with its hash tag
-- ARGV[1]  the prefix of its channels (they are not divided by database, so it names the database)
-- ARGV[2]  the member that asks: one node's part in this service, `<node>-<number>`
local T, C, me = KEYS[1], ARGV[1], ARGV[2]
local G = 'farcall'
local NAMES = { 'q', 'n' }
local QUEUES = { T .. 'q', T .. 'n' }
local LEASES, STATE, SERVERS, CLIENTS = T .. 'leases', T .. 'state', T .. 'servers', T .. 'clients'
local IDS, ROOMS, COUNTS = T .. 'ids', T .. 'rooms', T .. 'counts'

local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function inbox(member)
  return T .. 'in:' .. member
end

-- The number of a member's last exchange, for as long as it is one.
local function sent(member)
  return T .. 'sent:' .. member
end

local function is_member(member)
  return redis.call('ZSCORE', LEASES, member) and redis.call('EXISTS', sent(member)) == 1
end

-- Adds to a count that is there, and never makes it less than nothing.
local function count(name, more)
  local now = redis.call('ZADD', COUNTS, 'XX', 'INCR', more, name)
  if now and tonumber(now) < 0 then redis.call('ZADD', COUNTS, 'XX', 0, name) end
end

-- The last entry that the group has given out, or nil without a group.
local function delivered(queue)
  local groups = redis.pcall('XINFO', 'GROUPS', queue)
  if groups.err then return nil end
  for _, group in ipairs(groups) do
    local of = {}
    for i = 1, #group, 2 do of[group[i]] = group[i + 1] end
    if of['name'] == G then return of['last-delivered-id'] end
  end
  return nil
end

local function parts(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

local function is_after(a, b)
  local a_ms, a_seq = parts(a)
  local b_ms, b_seq = parts(b)
  return a_ms > b_ms or (a_ms == b_ms and a_seq > b_seq)
end

-- The entry that would be next, had there been any since.
local function after(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return ms .. '-' .. string.format('%.0f', tonumber(seq) + 1)
end

-- The fields of an entry, or nil if there is none.
local function entry(queue, id)
  local found = redis.call('XRANGE', queue, id, id)
  if #found == 0 then return nil end
  local of, fields = {}, found[1][2]
  for i = 1, #fields, 2 do of[fields[i]] = fields[i + 1] end
  return of
end

-- Who has taken an entry and not settled it: a consumer, or nil.
local function taker(queue, id)
  local found = redis.pcall('XPENDING', queue, G, id, id, 1)
  if found.err or #found == 0 then return nil end
  return found[1][2]
end

-- The member that stands behind a consumer, `<server id>:<epoch>`.
local function member_of(consumer)
  local id, epoch = string.match(consumer, '^(.*):(%d+)$')
  local held = id and redis.call('HGET', IDS, id)
  if not held then return nil end
  local of, member = string.match(held, '^(%d+) (.+)$')
  return of == epoch and member or nil
end

-- How many calls of the entries that a member has taken are in other entries by now, which count them.
local function returned(member)
  return T .. 'back:' .. member
end

local function returns(number, id, calls)
  redis.call('HINCRBY', returned(me), number .. ' ' .. id, calls)
  -- Until the next renewal, which knows better.
  redis.call('PEXPIRE', returned(me), 60000)
end

-- Puts something into the inbox of a member, if there is such a member.
local function tell(member, field, value)
  if not is_member(member) then return end
  redis.call('XADD', inbox(member), '*', field, value)
  count('unread:' .. member, #value)
end

-- Adds up what the servers that take calls have room for.
local function count_room()
  local room, reserve, servers = 0, 0, 0
  local rooms = redis.call('HGETALL', ROOMS)
  for i = 2, #rooms, 2 do
    local ready, concurrency, backlog = string.match(rooms[i], '^(%d) (%d+) (%d+)')
    if ready == '1' then
      concurrency = tonumber(concurrency)
      room = room + concurrency + tonumber(backlog)
      reserve = reserve + math.max(1, math.floor(concurrency / 8))
      servers = servers + 1
    end
  end
  -- A server that is alone takes all there is and refuses what is too much by itself, since it knows whose turn
  -- it is; what may wait for it here keeps a server that has stopped from filling the broker.
  if servers == 1 then room = 2 * room end
  redis.call('HSET', STATE, 'room', room, 'reserve', 2 * reserve, 'servers', servers)
end

local function changed(member, how)
  redis.call('HINCRBY', STATE, 'version', 1)
  redis.call('SPUBLISH', C .. 'changes', how .. ' ' .. member)
end

-- Calls of a queue are over.
local function settled(number, calls)
  count(NAMES[number], -calls)
end

-- Removes what lies before all that somebody has taken and not settled. Gives the id of the first entry that may
-- be left, or '' without a group.
local function trim(number)
  local queue = QUEUES[number]
  local pending, given = redis.pcall('XPENDING', queue, G), delivered(queue)
  if not given or pending.err then return '' end
  local below = pending[2] and tonumber(pending[1]) > 0 and pending[2] or after(given)
  redis.call('XTRIM', queue, 'MINID', below)
  if redis.call('XLEN', queue) == 0 then redis.call('ZADD', COUNTS, 'XX', 0, NAMES[number]) end
  return below
end

-- Ends a member's part for good. What it has taken and not settled is lost: its callers are told.
local function bury(member, how)
  local room = redis.call('HGET', ROOMS, member)
  if room then
    local consumer = string.match(room, '^%d %d+ %d+ (.+)$')
    for number, queue in ipairs(QUEUES) do
      while true do
        local pending = redis.pcall('XPENDING', queue, G, '-', '+', 100, consumer)
        if pending.err or #pending == 0 then break end
        for _, it in ipairs(pending) do
          local of = entry(queue, it[1])
          if of and of['a'] then
            tell(of['a'], 'lost', number .. ' ' .. it[1] .. ' ' .. member)
            local back = redis.call('HGET', returned(member), number .. ' ' .. it[1])
            settled(number, math.max(0, (tonumber(of['n']) or 0) - (tonumber(back) or 0)))
          end
          redis.call('XACK', queue, G, it[1])
          redis.call('XDEL', queue, it[1])
        end
      end
      redis.pcall('XGROUP', 'DELCONSUMER', queue, G, consumer)
      -- What it has settled before is no other's to remove.
      trim(number)
    end
    local id = string.match(consumer, '^(.*):%d+$')
    local held = redis.call('HGET', IDS, id)
    -- Without the epoch the identity is free; its number lives on in the clock.
    if held and string.match(held, '^%d+ (.+)$') == member then redis.call('HDEL', IDS, id) end
    redis.call('HDEL', ROOMS, member)
    redis.call('HDEL', SERVERS, member)
    count_room()
  end
  redis.call('HDEL', CLIENTS, member)
  redis.call('ZREM', COUNTS, 'unread:' .. member, 'load:' .. member)
  redis.call('DEL', inbox(member), sent(member), returned(member))
  if redis.call('ZREM', LEASES, member) == 1 then changed(member, how) end
end

-- Another start of the broker may have brought back a part of what was, or none: nobody can say
-- which calls were taken since. So nothing of it is believed.
local function ensure(run)
  if redis.call('HGET', STATE, 'run') == run then return end
  redis.call('DEL', LEASES, STATE, COUNTS, SERVERS, CLIENTS, IDS, ROOMS, QUEUES[1], QUEUES[2])
  redis.call('HSET', STATE, 'run', run)
  -- Until somebody joins, who knows better.
  redis.call('PEXPIRE', STATE, 60000)
end

-- Everything lives on for a while.
local function keep(ms)
  local keys = {
    LEASES, STATE, COUNTS, SERVERS, CLIENTS, IDS, ROOMS, QUEUES[1], QUEUES[2], inbox(me), sent(me), returned(me),
  }
  for _, key in ipairs(keys) do redis.call('PEXPIRE', key, ms) end
end
