-- Promise: one consistent view of a job. ARGV: id.
-- Returns its fields, then jobs ahead, cost ahead including its own, and the rate.
local id = ARGV[1]
local job = call('HGETALL', key('job', id))
if #job == 0 then return {} end
local tenant, status, own, step, steps = fields(id, 'tenant', 'status', 'cost', 'step', 'steps')
local jobs, cost = 0, 0
if status == 'waiting' then
  local rank = call('ZRANK', key('queue', tenant), id)
  local mine = tonumber(call('HGET', key('backlog'), tenant) or 0)
  local share = mine * rank / call('ZCARD', key('queue', tenant))
  jobs, cost = ahead(tenant, rank, share)
  cost = cost + own + total('painting_cost')
elseif status == 'painting' then
  cost = total('painting_cost') * (1 - step / math.max(1, tonumber(steps)))
end
return {job, jobs, tostring(cost), tostring(rate())}
