-- Renews a lease, and looks who has not.
-- ARGV[3]  the lease in ms            ARGV[4]  how long keys outlive their last use, in ms
-- ARGV[5]  1 if this is a server      ARGV[6]  1 if it is a client
-- Gives { known, clock, version, members whose lease is over … }.
local at = clock()
local expiry = redis.call('ZSCORE', LEASES, me)
-- Somebody may have deleted a part of what a member needs: then it is none.
local function is_whole()
  return expiry and redis.call('EXISTS', sent(me), inbox(me), COUNTS) == 3
    and (ARGV[5] ~= '1' or redis.call('HEXISTS', SERVERS, me) + redis.call('HEXISTS', ROOMS, me) == 2)
    and (ARGV[6] ~= '1' or redis.call('HEXISTS', CLIENTS, me) == 1)
end
if not is_whole() then return { 0, at } end
-- Who looked meanwhile may have left it out.
if tonumber(expiry) <= at then changed(me, 'changed') end
redis.call('ZADD', LEASES, at + tonumber(ARGV[3]), me)
keep(ARGV[4])
local reply = { 1, at, tonumber(redis.call('HGET', STATE, 'version') or 0) }
for _, member in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', at, 'LIMIT', 0, 100)) do
  table.insert(reply, member)
end
return reply
