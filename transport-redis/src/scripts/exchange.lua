-- All that one member sends at a time. It is done once, whatever becomes of the connection: whoever
-- sends it again, with the number it had, is given the reply of then.
--
-- It is run for every call, and what it costs is on the way of each: so it begins with nothing but what it needs,
-- reads and writes the sums of the service in one command each, and answers with one text.
--
-- KEYS[1]  the prefix of all keys of the service          KEYS[2]  `state`
-- KEYS[3]  the queue of plain calls                       KEYS[4]  that of nested ones
-- KEYS[5…] the inboxes of those who are sent messages
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
-- Gives 'ok;<room elsewhere>;<trimmed below>;<the same>;<taken back, …>;<messages>;<packs, …>', or 'unknown' if this
-- is no member. A message is 0 if there is no such member, 1 if it was put into its inbox, and 2 if that is full. A
-- pack is its entry, or `none` without servers, or `busy <calls under way> <limit> <ms that the first waits>`.
local call, state, me = redis.call, KEYS[2], ARGV[2]
local last = 'last:' .. me
local number, messages, packs, rare = ARGV[3], tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local elsewhere, trimmed, taken_back = 0, ';', ''

if rare < #ARGV then
  local before = call('HGET', state, last)
  if not before then return 'unknown' end
  local space = string.find(before, ' ', 1, true)
  if string.sub(before, 1, space - 1) == number then return string.sub(before, space + 1) end
  --@ rare
end

local plain, nested = tonumber(ARGV[7]), tonumber(ARGV[9])
local sent = 13 + plain + nested
local fields = { last, 'q', 'n', 'room', 'reserve', 'servers' }
for i = 0, messages - 1 do fields[7 + i] = 'unread:' .. ARGV[sent + 2 * i] end
local have = call('HMGET', state, unpack(fields))
local before = have[1]
if not before then return 'unknown' end
local space = string.find(before, ' ', 1, true)
if string.sub(before, 1, space - 1) == number then return string.sub(before, space + 1) end
local out, set = { tonumber(have[2] or 0), tonumber(have[3] or 0) }, {}

if plain > 0 then
  call('XACK', KEYS[3], 'farcall', unpack(ARGV, 13, 12 + plain))
  out[1] = math.max(0, out[1] - ARGV[6])
end
if nested > 0 then
  call('XACK', KEYS[4], 'farcall', unpack(ARGV, 13 + plain, 12 + plain + nested))
  out[2] = math.max(0, out[2] - ARGV[8])
end

local delivered = ''
for i = 0, messages - 1 do
  local unread, bytes = have[7 + i], ARGV[sent + 2 * i + 1]
  if not unread then
    delivered = delivered .. '0'
  elseif tonumber(unread) > 0 and unread + #bytes > tonumber(ARGV[5]) then
    delivered = delivered .. '2'
  else
    call('XADD', KEYS[5 + i], '*', 'frames', bytes)
    set[#set + 1] = fields[7 + i]
    set[#set + 1] = unread + #bytes
    delivered = delivered .. '1'
  end
end

local added = ''
for i = 0, packs - 1 do
  local at = sent + 2 * messages + 3 * i
  local queue, calls = tonumber(ARGV[at]), ARGV[at + 1]
  local limit = tonumber(have[4] or 0)
  if queue == 2 then limit = limit + (have[5] or 0) end
  local fate
  if (have[6] or '0') == '0' then
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
    fate = call('XADD', KEYS[2 + queue], '*', 'a', me, 'n', calls, 'p', ARGV[at + 2])
    out[queue] = out[queue] + calls
  end
  added = i == 0 and fate or added .. ',' .. fate
end

local reply = 'ok;' .. elsewhere .. ';' .. trimmed .. ';' .. taken_back .. ';' .. delivered .. ';' .. added
if ARGV[4] ~= '' then
  set[#set + 1] = 'load:' .. me
  set[#set + 1] = ARGV[4]
end
call('HSET', state, last, number .. ' ' .. reply, 'q', out[1], 'n', out[2], unpack(set))
return reply
