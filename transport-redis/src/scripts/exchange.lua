-- All that one member sends at a time. It is done once, whatever becomes of the connection: whoever
-- sends it again, with the number it had, is given the reply of then.
--
-- Most exchanges are done by plain commands in a transaction instead, see `exchange/transaction.rs`: what needs to be
-- decided at the broker is done here, and so is what a transaction may have done already when its reply was lost.
--
-- KEYS[1]  the prefix of all keys of the service          KEYS[2]  `state`
-- KEYS[3]  the queue of plain calls                       KEYS[4]  that of nested ones
-- KEYS[5]  `counts`                                       KEYS[6]  the number of the member's last exchange
-- KEYS[7…] the inboxes of those who are sent messages
-- ARGV[1]  the prefix of channels     ARGV[2]  the member     ARGV[3]  the number of this exchange
-- ARGV[4]  the calls this server has taken and not settled, or ''
-- ARGV[5]  bytes that may wait unread in an inbox
-- ARGV[6], ARGV[7]  how many plain calls are settled, in how many entries
-- ARGV[8], ARGV[9]  how many nested ones, in how many
-- ARGV[10] how many messages          ARGV[11] how many packs
-- ARGV[12] how many arguments stand before what is rare
-- then the entries that are settled;  of each message the member and its bytes;
-- of each pack the queue (1 or 2), how many calls, and its bytes;  and what is rare, see there.
--
-- Gives 'ok;<room elsewhere>;<trimmed below>;<the same>;<taken back, …>;<messages>;<packs, …>;<calls under way, plain
-- and nested>;<bytes unread at each who is sent messages, …>', or 'unknown' if this is no member. A message is 0 if there is
-- no such member, 1 if it was put into its inbox, and 2 if that is full. A pack is its entry, or `none` without servers, or
-- `busy <calls under way> <limit> <ms that the first waits>`, or `gone` if it was put there before, taken, and settled.
local call, state, counts, me = redis.call, KEYS[2], KEYS[5], ARGV[2]
local number, messages, packs, rare = ARGV[3], tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local plain, nested = tonumber(ARGV[7]), tonumber(ARGV[9])
local sent = 13 + plain + nested

-- Where a pack lies that a transaction of this number has put there.
local function find(queue, name)
  local upper = '+'
  for _ = 1, 1000 do
    local found = call('XREVRANGE', queue, upper, '-', 'COUNT', 100)
    for _, entry in ipairs(found) do
      local of = entry[2]
      if of[2] == me and of[6] == name then return entry[1] end
    end
    if #found < 100 then break end
    upper = '(' .. found[#found][1]
  end
  return 'gone'
end

-- The reply of an exchange that is done already.
local function again(before, space)
  if space then return string.sub(before, space + 1) end
  local added = {}
  for i = 0, packs - 1 do
    local at = sent + 2 * messages + 3 * i
    added[i + 1] = find(KEYS[2 + ARGV[at]], number .. ':' .. i)
  end
  return 'ok;0;;;;' .. string.rep('1', messages) .. ';' .. table.concat(added, ',') .. ';;'
end

local before = call('GET', KEYS[6])
if not before then return 'unknown' end
local space = string.find(before, ' ', 1, true)
if (space and string.sub(before, 1, space - 1) or before) == number then return again(before, space) end

local elsewhere, trimmed, taken_back = 0, ';', ''
if rare < #ARGV then
  --@ rare
end

local names = { 'q', 'n' }
for i = 0, messages - 1 do names[3 + i] = 'unread:' .. ARGV[sent + 2 * i] end
local have, set = call('ZMSCORE', counts, unpack(names)), {}
local out = { tonumber(have[1] or 0), tonumber(have[2] or 0) }

if plain > 0 then
  call('XACK', KEYS[3], 'farcall', unpack(ARGV, 13, 12 + plain))
  out[1] = math.max(0, out[1] - ARGV[6])
end
if nested > 0 then
  call('XACK', KEYS[4], 'farcall', unpack(ARGV, 13 + plain, 12 + plain + nested))
  out[2] = math.max(0, out[2] - ARGV[8])
end

local delivered, unread = '', {}
for i = 0, messages - 1 do
  local waits, bytes = tonumber(have[3 + i]), ARGV[sent + 2 * i + 1]
  if not waits then
    delivered = delivered .. '0'
  elseif waits > 0 and waits + #bytes > tonumber(ARGV[5]) then
    delivered = delivered .. '2'
  else
    call('XADD', KEYS[7 + i], '*', 'frames', bytes)
    waits = waits + #bytes
    set[#set + 1] = waits
    set[#set + 1] = names[3 + i]
    delivered = delivered .. '1'
  end
  unread[i + 1] = waits or 0
end

local added = {}
for i = 0, packs - 1 do
  local at = sent + 2 * messages + 3 * i
  local queue, calls = tonumber(ARGV[at]), ARGV[at + 1]
  local room = call('HMGET', state, 'room', 'reserve', 'servers')
  local limit = tonumber(room[1] or 0)
  if queue == 2 then limit = limit + (room[2] or 0) end
  local fate
  if (room[3] or '0') == '0' then
    fate = 'none'
  elseif out[1] + out[2] >= limit then
    local groups, age = redis.pcall('XINFO', 'GROUPS', KEYS[2 + queue]), 0
    for _, group in ipairs(groups) do
      for j = 1, #group, 2 do
        if group[j] == 'last-delivered-id' then
          local first = call('XRANGE', KEYS[2 + queue], '(' .. group[j + 1], '+', 'COUNT', 1)
          local time = call('TIME')
          if #first > 0 then age = time[1] * 1000 + time[2] / 1000 - string.match(first[1][1], '^%d+') end
        end
      end
    end
    fate = string.format('busy %d %d %d', out[1] + out[2], limit, math.max(0, age))
  else
    fate = call('XADD', KEYS[2 + queue], '*', 'a', me, 'n', calls, 'x', number .. ':' .. i, 'p', ARGV[at + 2])
    out[queue] = out[queue] + calls
  end
  added[i + 1] = fate
end

if ARGV[4] ~= '' then
  set[#set + 1] = ARGV[4]
  set[#set + 1] = 'load:' .. me
end
call('ZADD', counts, out[1], 'q', out[2], 'n', unpack(set))
local reply = table.concat({
  'ok', elsewhere, trimmed, taken_back, delivered, table.concat(added, ','),
  out[1] .. ',' .. out[2], table.concat(unread, ','),
}, ';')
call('SET', KEYS[6], number .. ' ' .. reply, 'XX', 'KEEPTTL')
return reply
