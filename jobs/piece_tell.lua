-- Note how far a piece is, and show how far the job is: the sum of its pieces, at the speed of all workers together.
--
-- KEYS: record, pieces, marks, events
-- ARGV: piece, execution, work, frames, phase or '', shot or '', its JSON, 'through' or '',
--       seconds between two changes of the record, and of jobs/pace.py: seconds between two marks, seconds that speed
--       is measured over, least gain, shortest of those seconds, fraction and seconds from which time left is told
-- Returns 1 done, 0 where the piece is not the execution's any more.
local run = redis.call('HGET', KEYS[2], 'run')
if not run or redis.call('HGET', KEYS[1], 'status') ~= 'processing'
  or redis.call('HGET', KEYS[1], 'execution') ~= run
  or redis.call('HGET', KEYS[2], ARGV[1] .. ':owner') ~= ARGV[2] then
  return 0
end
local function number(field)
  return tonumber(redis.call('HGET', KEYS[2], field) or 0)
end
if ARGV[8] == 'through' then
  redis.call('HSET', KEYS[2], ARGV[1] .. ':through', '1')
end
redis.call('HINCRBYFLOAT', KEYS[2], 'work', ARGV[3] - number(ARGV[1] .. ':work'))
redis.call('HINCRBY', KEYS[2], 'frames', ARGV[4] - number(ARGV[1] .. ':frames'))
redis.call('HSET', KEYS[2], ARGV[1] .. ':work', ARGV[3], ARGV[1] .. ':frames', ARGV[4])
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[2], 'shot:' .. ARGV[6], ARGV[7])
end

-- The record is for people: many workers together change it no more often than one alone.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local changes, heavy = {}, ''
if ARGV[5] ~= '' and redis.call('HGET', KEYS[1], 'phase') ~= '"' .. ARGV[5] .. '"' then
  redis.call('HSET', KEYS[1], 'phase', '"' .. ARGV[5] .. '"')
  changes[#changes + 1] = '"phase":"' .. ARGV[5] .. '"'
end
if ARGV[6] ~= '' then
  local shots = {}
  for index = 0, number('shots') - 1 do
    shots[#shots + 1] = redis.call('HGET', KEYS[2], 'shot:' .. index)
  end
  redis.call('HSET', KEYS[1], 'shots', '[' .. table.concat(shots, ',') .. ']')
  heavy = 'shots'
end
if #changes == 0 and heavy == '' and now - number('told_at') < tonumber(ARGV[9]) then
  return 1
end
local frames = number('frames')
local fraction = math.max(number('fraction'), math.min(0.999, number('work') / number('work_total')))
redis.call('HSET', KEYS[2], 'fraction', string.format('%.9f', fraction), 'told_at', string.format('%.6f', now))
local function mark(index)
  local found = redis.call('LINDEX', KEYS[3], index)
  if found then
    local at, share, count = string.match(found, '(%S+) (%S+) (%S+)')
    return tonumber(at), tonumber(share), tonumber(count)
  end
end
-- As worker/pace.py does: no mark where nothing was done, and the longer it stands still, the farther back is looked.
local last, reached, counted = mark(-1)
if last and counted > frames then
  redis.call('DEL', KEYS[3])
  last = nil
end
if not last or (now - last >= tonumber(ARGV[10]) and fraction - reached >= tonumber(ARGV[12])) then
  redis.call('RPUSH', KEYS[3], string.format('%.6f %.9f %d', now, fraction, frames))
  last = now
end
redis.call('EXPIRE', KEYS[3], 3600)
local window = tonumber(ARGV[11]) + 2 * (now - last)
local at, share, count = mark(0)
while now - at > window and redis.call('LLEN', KEYS[3]) > 2 do
  redis.call('LPOP', KEYS[3])
  at, share, count = mark(0)
end
local fps, eta = 'null', 'null'
local elapsed = now - at
if elapsed >= tonumber(ARGV[13]) then
  if frames > count then
    fps = string.format('%.3f', (frames - count) / elapsed)
  end
  if fraction - share >= tonumber(ARGV[12])
    and (fraction >= tonumber(ARGV[14]) or elapsed >= tonumber(ARGV[15])) then
    eta = string.format('%.1f', (1 - fraction) * elapsed / (fraction - share))
  end
end
local progress = string.format('{"fraction":%.6f,"frames_done":%d,"frames_total":%d,"fps":%s,"eta_seconds":%s}',
  fraction, frames, number('frames_total'), fps, eta)
redis.call('HSET', KEYS[1], 'progress', progress)
changes[#changes + 1] = '"progress":' .. progress
-- As transition.lua does.
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('XADD', KEYS[4], 'MAXLEN', '~', 1000, version .. '-0',
  'changes', '{' .. table.concat(changes, ',') .. '}', 'heavy', heavy)
return 1
