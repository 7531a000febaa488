-- Change a record, if it is in one of the states given and, where an execution is given, owned by it.
-- One script for every change, so that a terminal state is final whatever races, and so that whoever watches or is to
-- be told of it (event streams, webhooks) cannot miss it.
--
-- KEYS: record, open records (those of an owner are in a key of that name, a colon and the owner), expiries, events,
--       webhooks, queued records, metrics, pieces, marks of the pieces, stills of the pieces
-- ARGV: id, allowed statuses (JSON), owner or '', new owner or '', expiry or '', what else to count (JSON object),
--       bounds of the histograms of times (JSON), piece or '', who must have that piece, field, value, ...
-- Returns 1 done, 0 refused, -1 no such record.
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
local former = redis.call('HGET', KEYS[1], 'execution')
if ARGV[3] ~= '' and former ~= ARGV[3] then
  return 0
end
if ARGV[8] ~= '' and redis.call('HGET', KEYS[8], ARGV[8] .. ':owner') ~= ARGV[9] then
  return 0
end
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], 'execution', ARGV[4])
end

-- What is large is only named in the stream: it is read from the record when an event is sent.
local heavy_fields = {video = true, references = true, shots = true, variants = true, warnings = true, keyframes = true,
  stills = true}
local heavy, changes = {}, {}
local new_status = status
for i = 10, #ARGV, 2 do
  local name, value = ARGV[i], ARGV[i + 1]
  redis.call('HSET', KEYS[1], name, value)
  if heavy_fields[name] then
    heavy[#heavy + 1] = name
  elseif name == 'status' then
    new_status = value
    changes[#changes + 1] = '"status":"' .. value .. '"'
  else
    changes[#changes + 1] = '"' .. name .. '":' .. value
  end
end
-- Of what has failed or was canceled, nothing is left to wait for.
if new_status == 'failed' or new_status == 'canceled' then
  local progress = redis.call('HGET', KEYS[1], 'progress')
  local ended, estimated = string.gsub(progress or '', '"eta_seconds":%s*[%d.eE+-]+', '"eta_seconds":null')
  if estimated > 0 then
    redis.call('HSET', KEYS[1], 'progress', ended)
    changes[#changes + 1] = '"progress":' .. ended
  end
end
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
-- Numbered by version, without a gap: whoever watches sees whether anything was missed.
redis.call('XADD', KEYS[4], 'MAXLEN', '~', 1000, version .. '-0',
  'changes', '{' .. table.concat(changes, ',') .. '}', 'heavy', table.concat(heavy, ','))

if new_status == 'queued' and status == 'failed' then
  -- It is to be tried again. Its pieces are forgotten with this change: whoever takes it next may begin them at once.
  redis.call('DEL', KEYS[8], KEYS[9], KEYS[10])
  redis.call('SADD', KEYS[2], ARGV[1])
  redis.call('SADD', KEYS[2] .. ':' .. cjson.decode(redis.call('HGET', KEYS[1], 'owner')), ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[1])
  redis.call('PERSIST', KEYS[4])
end
if new_status ~= status then
  redis.call(new_status == 'queued' and 'SADD' or 'SREM', KEYS[6], ARGV[1])
  local events = redis.call('HGET', KEYS[1], 'webhook_events') or ''
  if string.find(' ' .. events .. ' ', ' job.' .. new_status .. ' ', 1, true) then
    local now = redis.call('TIME')
    redis.call('ZADD', KEYS[5], now[1] * 1000 + math.floor(now[2] / 1000),
      ARGV[1] .. ':' .. new_status .. ':' .. version)
  end
end
if ARGV[5] ~= '' then
  redis.call('ZADD', KEYS[3], ARGV[5], ARGV[1])
  redis.call('SREM', KEYS[2], ARGV[1])
  redis.call('SREM', KEYS[2] .. ':' .. cjson.decode(redis.call('HGET', KEYS[1], 'owner')), ARGV[1])
  redis.call('EXPIRE', KEYS[4], 3600)
end

-- Counted with the change and never without it, so that nothing is counted twice.
local kind = redis.call('HGET', KEYS[1], 'kind')
local function count(field, amount)
  redis.call('HINCRBYFLOAT', KEYS[7], field, amount)
end
local function observe_time_since_submission(series)
  local now = redis.call('TIME')
  local seconds = math.max(0, now[1] + now[2] / 1000000 - (redis.call('HGET', KEYS[1], 'submitted') or now[1]))
  for _, bound in ipairs(cjson.decode(ARGV[7])) do
    if bound == '+Inf' or seconds <= tonumber(bound) then
      count(series .. ' le=' .. bound, 1)
      break
    end
  end
  count(series .. ' sum', string.format('%.6f', seconds))
end
for field, amount in pairs(cjson.decode(ARGV[6])) do
  count(field, amount)
end
if ARGV[4] ~= '' and redis.call('HSETNX', KEYS[1], 'taken', '1') == 1 then
  observe_time_since_submission('retint_job_wait_seconds ' .. kind)
end
-- Where a claim names the execution that has it already, the answer to its first one was lost.
if status == 'processing' and (new_status == 'queued' or (ARGV[4] ~= '' and ARGV[3] == '' and former ~= ARGV[4])) then
  count('retint_executions_lost_total ' .. kind, 1)
end
if ARGV[5] ~= '' then
  count('retint_jobs_ended_total ' .. kind .. ' ' .. new_status, 1)
  observe_time_since_submission('retint_job_duration_seconds ' .. kind .. ' ' .. new_status)
  if new_status == 'failed' then
    local error = cjson.decode(redis.call('HGET', KEYS[1], 'error'))
    count('retint_job_failures_total ' .. kind .. ' ' .. error.code, 1)
  end
end
return 1
