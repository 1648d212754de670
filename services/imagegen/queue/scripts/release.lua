-- Promise: a job handed back keeps its place; only a failed attempt is charged.
-- ARGV: id generation max_losses reason ('' charges nothing). Returns 1, or 0 when it came too late.
local id, generation, max_losses, reason = unpack(ARGV)
if not is_held(id, generation) then return 0 end
if reason ~= '' then
  lose(id, max_losses, reason)
else
  unlease(id)
  enqueue(id)
  local tenant, cost = fields(id, 'tenant', 'cost')
  call('ZINCRBY', key('fair'), '-' .. cost, tenant) -- its tenant got nothing for it
end
return 1
