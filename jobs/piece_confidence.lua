-- Note what a piece adds to the curve of confidence of its film.
--
-- KEYS: record, pieces
-- ARGV: piece, execution, its sums (JSON)
-- Returns the sums of all pieces that have told theirs; nothing where the piece is not the execution's any more.
local run = redis.call('HGET', KEYS[2], 'run')
if not run or redis.call('HGET', KEYS[1], 'status') ~= 'processing'
  or redis.call('HGET', KEYS[1], 'execution') ~= run
  or redis.call('HGET', KEYS[2], ARGV[1] .. ':owner') ~= ARGV[2] then
  return {}
end
redis.call('HSET', KEYS[2], ARGV[1] .. ':confidence', ARGV[3])
local stored, sums = redis.call('HGETALL', KEYS[2]), {}
for i = 1, #stored, 2 do
  if string.sub(stored[i], -11) == ':confidence' then
    sums[#sums + 1] = stored[i + 1]
  end
end
return sums
