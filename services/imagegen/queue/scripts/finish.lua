-- Promise: a result becomes visible once, and only from the present holder.
-- ARGV: id generation status field value. Returns 1, or 0 when it came too late.
local id, generation, outcome, field, value = unpack(ARGV)
if not is_held(id, generation) then
  local present = fields(id, 'generation')
  if present and present ~= generation then count('refused', 1) end
  return 0
end
unlease(id)
settle(id, outcome, field, value)
return 1
