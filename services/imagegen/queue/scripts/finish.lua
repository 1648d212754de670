-- Promise: a result becomes visible once, and only from the present holder.
-- ARGV: id generation status field value. Returns 1, or 0 when it came too late.
local id, generation, outcome, field, value = unpack(ARGV)
local status, present = fields(id, 'status', 'generation')
if status ~= 'painting' or present ~= generation then return 0 end
unlease(id)
settle(id, outcome, field, value)
return 1
