-- Stands before every script. KEYS[1] is the hash-tagged prefix, so that all keys share one slot.
-- Of what is named by a job or a tenant, nothing outlives it; the rest exists once.
--
-- job:ID          hash    all about a job; expires after its end
-- events:ID       stream  what happened to it, at most one preview; expires with it
-- idem:TENANT:KEY string  "ID digest"; expires with its job
-- queue:TENANT    zset    the tenant's waiting jobs in order
-- lane:BATCH:TENANT zset  the same jobs, those that can share a batch; none that cost a worker
-- fair            zset    tenants with waiting jobs -> virtual time (cost taken so far)
-- spent           zset    tenants without -> virtual time, forgotten when the clock has passed it
-- clock, seq      string  virtual time of the last claim; order of arrival
-- backlog         hash    tenant -> cost that waits
-- totals          hash    jobs and costs per state, lost workers, refused results
-- leases          zset    painted jobs -> moment (ms) at which the worker counts as lost
-- deadlines       zset    waiting jobs -> moment after which starting is pointless
-- expiring        zset    TENANT/ID -> moment at which its stored files may go
-- dead            zset    given-up jobs -> moment; these jobs are kept as long as their entries
-- workers, rates  zset, hash  worker -> last sign of life, "pixel-steps per second, slots"
-- model           hash    the painting model's card and last rate
-- ticked, grace   string  when a worker or sweeper was last here; until when no lease is swept
local call = redis.call
local function key(...) return KEYS[1] .. ':' .. table.concat({...}, ':') end

local clock = call('TIME') -- the only clock there is: workers' own may differ
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local ALIVE_MS = 30000
local DEAD_SECONDS = 7 * 24 * 3600

local function fields(id, ...)
  return unpack(call('HMGET', key('job', id), ...))
end

local function emit(id, kind, data)
  return call('XADD', key('events', id), 'MAXLEN', '~', 1024, '*', 'kind', kind,
    'data', data or '{}')
end

local function count(state, jobs, cost)
  call('HINCRBY', key('totals'), state, jobs)
  if cost then call('HINCRBY', key('totals'), state .. '_cost', cost) end
end

local function total(field)
  return tonumber(call('HGET', key('totals'), field) or 0)
end

local function head(zset) return call('ZRANGE', zset, 0, 0)[1] end

local function is_held(id, generation)
  local status, present = fields(id, 'status', 'generation')
  return status == 'painting' and present == generation
end

local function virtual_time(tenant)
  local known = call('ZSCORE', key('fair'), tenant)
  if known then return tonumber(known) end
  local spent = tonumber(call('ZSCORE', key('spent'), tenant) or 0)
  return math.max(spent, tonumber(call('GET', key('clock')) or 0))
end

local function enqueue(id)
  local tenant, batch, cost, order, deadline, losses =
    fields(id, 'tenant', 'batch', 'cost', 'order', 'deadline', 'losses')
  call('HSET', key('job', id), 'status', 'waiting', 'step', 0, 'steps', 0)
  call('ZADD', key('deadlines'), deadline, id)
  call('ZADD', key('queue', tenant), order, id)
  if losses == '0' then call('ZADD', key('lane', batch, tenant), order, id) end
  call('ZADD', key('fair'), 'NX', virtual_time(tenant), tenant)
  call('ZREM', key('spent'), tenant)
  call('HINCRBY', key('backlog'), tenant, cost)
  count('waiting', 1, cost)
  emit(id, 'waiting')
  call('PUBLISH', key('wake'), 'job')
end

local function dequeue(id, tenant, batch, cost)
  call('ZREM', key('queue', tenant), id)
  call('ZREM', key('lane', batch, tenant), id)
  call('ZREM', key('deadlines'), id)
  if call('HINCRBY', key('backlog'), tenant, '-' .. cost) <= 0 then
    call('HDEL', key('backlog'), tenant)
  end
  if call('EXISTS', key('queue', tenant)) == 0 then
    call('ZADD', key('spent'), virtual_time(tenant), tenant)
    call('ZREM', key('fair'), tenant)
  end
end

-- What is still to be painted of a job.
local function rest(id)
  local cost, step, steps = fields(id, 'cost', 'step', 'steps')
  return cost - math.floor(cost * math.min(1, step / math.max(1, tonumber(steps))))
end

local function unlease(id)
  call('ZREM', key('leases'), id)
  count('painting', -1, 0 - rest(id)) -- never -0, which is no integer to Redis
end

-- From here on the job's keys expire by themselves, and its files are deleted by the sweepers.
local function keep(id, seconds)
  local tenant, idem = fields(id, 'tenant', 'idem')
  call('EXPIRE', key('job', id), seconds)
  call('EXPIRE', key('events', id), seconds)
  if idem ~= '' then call('EXPIRE', key('idem', tenant, idem), seconds) end
  call('ZADD', key('expiring'), now + seconds * 1000, tenant .. '/' .. id)
end

local function settle(id, status, field, value)
  local preview, ttl = fields(id, 'preview', 'ttl')
  call('HSET', key('job', id), 'status', status)
  if field then call('HSET', key('job', id), field, value) end
  if preview then call('XDEL', key('events', id), preview) end
  emit(id, status)
  count(status, 1)
  keep(id, ttl)
end

-- A job ends that waits.
local function give_up_waiting(id, status, ...)
  local tenant, batch, cost = fields(id, 'tenant', 'batch', 'cost')
  dequeue(id, tenant, batch, cost)
  count('waiting', -1, '-' .. cost)
  settle(id, status, ...)
end

local function expire(id)
  give_up_waiting(id, 'failed', 'error', 'Its deadline passed before a worker could start it.')
end

-- The worker is gone: back to its place in the queue, or given up when it has cost too many.
local function lose(id, max_losses, reason)
  unlease(id)
  count('lost', 1)
  local losses = call('HINCRBY', key('job', id), 'losses', 1)
  if losses < tonumber(max_losses) then return enqueue(id) end
  settle(id, 'failed', 'error', 'Given up after ' .. losses .. ' attempts: ' .. reason)
  call('ZADD', key('dead'), now, id)
  keep(id, math.max(DEAD_SECONDS, tonumber((fields(id, 'ttl')))))
end

-- While nobody came (Redis was down, loading or frozen), no lease could be renewed. After more than
-- half a lease of that every worker gets a whole one to report, before any counts as lost.
local function tick(lease_ms)
  local last = call('GET', key('ticked')) or now
  if now - last > lease_ms / 2 then call('SET', key('grace'), now + lease_ms) end
  call('SET', key('ticked'), now)
end

-- Of all living workers, or of the last one while there is none: pixel-steps per second with all
-- slots filled, pictures that are painted at once, and how many of them by one worker.
local function speed()
  local rate, slots, largest = 0, 0, 0
  local function add(report)
    local its_rate, its_slots = string.match(report or '', '(%S+) (%S+)')
    if not its_rate then return end
    rate, slots = rate + its_rate, slots + its_slots
    largest = math.max(largest, its_slots)
  end
  for _, worker in ipairs(call('ZRANGEBYSCORE', key('workers'), now - ALIVE_MS, '+inf')) do
    add(call('HGET', key('rates'), worker))
  end
  if rate == 0 then add(call('HGET', key('model'), 'rate')) end
  return rate, slots, math.max(1, largest)
end

-- What fair sharing serves before a tenant's job that has `own_jobs` of `own_cost` before it.
-- An estimate: others' jobs have the mean cost, and of very many tenants some stand for all.
local SAMPLE = 100
local function ahead(tenant, own_jobs, own_cost)
  local reach = virtual_time(tenant) + own_cost
  local number = call('ZCOUNT', key('fair'), '-inf', reach)
  local skipped = math.max(0, math.floor((number - SAMPLE) / 2)) -- the middle is like the whole
  local others = call('ZRANGEBYSCORE', key('fair'), '-inf', reach, 'WITHSCORES',
    'LIMIT', skipped, SAMPLE)
  local names = {}
  for i = 1, #others, 2 do names[#names + 1] = others[i] end
  local waits = #names > 0 and call('HMGET', key('backlog'), unpack(names)) or {}
  local before = 0
  for i, name in ipairs(names) do
    if name ~= tenant then before = before + math.min(waits[i] or 0, reach - others[2 * i]) end
  end
  before = before * number / math.max(1, #names)
  local mean = total('waiting_cost') / math.max(1, total('waiting'))
  return own_jobs + math.ceil(before / math.max(1, mean) - 1e-6), own_cost + before
end

-- Seconds until a job is done that has `cost` before it: the queue shrinks at the rate of all
-- workers, but a picture takes its steps' time in its slot, however many slots there are.
local function eta(before, cost, pictures, undone)
  local rate, slots, largest = speed()
  if rate == 0 then return nil end
  local rounds = math.ceil(pictures / largest)
  return before / rate + cost / pictures * rounds * slots / rate * undone
end

-- One consistent view of a job: its fields, jobs ahead, and seconds until it is done ('' unknown).
local function view(id)
  local tenant, status, cost, pictures, step, steps =
    fields(id, 'tenant', 'status', 'cost', 'count', 'step', 'steps')
  local jobs, seconds = 0, nil
  if status == 'waiting' then
    local rank = call('ZRANK', key('queue', tenant), id)
    local mine = call('HGET', key('backlog'), tenant) or 0
    local before
    jobs, before = ahead(tenant, rank, mine * rank / call('ZCARD', key('queue', tenant)))
    seconds = eta(before + total('painting_cost'), cost, pictures, 1)
  elseif status == 'painting' then
    seconds = eta(0, cost, pictures, 1 - step / math.max(1, tonumber(steps)))
  end
  return {call('HGETALL', key('job', id)), jobs, tostring(seconds or '')}
end
