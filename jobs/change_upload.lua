-- Writes how an upload stands, if the caller still holds its lock. KEYS: record, lock, expiries. ARGV: token, id, time of
-- expiry, then names and values. Answers 1, or 0 where the lock is another's or the upload is gone.
if redis.call('GET', KEYS[2]) ~= ARGV[1] or redis.call('EXISTS', KEYS[1]) == 0 then
    return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[2])
return 1
