-- Promise: only the present holder keeps its lease and moves the progress; the others are told.
-- ARGV: lease_ms, then id generation step steps preview for each job; preview is the data of an
-- event or ''. Returns the ids still held.
local held = {}
for i = 2, #ARGV, 5 do
  local id, generation, step, steps, preview = unpack(ARGV, i, i + 4)
  local status, present, known, shown = fields(id, 'status', 'generation', 'step', 'preview')
  if status == 'painting' and present == generation then
    held[#held + 1] = id
    call('ZADD', key('leases'), now + ARGV[1], id)
    if tonumber(step) > tonumber(known) then
      call('HSET', key('job', id), 'step', step, 'steps', steps)
      emit(id, 'progress', '{"step":' .. step .. ',"steps":' .. steps .. '}')
    end
    if preview ~= '' then -- a stream holds one preview at most, however long the job takes
      if shown then call('XDEL', key('events', id), shown) end
      call('HSET', key('job', id), 'preview', emit(id, 'preview', preview))
    end
  end
end
return held
