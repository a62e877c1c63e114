-- Ends this member's part, in order: nothing that it has taken is left.
-- ARGV[3…] pairs of a queue's number and an entry that nobody is to take any more.
for i = 3, #ARGV, 2 do
  local number = tonumber(ARGV[i])
  local queue = QUEUES[number]
  local last = delivered(queue)
  if last and is_after(ARGV[i + 1], last) then
    local of = entry(queue, ARGV[i + 1])
    if of then
      redis.call('XDEL', queue, ARGV[i + 1])
      settled(number, tonumber(of['n']) or 0)
    end
  end
end
bury(me, 'left')
return 1
