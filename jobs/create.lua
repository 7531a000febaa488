-- Record something new, if there is room for it and its idempotency key is still the caller's.
-- One script, so that however many submit at once, no limit is ever passed and no key makes two.
--
-- KEYS: record, open records, open records of the owner, queued records, idempotency key or '', metrics, indices ...
-- ARGV: id, member of the indices, most open records of the owner or '', most queued records or '',
--       token of the idempotency key, what it becomes, how long that is kept, field, value, ...
-- Returns 'created', 'too_many', 'queue_full', or 'lost' where the idempotency key is another's.
if ARGV[3] ~= '' and redis.call('SCARD', KEYS[3]) >= tonumber(ARGV[3]) then
  return 'too_many'
end
if ARGV[4] ~= '' and redis.call('SCARD', KEYS[4]) >= tonumber(ARGV[4]) then
  return 'queue_full'
end
if KEYS[5] ~= '' then
  if redis.call('GET', KEYS[5]) ~= ARGV[5] then
    return 'lost'
  end
  redis.call('SET', KEYS[5], ARGV[6], 'EX', ARGV[7])
end
for i = 8, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
for i = 7, #KEYS do
  redis.call('ZADD', KEYS[i], 0, ARGV[2])
end
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('SADD', KEYS[3], ARGV[1])
redis.call('SADD', KEYS[4], ARGV[1])
-- By Redis's own clock, as what is counted later: those of the machines differ.
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], 'submitted', now[1] .. '.' .. string.format('%06d', now[2]))
redis.call('HINCRBY', KEYS[6], 'retint_jobs_submitted_total ' .. redis.call('HGET', KEYS[1], 'kind'), 1)
return 'created'
