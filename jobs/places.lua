-- How many jobs wait before each of some in the queue, where pieces of jobs that are being done wait too.
--
-- KEYS: the queue, queued records
-- ARGV: ids
-- Returns a number for each; 0 for one that is in the queue no more.
local places = {}
for _, id in ipairs(ARGV) do
  places[id] = 0
end
local waiting = 0
for _, entry in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  if places[entry] then
    places[entry] = waiting
  end
  waiting = waiting + redis.call('SISMEMBER', KEYS[2], entry)
end
local answer = {}
for place, id in ipairs(ARGV) do
  answer[place] = places[id]
end
return answer
