-- Promise: jobs of lost workers return to the queue, expired ones end, nothing is kept for ever.
-- ARGV: limit max_losses lease_ms. Returns TENANT/ID of jobs whose stored files may go.
local limit, max_losses, lease_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local function due(zset)
  return call('ZRANGEBYSCORE', key(zset), '-inf', now, 'LIMIT', 0, limit)
end

tick(lease_ms)
local uptime = string.match(call('INFO', 'server'), 'uptime_in_seconds:(%d+)')
local grace = tonumber(call('GET', key('grace')) or 0)
if uptime * 1000 >= lease_ms and now >= grace then
  for _, id in ipairs(due('leases')) do
    lose(id, max_losses, 'each time the worker was lost while painting.')
  end
end
for _, id in ipairs(due('deadlines')) do expire(id) end
call('ZREMRANGEBYSCORE', key('dead'), '-inf', now - DEAD_SECONDS * 1000)
for _, worker in ipairs(call('ZRANGEBYSCORE', key('workers'), '-inf', now - 3600000)) do
  call('ZREM', key('workers'), worker)
  call('HDEL', key('rates'), worker)
end
if total('waiting') == 0 and total('painting') == 0 then call('DEL', key('spent'), key('clock')) end
return due('expiring')
