-- Promise: a cancelled job never becomes visible; its worker hears of it at once.
-- ARGV: id. Returns the status that the job has now.
local id = ARGV[1]
local status = fields(id, 'status')
if status == 'waiting' then
  dequeue(id)
elseif status == 'painting' then
  unlease(id)
  call('PUBLISH', key('wake'), id)
else
  return status
end
settle(id, 'cancelled')
return 'cancelled'
