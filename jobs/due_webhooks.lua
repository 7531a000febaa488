-- Take events that are due: nobody else gets them before the lease is over, and somebody does if they are still there.
--
-- KEYS: webhooks
-- ARGV: how many at most, lease in milliseconds
-- Returns member, when it was due, member, when it was due, ...
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[1])
for i = 1, #due, 2 do
  redis.call('ZADD', KEYS[1], now + ARGV[2], due[i])
end
return due
