-- Promise: a tenant sees its own jobs only. ARGV: id tenant. Returns a view of the job, or nothing.
local id, tenant = unpack(ARGV)
if fields(id, 'tenant') ~= tenant then return {} end
return view(id)
