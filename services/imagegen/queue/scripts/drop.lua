-- Promise: a given-up job ends as any other failed one, and is no dead letter any more.
-- ARGV: id. Returns 1, or 0 when there is no such dead letter.
local id = ARGV[1]
local died = call('ZSCORE', key('dead'), id)
if not died then return 0 end
call('ZREM', key('dead'), id)
local ttl = fields(id, 'ttl')
if ttl then keep(id, math.max(1, ttl - math.floor((now - died) / 1000))) end
return 1
