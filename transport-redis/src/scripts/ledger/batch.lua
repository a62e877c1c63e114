-- All that a holder has to say at a time. It is done once, whatever becomes of the connection: whoever says it again,
-- with the number it had, is given the reply of then.
--
-- ARGV[17] the number of the batch      ARGV[18] 1 if the broker has no memory for new tasks
-- ARGV[19] how long the reply is kept, in ms
-- ARGV[20] 1 if it was said before, and may have been done
-- then commands, each a letter and what belongs to it:
--   A method, parameters, caller and headers, their size, key or '', arguments' hash, µs that it may take or '', 1 to begin
--   C how many                          F task, token, then o outcome, value, size  |  a message  |  l
--   P task, token, value                X task      R task      U task      V task
--   L how many                          S
-- Gives { 'ok', reply, … }, or { 'fenced' } if it is no holder any more and this batch was not done.
local SAID = L .. 'said:' .. epoch
local said = ARGV[20] == '1' and call('GET', SAID)
if said then
  local at = string.find(said, ' ', 1, true)
  if string.sub(said, 1, at - 1) == ARGV[17] then return cmsgpack.unpack(string.sub(said, at + 1)) end
end
if not is_holder() then return { 'fenced' } end
local me = server .. ' ' .. node .. ' ' .. epoch
local at = 21

local function argument()
  at = at + 1
  return ARGV[at - 1]
end

local function begin(task, params)
  task.t = task.t + 1
  task.s, task.at, task.y, task.h, task.e = 'r', now, nil, me, epoch
  local left = task.x and whole(math.max(0, task.x - now)) or false
  return { whole(task.n), whole(task.t), task.m, params, task.c, left }
end

local function record(task, params, begins)
  if unfinished() >= POLICY.max_unfinished then return { 'refused', 'many' } end
  count(0)
  if bytes + size(task) > POLICY.max_bytes or ARGV[18] == '1' then return { 'refused', 'full' } end
  task.n = call('HINCRBY', META, 'next', 1) - 1
  local attempt = false
  if begins then attempt = begin(task, params) else tells = true end
  call('HSET', PARAMS, whole(task.n), params)
  call('ZADD', ALL, whole(task.n), padded(task.n))
  if task.x then call('ZADD', EXPIRING, whole(task.x), padded(task.n)) end
  if task.k then call('HSET', NAMES, #task.m .. ':' .. task.m .. task.k, whole(task.n)) end
  put(task)
  return { 'accepted', whole(task.n), attempt, false }
end

local function new(method, params, caller, headers_size)
  return {
    n = 0, m = method, c = caller, hs = headers_size, a = now, s = 'w', at = now, y = 'accepted',
    t = 0, cr = 0, f = 0, i = 0, ps = #params,
  }
end

local function accept()
  local method, params, caller, headers_size = argument(), argument(), argument(), tonumber(argument())
  local key, hash, expires_in, begins = argument(), argument(), argument(), argument() == '1'
  local has_key = hash ~= ''
  if has_key then
    local known = call('HGET', NAMES, #method .. ':' .. method .. key)
    local task = known and load(tonumber(known))
    if task then
      if task.kh ~= hash then return { 'refused', 'conflict' } end
      return { 'accepted', whole(task.n), false, view(task) }
    end
  end
  local task = new(method, params, caller, headers_size)
  if has_key then task.k, task.kh = key, hash end
  if expires_in ~= '' then task.x = now + tonumber(expires_in) end
  return record(task, params, begins)
end

-- The first that are due and have time left, each with when it was due.
local function due(index, limit)
  local found, from = {}, 0
  while #found < limit do
    local page = call('ZRANGE', index, '-inf', whole(now), 'BYSCORE', 'LIMIT', from, limit, 'WITHSCORES')
    for i = 1, #page, 2 do
      local task = load(tonumber(page[i]))
      if task and (not task.x or task.x > now) and #found < limit then
        found[#found + 1] = { at = tonumber(page[i + 1]), task = task }
      end
    end
    if #page < 2 * limit then break end
    from = from + limit
  end
  return found
end

local function claim(limit)
  local chosen = {}
  if limit > 0 then
    -- Of those that may have killed their server one runs at a time, so that no other is there when it does so again.
    if call('HEXISTS', LANE, epoch) == 0 then chosen = due(SUSPECTS, 1) end
    for _, it in ipairs(due(READY, limit)) do chosen[#chosen + 1] = it end
    table.sort(chosen, function(a, b) return a.at < b.at or (a.at == b.at and a.task.n < b.task.n) end)
  end
  local reply = { 'claimed' }
  for i = 1, math.min(limit, #chosen) do
    local task = chosen[i].task
    take(task)
    reply[i + 1] = begin(task, call('HGET', PARAMS, whole(task.n)) or '')
    put(task)
  end
  return reply
end

-- The task, if this is its current attempt: holder and token are equal, not greater.
local function current(number, token)
  local task = load(number)
  if not task then return nil, { 'unknown' } end
  if task.s ~= 'r' or task.h ~= me or task.t ~= token then return nil, { 'fenced' } end
  return task
end

local function finish()
  local task, otherwise = current(tonumber(argument()), tonumber(argument()))
  local how = argument()
  if how == 'o' then
    local outcome, value, bytes_of_it = argument(), argument(), tonumber(argument())
    if not task then return otherwise end
    take(task)
    return ended(task, outcome, value, bytes_of_it)
  elseif how == 'a' then
    local problem = argument()
    if not task then return otherwise end
    take(task)
    task.f = task.f + 1
    task.pb = problem
    if task.f >= POLICY.failures then return ended(task, 'failures') end
    return waits(task, wait(task.n, task.f), 'failed')
  end
  return task and interrupted(task) or otherwise
end

local function progress()
  local task, otherwise = current(tonumber(argument()), tonumber(argument()))
  local value = argument()
  if not task then return otherwise end
  take(task)
  task.g = value
  put(task)
  return { 'done' }
end

local function cancel(task)
  if task.s == 'e' then return { 'ended', view(task) } end
  take(task)
  return ended(task, 'cancelled')
end

-- The key stays with the outcome that it has.
local function retry(dead)
  if dead.o ~= 'crashes' and dead.o ~= 'failures' then return { 'not dead' } end
  local params = call('HGET', PARAMS, whole(dead.n)) or ''
  local task = new(dead.m, params, dead.c, dead.hs)
  if dead.x then task.x = now + math.max(0, dead.x - dead.a) end
  task.ro = dead.n
  return record(task, params, false)
end

local function purge(task)
  if task.s ~= 'e' then return { 'not ended' } end
  forget(task.n)
  return { 'done' }
end

local function list(limit)
  local reply = { 'listed', whole(call('ZCARD', ALL)) }
  if limit > 0 then
    for _, id in ipairs(call('ZRANGE', ALL, 0, limit - 1, 'REV')) do
      local task = load(tonumber(id))
      if task then reply[#reply + 1] = view(task) end
    end
  end
  return reply
end

local SWEEP = 1000

local function sweep()
  local is_due, later = false, nil
  for _, index in ipairs({ READY, SUSPECTS, EXPIRING }) do
    if index ~= EXPIRING and #call('ZRANGE', index, '-inf', whole(now), 'BYSCORE', 'LIMIT', 0, 1) > 0 then
      is_due = true
    end
    local next = call('ZRANGE', index, '(' .. whole(now), '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
    if next[2] then later = math.min(later or math.huge, tonumber(next[2]) - now) end
  end
  local old = call('ZRANGE', OVER, '-inf', whole(now - POLICY.retention), 'BYSCORE', 'LIMIT', 0, SWEEP)
  local too_many = math.max(0, call('ZCARD', DEAD) - POLICY.max_dead)
  local dead = call('ZRANGE', DEAD, 0, SWEEP - 1, 'WITHSCORES')
  for i = 1, #dead, 2 do
    if (i - 1) / 2 >= too_many and tonumber(dead[i + 1]) > now - POLICY.dead_retention then break end
    old[#old + 1] = dead[i]
  end
  local reply = { 'swept', is_due and '1' or '0', later and whole(later) or false }
  for _, id in ipairs(call('ZRANGE', EXPIRING, '-inf', whole(now), 'BYSCORE', 'LIMIT', 0, SWEEP)) do
    local task = load(tonumber(id))
    if task then
      take(task)
      ended(task, 'expired')
      reply[#reply + 1] = whole(task.n)
    end
  end
  for _, id in ipairs(old) do forget(tonumber(id)) end
  return reply
end

local function of_task(act)
  local task = load(tonumber(argument()))
  return task and act(task) or { 'unknown' }
end

local COMMANDS = {
  A = accept, F = finish, P = progress, S = sweep,
  C = function() return claim(tonumber(argument())) end,
  L = function() return list(tonumber(argument())) end,
  X = function() return of_task(cancel) end,
  R = function() return of_task(retry) end,
  U = function() return of_task(purge) end,
  V = function() return of_task(function(task) return { 'shown', view(task) } end) end,
}

local reply = { 'ok' }
while at <= #ARGV do reply[#reply + 1] = COMMANDS[argument()]() end
close(false)
call('SET', SAID, ARGV[17] .. ' ' .. cmsgpack.pack(reply), 'PX', ARGV[19])
return reply
