-- Promise: a given-up job begins again under its id, with no losses and all its time to wait.
-- ARGV: id. Returns 1, or 0 when there is no such dead letter.
local id = ARGV[1]
if call('ZREM', key('dead'), id) == 0 or call('EXISTS', key('job', id)) == 0 then return 0 end
local tenant, idem, wait = fields(id, 'tenant', 'idem', 'wait')
call('PERSIST', key('job', id))
if idem ~= '' then call('PERSIST', key('idem', tenant, idem)) end
call('ZREM', key('expiring'), tenant .. '/' .. id)
call('DEL', key('events', id)) -- else who reads from the beginning stops at the former end
call('HDEL', key('job', id), 'error', 'preview')
call('HSET', key('job', id), 'losses', 0, 'created', now, 'deadline', now + wait)
count('failed', -1)
enqueue(id)
return 1
