-- Add counts to those of all processes: once, however often the same call is sent.
--
-- KEYS: metrics, what remembers this call
-- ARGV: field, amount, ...
if redis.call('SET', KEYS[2], '1', 'NX', 'EX', 600) then
  for i = 1, #ARGV, 2 do
    redis.call('HINCRBYFLOAT', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
