-- Promise: a result becomes visible once, and only from the present holder.
-- ARGV: id generation status field value. Returns 1, or 0 when it came too late.
local id, generation, outcome, field, value = unpack(ARGV)
if not is_held(id, generation) then
  local status, present = fields(id, 'status', 'generation')
  -- Neither a cancelled job nor an end told twice is a worker that was taken for lost.
  if status == 'waiting' or present and present ~= generation then count('refused', 1) end
  return 0
end
unlease(id)
settle(id, outcome, field, value)
return 1
