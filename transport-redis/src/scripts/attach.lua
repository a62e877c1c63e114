-- Begins a connection: whether this member is still one, and the broker's clock.
-- ARGV[3]  the run id of the broker
ensure(ARGV[3])
return { redis.call('HEXISTS', STATE, 'last:' .. me), clock() }
