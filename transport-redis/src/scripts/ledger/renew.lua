-- Renews the lease of a holder.
-- ARGV[17]  1 if it has kept its own for so long that those which are over are no fault of the broker
-- Gives { 'ok', clock in µs }, or { 'fenced' } if it is no holder any more.
if not is_holder() then return { 'fenced' } end
call('ZADD', LEASES, whole(now + tonumber(ARGV[6])), epoch)
if ARGV[17] == '1' then
  for _, holder in ipairs(call('ZRANGE', LEASES, '-inf', whole(now), 'BYSCORE')) do bury(holder, crashed) end
end
-- What is due by that is news to this holder too, which passes over what it has said itself.
if tells then epoch = '0' end
close(true)
return { 'ok', whole(now) }
