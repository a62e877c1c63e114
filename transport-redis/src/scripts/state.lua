-- A server has changed: it is draining, or ready again.
-- ARGV[3]  1 if it takes calls        ARGV[4]  its record
local room = redis.call('HGET', ROOMS, me)
if not room then return 0 end
redis.call('HSET', ROOMS, me, ARGV[3] .. string.sub(room, 2))
local consumer = string.match(room, '^%d %d+ %d+ (.+)$')
redis.call('HSET', SERVERS, me, string.match(consumer, ':(%d+)$') .. ' ' .. ARGV[4])
count_room()
changed(me, 'changed')
return 1
