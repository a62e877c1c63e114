-- Who is there.
-- ARGV[3…] the members to look at; all without any.
-- Gives { clock, version, the last id of the own inbox, { member, server's record or '', client's record or '', 1 if its lease is over }, … }.
local at = clock()
local last = redis.call('XREVRANGE', inbox(me), '+', '-', 'COUNT', 1)
local reply = { at, tonumber(redis.call('HGET', STATE, 'version') or 0), #last > 0 and last[1][1] or '0-0' }
local function add(member)
  local expiry = redis.call('ZSCORE', LEASES, member)
  if not expiry then return end
  local server = redis.call('HGET', SERVERS, member) or ''
  local client = redis.call('HGET', CLIENTS, member) or ''
  table.insert(reply, { member, server, client, tonumber(expiry) <= at and 1 or 0 })
end
if #ARGV > 2 then
  for i = 3, #ARGV do add(ARGV[i]) end
else
  for _, member in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do add(member) end
end
return reply
