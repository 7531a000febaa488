-- Change a job's record, if it is in one of the states given and, where an execution is given, owned by it.
-- One script for every change, so that a terminal state is final whatever races.
--
-- KEYS: record, open jobs, expiries
-- ARGV: job id, allowed statuses (JSON), owner or '', new owner or '', expiry or '', field, value, ...
-- Returns 1 done, 0 refused, -1 no such job.
local status = redis.call('HGET', KEYS[1], 'status')
if not status then
  return -1
end
local allowed = false
for _, name in ipairs(cjson.decode(ARGV[2])) do
  if name == status then
    allowed = true
  end
end
if not allowed then
  return 0
end
if ARGV[3] ~= '' and redis.call('HGET', KEYS[1], 'execution') ~= ARGV[3] then
  return 0
end
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], 'execution', ARGV[4])
end
for i = 6, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
redis.call('HINCRBY', KEYS[1], 'version', 1)
if ARGV[5] ~= '' then
  redis.call('ZADD', KEYS[3], ARGV[5], ARGV[1])
  redis.call('SREM', KEYS[2], ARGV[1])
end
return 1
