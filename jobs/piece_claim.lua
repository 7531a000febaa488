-- Make a piece an execution's own: of two, the later one holds it, and the earlier may change nothing any more.
--
-- KEYS: record, pieces, metrics
-- ARGV: piece, execution, ending: '' to take it, 'release' to give it back
-- Returns 1 done, 0 where there is nothing to do: the job has ended, is planned anew, or the piece is through.
local run = redis.call('HGET', KEYS[2], 'run')
if not run or redis.call('HGET', KEYS[1], 'status') ~= 'processing'
  or redis.call('HGET', KEYS[1], 'execution') ~= run then
  return 0
end
local owner = redis.call('HGET', KEYS[2], ARGV[1] .. ':owner')
if redis.call('HEXISTS', KEYS[2], ARGV[1] .. ':through') == 1 or (ARGV[3] == 'release' and owner ~= ARGV[2]) then
  return 0
end
-- What an execution before it had done is done again.
redis.call('HINCRBYFLOAT', KEYS[2], 'work', -(redis.call('HGET', KEYS[2], ARGV[1] .. ':work') or 0))
-- Subtracted: Redis 7 takes minus zero for no integer.
redis.call('HINCRBY', KEYS[2], 'frames', 0 - (redis.call('HGET', KEYS[2], ARGV[1] .. ':frames') or 0))
redis.call('HDEL', KEYS[2], ARGV[1] .. ':work', ARGV[1] .. ':frames')
-- Where it is the claimer's own already, the answer to its first claim was lost.
if owner and owner ~= '' and (ARGV[3] == 'release' or owner ~= ARGV[2]) then
  redis.call('HINCRBYFLOAT', KEYS[3], 'retint_executions_lost_total jobs', 1)
end
redis.call('HSET', KEYS[2], ARGV[1] .. ':owner', ARGV[3] == 'release' and '' or ARGV[2])
return 1
