-- Write how one event stands with its webhook, and when it is due next. What was delivered or given up stays so.
--
-- KEYS: record, events, webhooks
-- ARGV: member of the queue, delivery (JSON), milliseconds until it is due again, or '' for never
-- Returns 1 done, 0 where there is no such record or the delivery has ended: the event is out of the queue then.
local status = redis.call('HGET', KEYS[1], 'status')
local delivery = cjson.decode(ARGV[2])
local deliveries = status and cjson.decode(redis.call('HGET', KEYS[1], 'deliveries')) or {}
local position = #deliveries + 1
local ended = not status
for i, known in ipairs(deliveries) do
  if known.id == delivery.id then
    position = i
    ended = known.status ~= 'pending'
  end
end
if ended then
  redis.call('ZREM', KEYS[3], ARGV[1])
  return 0
end
deliveries[position] = delivery
redis.call('HSET', KEYS[1], 'deliveries', cjson.encode(deliveries))
-- As transition.lua does. With the status, so that whoever reads on behind the end of a job sees that it has ended.
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 1000, version .. '-0',
  'changes', '{"status":"' .. status .. '"}', 'heavy', 'deliveries')
if status ~= 'queued' and status ~= 'processing' then
  redis.call('EXPIRE', KEYS[2], 3600)
end
if ARGV[3] == '' then
  redis.call('ZREM', KEYS[3], ARGV[1])
else
  local now = redis.call('TIME')
  redis.call('ZADD', KEYS[3], now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[3], ARGV[1])
end
return 1
