-- Promise: a job enters whole or not at all, and a tenant's idempotency key names one job.
-- ARGV: id tenant idem digest drawing warnings batch cost count priority ttl wait_ms deadline_s
--       max_backlog_s max_waiting request traceparent
-- Returns `admitted` or `known` with a view of the job, `conflict`, or a refusal with the seconds
-- after which it would be admitted.
local id, tenant, idem, digest, drawing, warnings, batch, cost, pictures, priority, ttl, wait_ms,
  deadline_s, max_backlog_s, max_waiting, request, traceparent = unpack(ARGV)

local known, its_digest = id, digest
if idem ~= '' then
  known, its_digest = string.match(call('GET', key('idem', tenant, idem)) or '', '(%S+) (%S+)')
end
if known and call('EXISTS', key('job', known)) == 1 then
  if its_digest ~= digest then return {'conflict'} end
  -- A write, so that whoever waits for the disk now waits for the first submission as well.
  call('HSET', key('job', known), 'id', known)
  return {'known', view(known)}
end

local rate = speed()
local waiting = call('ZCARD', key('queue', tenant))
local mine = tonumber(call('HGET', key('backlog'), tenant) or 0)
if waiting >= tonumber(max_waiting) then -- there is room when its first job is taken
  local _, before = ahead(tenant, 0, 0)
  return {'tenant_full', tostring(rate > 0 and (before + total('painting_cost')) / rate or 1)}
end
if rate > 0 then
  local painting = total('painting_cost')
  local backlog = total('waiting_cost') + painting
  local late = backlog / rate - max_backlog_s
  if late > 0 then return {'full', tostring(late)} end
  if eta(backlog, cost, pictures, 1) > tonumber(deadline_s) then -- only then its place matters
    local _, before = ahead(tenant, waiting, mine)
    late = eta(before + painting, cost, pictures, 1) - deadline_s
    if late > 0 then return {'late', tostring(late)} end
  end
end

local order = call('INCR', key('seq')) - priority * 2 ^ 40
local wait = math.floor(math.min(wait_ms, deadline_s * 1000))
call('HSET', key('job', id), 'id', id, 'tenant', tenant, 'idem', idem, 'drawing', drawing,
  'batch', batch, 'cost', cost, 'count', pictures, 'order', order, 'ttl', ttl,
  'created', now, 'wait', wait, 'deadline', now + wait, 'generation', 0, 'losses', 0,
  'request', request, 'traceparent', traceparent)
if warnings ~= '' then call('HSET', key('job', id), 'warnings', warnings) end
if idem ~= '' then call('SET', key('idem', tenant, idem), id .. ' ' .. digest) end
enqueue(id)
return {'admitted', view(id)}
