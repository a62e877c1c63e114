-- What the scripts of a ledger begin with. They decide as the `Book` of core does, by the broker's clock.
--
-- KEYS[1]  the prefix of all keys of the service        ARGV[1]  the prefix of its channels
-- ARGV[2]  the server     ARGV[3]  its node             ARGV[4]  its epoch, or 0
-- ARGV[5]  the run id of the broker                     ARGV[6]  the lease in µs
-- ARGV[7]  chance, from 0 to 1
-- ARGV[8…16] the policy: crashes, failures, first and longest wait in µs, retention of outcomes and of dead tasks in µs,
-- how many dead tasks, how many unfinished, how many bytes
local call, L, C = redis.call, KEYS[1] .. 'ledger:', ARGV[1]
local server, node, epoch = ARGV[2], ARGV[3], ARGV[4]
local META, TASKS, PARAMS, NAMES, ALL = L .. 'meta', L .. 'tasks', L .. 'params', L .. 'keys', L .. 'all'
local READY, SUSPECTS, RUNNING, LANE = L .. 'ready', L .. 'suspects', L .. 'running', L .. 'lane'
local EXPIRING, OVER, DEAD = L .. 'expiring', L .. 'over', L .. 'dead'
local HOLDERS, LEASES, IDS = L .. 'holders', L .. 'leases', L .. 'ids'
local EVERYTHING = {
  META, TASKS, PARAMS, NAMES, ALL, READY, SUSPECTS, RUNNING, LANE, EXPIRING, OVER, DEAD, HOLDERS, LEASES, IDS,
}
local POLICY = {
  crashes = tonumber(ARGV[8]), failures = tonumber(ARGV[9]), backoff = tonumber(ARGV[10]),
  longest = tonumber(ARGV[11]), retention = tonumber(ARGV[12]), dead_retention = tonumber(ARGV[13]),
  max_dead = tonumber(ARGV[14]), max_unfinished = tonumber(ARGV[15]), max_bytes = tonumber(ARGV[16]),
}
local time = call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

-- Whole numbers up to 2^53. `..` and `tostring` would round them.
local function whole(number)
  return string.format('%.0f', number)
end

-- A task's number in a sorted set, where equal scores go by the letters.
local function padded(number)
  return string.format('%016.0f', number)
end

local bytes, bytes_before
local tells, changes = false, false

local function load(number)
  local record = call('HGET', TASKS, whole(number))
  return record and cmsgpack.unpack(record) or nil
end

local function size(task)
  return 256 + task.ps + task.hs + (task.os or 0) + (task.g and #task.g or 0)
end

local function count(more)
  if not bytes then
    bytes = tonumber(call('HGET', META, 'bytes') or 0)
    bytes_before = bytes
  end
  bytes = bytes + more
end

-- Where a task stands in the indexes. Between `take` and `put` it stands nowhere, and may be changed.
local function take(task)
  local id = padded(task.n)
  if task.s == 'w' then
    call('ZREM', task.cr > 0 and SUSPECTS or READY, id)
  elseif task.s == 'r' then
    call('ZREM', RUNNING, id)
    if task.cr > 0 then call('HDEL', LANE, task.e) end
  else
    call('ZREM', (task.o == 'crashes' or task.o == 'failures') and DEAD or OVER, id)
  end
  count(-size(task))
end

local function put(task)
  local id = padded(task.n)
  if task.s == 'w' then
    call('ZADD', task.cr > 0 and SUSPECTS or READY, whole(task.at), id)
  elseif task.s == 'r' then
    call('ZADD', RUNNING, task.e, id)
    if task.cr > 0 then call('HSET', LANE, task.e, id) end
  else
    call('ZADD', (task.o == 'crashes' or task.o == 'failures') and DEAD or OVER, whole(task.at), id)
  end
  count(size(task))
  call('HSET', TASKS, whole(task.n), cmsgpack.pack(task))
  changes = true
end

-- What is left of a task for those who ask.
local function view(task)
  return {
    whole(task.n), task.m, task.c, task.k or false, task.kh or false, whole(task.a), task.x and whole(task.x) or false,
    task.s, whole(task.at), task.y or false, task.h or false, task.o or false, task.v or false, whole(task.t),
    whole(task.cr), whole(task.f), whole(task.i), task.pb or false, task.g or false,
    task.ro and whole(task.ro) or false, whole(task.ps),
  }
end

-- Each task has a chance of its own.
local function wait(number, tries)
  if tries <= 0 then return 0 end
  local chance = (tonumber(ARGV[7]) + number * 0.6180339887498949) % 1
  return math.floor(math.min(POLICY.backoff * 2 ^ (tries - 1), POLICY.longest) * chance)
end

local function waits(task, after, why)
  task.s, task.at, task.y, task.h, task.e = 'w', now + after, why, nil, nil
  put(task)
  tells = true
  return { 'again', whole(after) }
end

-- The rest of its life a task has an outcome. Parameters of the dead are kept: somebody may try again.
local function ended(task, outcome, value, bytes_of_it)
  if outcome ~= 'crashes' and outcome ~= 'failures' then
    task.ps = 0
    call('HDEL', PARAMS, whole(task.n))
  end
  task.s, task.at, task.y, task.h, task.e = 'e', now, nil, nil, nil
  task.o, task.v, task.os = outcome, value, bytes_of_it
  if task.x then call('ZREM', EXPIRING, padded(task.n)) end
  put(task)
  tells = true
  return { 'ended', view(task) }
end

local function crashed(task)
  take(task)
  task.cr = task.cr + 1
  task.pb = 'the server died while it ran'
  if task.cr >= POLICY.crashes then return ended(task, 'crashes') end
  return waits(task, wait(task.n, task.cr - 1), 'crashed')
end

local function interrupted(task)
  take(task)
  task.i = task.i + 1
  return waits(task, 0, 'interrupted')
end

local function forget(number)
  local task = load(number)
  if not task then return end
  take(task)
  if task.k then call('HDEL', NAMES, #task.m .. ':' .. task.m .. task.k) end
  call('HDEL', TASKS, whole(number))
  call('HDEL', PARAMS, whole(number))
  call('ZREM', ALL, padded(number))
  changes = true
end

-- A holder is none any more, and what it ran is another's.
local function bury(holder, how)
  for _, id in ipairs(call('ZRANGE', RUNNING, holder, holder, 'BYSCORE')) do
    local task = load(tonumber(id))
    if task then how(task) else call('ZREM', RUNNING, id) end
  end
  local of = call('HGET', HOLDERS, holder)
  local id = of and string.match(of, '^(.*) ')
  if id and call('HGET', IDS, id) == holder then call('HDEL', IDS, id) end
  call('HDEL', HOLDERS, holder)
  call('HDEL', LANE, holder)
  call('ZREM', LEASES, holder)
end

local function is_holder()
  return call('HGET', META, 'run') == ARGV[5] and call('HGET', HOLDERS, epoch) == server .. ' ' .. node
end

-- Another run of the broker may have lost the last of what was said: tokens that were given out may be given out again. So
-- every holder begins anew, which is no fault of what it ran.
local function ensure_run()
  if call('HGET', META, 'run') == ARGV[5] then return end
  local holders = call('HGETALL', HOLDERS)
  for i = 1, #holders, 2 do bury(holders[i], interrupted) end
  call('HSET', META, 'run', ARGV[5])
end

local function unfinished()
  return call('ZCARD', READY) + call('ZCARD', SUSPECTS) + call('ZCARD', RUNNING)
end

-- What has not ended is kept for as long as it takes, and bounded by the policy. All else lives for as long as outcomes are
-- kept, also when no server comes that sweeps.
local function keep(always)
  if not changes and not always then return end
  local lives = call('HGET', META, 'lives') == '1'
  if unfinished() > 0 then
    if lives then
      for _, key in ipairs(EVERYTHING) do call('PERSIST', key) end
      call('HSET', META, 'lives', '0')
    end
    return
  end
  local longest = call('ZCARD', DEAD) > 0 and math.max(POLICY.dead_retention, POLICY.retention) or POLICY.retention
  local ms = whole(math.floor(longest / 1000) + 2 * 3600 * 1000)
  call('HSET', META, 'lives', '1')
  for _, key in ipairs(EVERYTHING) do call('PEXPIRE', key, ms) end
end

-- The end of every script.
local function close(always)
  if bytes and bytes ~= bytes_before then call('HSET', META, 'bytes', whole(bytes)) end
  keep(always)
  if tells then call('SPUBLISH', C .. 'ledger', epoch) end
end
