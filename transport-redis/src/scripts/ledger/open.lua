-- Makes a holder of a server.
-- ARGV[17]  the name that the ledger has if it is new
-- Gives { 'ok', epoch, ledger }, or { 'taken' } if this server lives elsewhere, or { 'format', which } if it cannot be read.
local format = call('HGET', META, 'format')
if format and format ~= '1' then return { 'format', format } end
ensure_run()
local before = call('HGET', IDS, server)
local of = before and call('HGET', HOLDERS, before)
if of then
  local other = string.match(of, ' (%S+)$')
  if other == node then
    -- It lives, and could not show it in time.
    bury(before, interrupted)
  else
    local lease = call('ZSCORE', LEASES, before)
    if lease and tonumber(lease) > now then
      -- Its process holds this subscription for as long as it lives, and loses it at once when it dies.
      local listening = call('PUBSUB', 'SHARDNUMSUB', C .. 'ledger:' .. other .. ':' .. server)
      if tonumber(listening[2]) > 0 then return { 'taken' } end
    end
    bury(before, crashed)
  end
end
local last = tonumber(call('HGET', META, 'epoch') or 0)
epoch = whole(math.max(now, last + 1))
if not format then call('HSET', META, 'format', '1', 'ledger', ARGV[17], 'next', '1') end
call('HSET', META, 'epoch', epoch)
call('HSET', HOLDERS, epoch, server .. ' ' .. node)
call('HSET', IDS, server, epoch)
call('ZADD', LEASES, whole(now + tonumber(ARGV[6])), epoch)
close(true)
return { 'ok', epoch, call('HGET', META, 'ledger') }
