-- Promise: a job enters whole or not at all, and a tenant's idempotency key names one job.
-- ARGV: id tenant idem digest drawing batch cost count priority ttl wait_ms deadline_s
--       max_backlog_s max_waiting
local id, tenant, idem, digest, drawing, batch, cost, pictures, priority, ttl, wait_ms,
  deadline_s, max_backlog_s, max_waiting = unpack(ARGV)

if call('EXISTS', key('job', id)) == 1 then return {'known', id} end
if idem ~= '' then
  local known, its_digest = string.match(call('GET', key('idem', tenant, idem)) or '', '(%S+) (%S+)')
  if known then return {its_digest == digest and 'known' or 'conflict', known} end
end

local speed = rate()
local waiting = call('ZCARD', key('queue', tenant))
local mine = tonumber(call('HGET', key('backlog'), tenant) or 0)
if waiting >= tonumber(max_waiting) then
  return {'tenant_full', tostring(speed > 0 and mine / waiting / speed or 1)}
end
if speed > 0 then
  local painting = total('painting_cost')
  local backlog = total('waiting_cost') + painting
  local late = backlog / speed - max_backlog_s
  if late > 0 then return {'full', tostring(late)} end
  if (backlog + cost) / speed > tonumber(deadline_s) then -- only then does its place matter
    local _, before = ahead(tenant, waiting, mine)
    late = (before + painting + cost) / speed - deadline_s
    if late > 0 then return {'late', tostring(late)} end
  end
end

local order = call('INCR', key('seq')) - priority * 2 ^ 40
call('HSET', key('job', id), 'id', id, 'tenant', tenant, 'idem', idem, 'drawing', drawing,
  'batch', batch, 'cost', cost, 'count', pictures, 'order', order, 'ttl', ttl,
  'created', now, 'deadline', now + math.floor(math.min(wait_ms, deadline_s * 1000)),
  'generation', 0, 'losses', 0)
if idem ~= '' then call('SET', key('idem', tenant, idem), id .. ' ' .. digest) end
enqueue(id)
return {'admitted', id}
