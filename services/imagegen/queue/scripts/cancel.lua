-- Promise: a cancelled job never becomes visible; its worker hears of it at once.
-- ARGV: id tenant. Returns a view of the job as it is now, or nothing.
local id, tenant = unpack(ARGV)
local owner, status = fields(id, 'tenant', 'status')
if owner ~= tenant then return {} end
if status == 'waiting' then
  give_up_waiting(id, 'cancelled')
elseif status == 'painting' then
  unlease(id)
  call('PUBLISH', key('wake'), id)
  settle(id, 'cancelled')
end
return view(id)
