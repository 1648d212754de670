-- Stands before every script. KEYS[1] is the hash-tagged prefix, so that all keys share one slot.
--
-- job:ID          hash    all about a job; expires after its end
-- events:ID       stream  what happened to it; expires with it
-- idem:TENANT:KEY string  "ID digest"; expires with its job
-- queue:TENANT    zset    the tenant's waiting jobs in order
-- lane:BATCH:TENANT zset  the same jobs, those that can share a batch; none that cost a worker
-- fair            zset    tenants with waiting jobs -> virtual time (cost taken so far)
-- spent           zset    tenants without -> virtual time, forgotten when the clock has passed it
-- clock, seq      string  virtual time of the last claim; order of arrival
-- backlog         hash    tenant -> cost that waits
-- totals          hash    jobs and costs per state
-- leases          zset    painted jobs -> moment (ms) at which the worker counts as lost
-- deadlines       zset    waiting jobs -> moment after which starting is pointless
-- expiring        zset    TENANT/ID -> moment at which its stored files may go
-- dead            zset    given-up jobs -> moment; these jobs are kept as long as their entries
-- workers, rates  zset, hash  worker -> last sign of life, pixel-steps per second
-- model           hash    the painting model's card and last rate
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

local function dequeue(id)
  local tenant, batch, cost = fields(id, 'tenant', 'batch', 'cost')
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
  count('waiting', -1, '-' .. cost)
end

local function unlease(id)
  call('ZREM', key('leases'), id)
  count('painting', -1, '-' .. fields(id, 'cost'))
end

-- The end of a job: from here on its keys expire by themselves.
local function settle(id, status, field, value)
  local tenant, idem, ttl, preview = fields(id, 'tenant', 'idem', 'ttl', 'preview')
  call('HSET', key('job', id), 'status', status)
  if preview then call('XDEL', key('events', id), preview) end
  if field then call('HSET', key('job', id), field, value) end
  emit(id, status)
  count(status, 1)
  call('EXPIRE', key('job', id), ttl)
  call('EXPIRE', key('events', id), ttl)
  if idem ~= '' then call('EXPIRE', key('idem', tenant, idem), ttl) end
  call('ZADD', key('expiring'), now + ttl * 1000, tenant .. '/' .. id)
end

local function expire(id)
  dequeue(id)
  settle(id, 'failed', 'error', 'Its deadline passed before a worker could start it.')
end

-- The worker is gone: back to its place in the queue, or given up when it has cost too many.
local function lose(id, max_losses, reason)
  unlease(id)
  local losses = call('HINCRBY', key('job', id), 'losses', 1)
  if losses < tonumber(max_losses) then return enqueue(id) end
  settle(id, 'failed', 'error', 'Given up after ' .. losses .. ' attempts: ' .. reason)
  call('ZADD', key('dead'), now, id)
  call('EXPIRE', key('job', id), math.max(DEAD_SECONDS, call('TTL', key('job', id))))
end

-- Pixel-steps per second of all living workers; the last known rate while there is none.
local function rate()
  local sum = 0
  for _, worker in ipairs(call('ZRANGEBYSCORE', key('workers'), now - ALIVE_MS, '+inf')) do
    sum = sum + tonumber(call('HGET', key('rates'), worker) or 0)
  end
  return sum > 0 and sum or tonumber(call('HGET', key('model'), 'rate') or 0)
end

-- What fair sharing serves before a tenant's job that has `own_jobs` of `own_cost` before it.
-- Others' jobs are counted by the mean cost: an estimate, in two calls for a thousand tenants.
local function ahead(tenant, own_jobs, own_cost)
  local reach = virtual_time(tenant) + own_cost
  local waits = {}
  local backlog = call('HGETALL', key('backlog'))
  for i = 1, #backlog, 2 do waits[backlog[i]] = tonumber(backlog[i + 1]) end
  local before = 0
  local others = call('ZRANGE', key('fair'), 0, 999, 'WITHSCORES')
  for i = 1, #others, 2 do
    if others[i] ~= tenant then
      before = before + math.max(0, math.min(waits[others[i]], reach - others[i + 1]))
    end
  end
  local mean = total('waiting_cost') / math.max(1, total('waiting'))
  return own_jobs + math.ceil(before / math.max(1, mean) - 1e-6), own_cost + before
end
