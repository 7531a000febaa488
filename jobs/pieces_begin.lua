-- A job's film is planned: from here on its pieces are done, each by whoever takes it.
--
-- KEYS: record, pieces, marks
-- ARGV: execution that planned, seconds until all is forgotten, field, value, ...
-- Returns 1 done, 0 where the job is not that execution's any more.
if redis.call('HGET', KEYS[1], 'status') ~= 'processing' or redis.call('HGET', KEYS[1], 'execution') ~= ARGV[1] then
  return 0
end
if redis.call('HGET', KEYS[2], 'run') == ARGV[1] then
  -- The answer to the first time was lost; by now others may have pieces of it.
  return 1
end
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('HSET', KEYS[2], 'run', ARGV[1])
for i = 3, #ARGV, 2 do
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
end
-- What is shown never goes back, though the plan knows of more work than was foreseen.
local shown = redis.call('HGET', KEYS[1], 'progress')
if shown then
  redis.call('HSET', KEYS[2], 'fraction', string.format('%.9f', cjson.decode(shown).fraction))
end
redis.call('EXPIRE', KEYS[2], ARGV[2])
return 1
