-- What has become of calls that were handed over some time ago.
-- ARGV[3…] pairs of a queue's number and an entry.
-- Gives { the last id of the inbox, then for each entry 'waits', 'taken' or 'gone' }.
local last = redis.call('XREVRANGE', inbox(me), '+', '-', 'COUNT', 1)
local reply = { #last > 0 and last[1][1] or '0-0' }
local given = {}
for i = 3, #ARGV, 2 do
  local queue, id = QUEUES[tonumber(ARGV[i])], ARGV[i + 1]
  if given[queue] == nil then given[queue] = delivered(queue) or false end
  local state = 'gone'
  if not entry(queue, id) then
    state = 'gone'
  elseif given[queue] and is_after(id, given[queue]) then
    state = 'waits'
  elseif taker(queue, id) then
    state = 'taken'
  elseif given[queue] then
    -- A group that was made anew will not give it out, and who had it before is forgotten.
    redis.call('XDEL', queue, id)
  end
  table.insert(reply, state)
end
return reply
