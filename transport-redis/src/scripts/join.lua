-- Makes a member of a node, or adds to what it is.
-- ARGV[3]  the run id of the broker
-- ARGV[4]  the lease in ms            ARGV[5]  how long keys outlive their last use, in ms
-- ARGV[6]  the client's record, or ''
-- ARGV[7]  the server's id, or ''     ARGV[8]  its record
-- ARGV[9]  its concurrency            ARGV[10] its backlog         ARGV[11] 1 if it takes calls
-- Gives { 'ok', clock, epoch, run again } or { 'taken', member }.
ensure(ARGV[3])
local at = clock()
local lease = tonumber(ARGV[4])
local epoch = ''
if ARGV[7] ~= '' then
  local id, time = ARGV[7], redis.call('TIME')
  local micros = tonumber(time[1]) * 1000000 + tonumber(time[2])
  local held = redis.call('HGET', IDS, id)
  if held then
    local last, other = string.match(held, '^(%d+) (.+)$')
    if other == me then
      epoch = last
    else
      local expiry = redis.call('ZSCORE', LEASES, other)
      local node = string.sub(other, 1, 32)
      if expiry and tonumber(expiry) > at and node ~= string.sub(me, 1, 32) then
        -- Its process holds this subscription for as long as it lives, and loses it at once when it dies.
        local listening = redis.call('PUBSUB', 'SHARDNUMSUB', C .. 'alive:' .. other)
        if tonumber(listening[2]) > 0 then return { 'taken', other } end
      end
      bury(other, 'lost')
      micros = math.max(micros, tonumber(last) + 1)
    end
  end
  if epoch == '' then epoch = string.format('%.0f', micros) end
  local consumer = id .. ':' .. epoch
  for _, queue in ipairs(QUEUES) do
    local made = redis.pcall('XGROUP', 'CREATE', queue, G, '$', 'MKSTREAM')
    if type(made) == 'table' and made.err and not string.find(made.err, 'BUSYGROUP') then return made end
    redis.call('XGROUP', 'CREATECONSUMER', queue, G, consumer)
  end
  redis.call('HSET', IDS, id, epoch .. ' ' .. me)
  redis.call('HSET', SERVERS, me, epoch .. ' ' .. ARGV[8])
  redis.call('HSET', ROOMS, me, ARGV[11] .. ' ' .. ARGV[9] .. ' ' .. ARGV[10] .. ' ' .. consumer)
  count_room()
end
if ARGV[6] ~= '' then redis.call('HSET', CLIENTS, me, ARGV[6]) end
redis.call('ZADD', LEASES, at + lease, me)
redis.call('ZADD', COUNTS, 'NX', 0, 'q', 0, 'n', 0, 'unread:' .. me)
if ARGV[7] ~= '' then redis.call('ZADD', COUNTS, 'NX', 0, 'load:' .. me) end
if redis.call('SET', sent(me), '0', 'NX') then
  -- An empty stream: what is put into it later has its time to live. A group would make one too, which
  -- clients need no right to make.
  redis.call('XADD', inbox(me), 'MAXLEN', 0, '*', 'none', '')
end
keep(ARGV[5])
changed(me, 'joined')
return { 'ok', at, epoch }
