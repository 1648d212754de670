-- Promise: only the present holder keeps its lease and moves the progress; the others are told.
-- ARGV: lease_ms, then id generation step steps preview for each job; preview is the data of an
-- event or ''. Returns the ids still held.
local MAX_PREVIEW_BYTES = 128 * 1024
local lease_ms, held = tonumber(ARGV[1]), {}
tick(lease_ms)

local function progress(id, step, steps)
  local before = rest(id)
  call('HSET', key('job', id), 'step', step, 'steps', steps)
  count('painting', 0, rest(id) - before)
  emit(id, 'progress', '{"step":' .. step .. ',"steps":' .. steps .. '}')
end

local function show(id, preview) -- a stream holds one preview, however long the job takes
  local shown = fields(id, 'preview')
  if shown then call('XDEL', key('events', id), shown) end
  call('HSET', key('job', id), 'preview', emit(id, 'preview', preview))
end

for i = 2, #ARGV, 5 do
  local id, generation, step, steps, preview = unpack(ARGV, i, i + 4)
  if is_held(id, generation) then
    held[#held + 1] = id
    call('ZADD', key('leases'), now + lease_ms, id)
    if tonumber(step) > tonumber((fields(id, 'step'))) then progress(id, step, steps) end
    if preview ~= '' and #preview <= MAX_PREVIEW_BYTES then show(id, preview) end
  end
end
return held
