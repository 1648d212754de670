-- Promise: only the present holder keeps its lease and moves the progress; the others are told.
-- ARGV: lease_ms step steps, then id generation for each job. Returns the ids still held.
local lease_ms, step, steps = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local held = {}
for i = 4, #ARGV, 2 do
  local id, generation = ARGV[i], ARGV[i + 1]
  local status, present, known = fields(id, 'status', 'generation', 'step')
  if status == 'painting' and present == generation then
    held[#held + 1] = id
    call('ZADD', key('leases'), now + lease_ms, id)
    if step > tonumber(known) then
      call('HSET', key('job', id), 'step', step, 'steps', steps)
      emit(id, 'progress', '{"step":' .. step .. ',"steps":' .. steps .. '}')
    end
  end
end
return held
