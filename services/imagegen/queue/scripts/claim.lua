-- Promise: the tenant that has had least goes first; others join its batch in the same order;
-- every claim is a new generation, under a lease. Expired jobs are ended, never started.
-- ARGV: max_pictures lease_ms joining ('' begins a batch, else the key of one that is painted).
-- Returns the fields of each job that a worker needs: reading all would take twice the time.
local room, lease_ms, joining = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local EXPIRE_AT_ONCE = 500 -- then others have their turn; the caller comes back
local taken, taken_cost, expired = {}, 0, 0
local clock_before = tonumber(call('GET', key('clock')) or 0)
local clock_now = clock_before
tick(lease_ms)

local function read(id)
  if not id then return end
  local tenant, batch, cost, pictures, deadline, losses, created, drawing, request, traceparent =
    fields(id, 'tenant', 'batch', 'cost', 'count', 'deadline', 'losses', 'created', 'drawing',
      'request', 'traceparent')
  return {id = id, tenant = tenant, batch = batch, cost = cost, pictures = tonumber(pictures),
    deadline = tonumber(deadline), losses = losses, has_cost_workers = losses ~= '0',
    created = created, drawing = drawing, request = request or '', traceparent = traceparent or ''}
end

local function first()
  local tenant = expired < EXPIRE_AT_ONCE and head(key('fair'))
  return tenant and read(head(key('queue', tenant)))
end

local function take(job)
  local id = job.id
  if job.deadline <= now then
    expired = expired + 1
    expire(id)
    return false
  end
  local spent = call('ZINCRBY', key('fair'), job.cost, job.tenant)
  clock_now = math.max(clock_now, spent - job.cost)
  dequeue(id, job.tenant, job.batch, job.cost)
  local generation = call('HINCRBY', key('job', id), 'generation', 1)
  call('HSET', key('job', id), 'status', 'painting', 'claimed', now)
  call('ZADD', key('leases'), now + lease_ms, id)
  emit(id, 'painting')
  room = room - job.pictures
  taken_cost = taken_cost + job.cost
  taken[#taken + 1] = {'id', id, 'tenant', job.tenant, 'drawing', job.drawing, 'batch', job.batch,
    'status', 'painting', 'generation', generation, 'losses', job.losses, 'created', job.created,
    'claimed', now, 'request', job.request, 'traceparent', job.traceparent}
  return true
end

-- Joining ends where another key's turn begins, so that a batch which never ends starves nobody.
local function join()
  local job = first()
  while job and job.batch == joining and not job.has_cost_workers and job.pictures <= room do
    take(job)
    job = first()
  end
end

local function begin()
  local job
  repeat
    job = first()
    if not job then return end
  until take(job)
  if job.has_cost_workers then return end -- painted alone, it takes no neighbour down again
  local found
  repeat
    found = false
    for _, tenant in ipairs(call('ZRANGE', key('fair'), 0, 63)) do
      if room <= 0 then return end
      local neighbour = read(head(key('lane', job.batch, tenant)))
      if neighbour and neighbour.pictures <= room then found = take(neighbour) or found end
    end
  until not found
end

if joining ~= '' then join() else begin() end
if #taken > 0 then
  count('waiting', -#taken, -taken_cost)
  count('painting', #taken, taken_cost)
end
if clock_now > clock_before then
  call('SET', key('clock'), clock_now)
  call('ZREMRANGEBYSCORE', key('spent'), '-inf', clock_now)
end
return taken
