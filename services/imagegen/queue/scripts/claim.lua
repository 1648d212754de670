-- Promise: the tenant that has had least goes first; others join its batch in the same order;
-- every claim is a new generation, under a lease. Expired jobs are ended, never started.
-- ARGV: max_pictures lease_ms joining ('' begins a batch, else the key of one that is painted).
-- Returns the fields of each job.
local room, lease_ms, joining = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local EXPIRE_AT_ONCE = 500 -- then others have their turn; the caller comes back
local taken, expired = {}, 0
tick(lease_ms)

local function take(id)
  local deadline = call('ZSCORE', key('deadlines'), id)
  if deadline and tonumber(deadline) <= now then
    expired = expired + 1
    expire(id)
    return false
  end
  local tenant, cost, pictures = fields(id, 'tenant', 'cost', 'count')
  local before = virtual_time(tenant)
  if before > tonumber(call('GET', key('clock')) or 0) then call('SET', key('clock'), before) end
  call('ZINCRBY', key('fair'), cost, tenant)
  dequeue(id)
  call('HINCRBY', key('job', id), 'generation', 1)
  call('HSET', key('job', id), 'status', 'painting', 'claimed', now)
  call('ZADD', key('leases'), now + lease_ms, id)
  count('painting', 1, cost)
  emit(id, 'painting')
  room = room - pictures
  taken[#taken + 1] = call('HGETALL', key('job', id))
  return true
end

local function first()
  local tenant = head(key('fair'))
  if not tenant or expired >= EXPIRE_AT_ONCE then return end
  local id = head(key('queue', tenant))
  return id, fields(id, 'batch', 'losses', 'count')
end

-- Joining ends where another key's turn begins, so that a batch which never ends starves nobody.
if joining ~= '' then
  local id, batch, losses, pictures = first()
  while id and batch == joining and losses == '0' and tonumber(pictures) <= room do
    take(id)
    id, batch, losses, pictures = first()
  end
  return taken
end

local id, batch, losses
repeat
  id, batch, losses = first()
  if not id then return taken end
until take(id)
if losses ~= '0' then room = 0 end -- painted alone, it can take no neighbour down again

local found
repeat
  found = false
  for _, tenant in ipairs(call('ZRANGE', key('fair'), 0, 63)) do
    if room <= 0 then break end
    id = head(key('lane', batch, tenant))
    if id and tonumber((fields(id, 'count'))) <= room then
      found = take(id) or found
    end
  end
until not found or room <= 0

call('ZREMRANGEBYSCORE', key('spent'), '-inf', call('GET', key('clock')) or 0)
return taken
