-- Ends the parts of members whose lease is over by the broker's clock.
-- ARGV[3…] the members. Gives those that were ended.
local at, done = clock(), {}
for i = 3, #ARGV do
  local expiry = redis.call('ZSCORE', LEASES, ARGV[i])
  if expiry and tonumber(expiry) <= at then
    bury(ARGV[i], 'lost')
    table.insert(done, ARGV[i])
  end
end
return done
