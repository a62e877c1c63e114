-- Entries of which calls were put back are settled, and what is known of them is of no use.
-- ARGV[3…] pairs of a queue's number and an entry.
for i = 3, #ARGV, 2 do
  redis.call('HDEL', returned(me), ARGV[i] .. ' ' .. ARGV[i + 1])
end
return 1
