"""The one script by which limits are taken or settled: nothing comes between its steps.

KEYS are the buckets, then the slots. ARGV: `take`, `settle`, `release` or `look`; the time in
microseconds, or an empty text for the server's own; the number of buckets; rate, burst and cost
of each; then the holder, its lease in microseconds, and how many may hold each slot. The answer is
1 or 0, then the level of each bucket, as text, because Redis cuts numbers to whole ones, then how
many others hold each slot. A bucket is kept as its level and the time of that, a slot as the ends
of its leases by holder.
"""

from __future__ import annotations

ARITHMETIC = """
local what, now, buckets = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local levels, fits = {}, true
for i = 1, buckets do
  local rate = tonumber(ARGV[3 * i + 1])
  local burst = tonumber(ARGV[3 * i + 2])
  local cost = tonumber(ARGV[3 * i + 3])
  local level = 0
  local kept = redis.call('GET', KEYS[i])
  if kept then
    local was, at = string.match(kept, '^(%S+) (%S+)$')
    level = math.max(0, tonumber(was) - math.max(0, now - tonumber(at)) / 1000000 * rate)
  end
  levels[i] = level
  if level + cost - burst > burst * 1e-9 then
    fits = false
  end
end
local at = 3 * buckets + 3
local holder, lease = ARGV[at + 1], tonumber(ARGV[at + 2])
local others = {}
for i = buckets + 1, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', string.format('%.0f', now))
  local count = redis.call('ZCARD', KEYS[i])
  if redis.call('ZSCORE', KEYS[i], holder) then
    count = count - 1
  end
  others[i - buckets] = count
  if count >= tonumber(ARGV[at + 2 + i - buckets]) then
    fits = false
  end
end
if what == 'settle' or (what == 'take' and fits) then
  for i = 1, buckets do
    local rate = tonumber(ARGV[3 * i + 1])
    local level = math.max(0, levels[i] + tonumber(ARGV[3 * i + 3]))
    levels[i] = level
    if level > 0 then
      -- Kept until it is empty, and a minute more for clocks that are not.
      local px = math.min(math.ceil(level / rate * 1000) + 60000, 8640000000)
      redis.call('SET', KEYS[i], string.format('%.17g %.0f', level, now), 'PX',
        string.format('%.0f', px))
    else
      redis.call('DEL', KEYS[i])
    end
  end
  for i = buckets + 1, #KEYS do
    redis.call('ZADD', KEYS[i], string.format('%.0f', now + lease), holder)
    local px = math.ceil(lease / 1000) + 60000
    if redis.call('PTTL', KEYS[i]) < px then
      redis.call('PEXPIRE', KEYS[i], string.format('%.0f', px))
    end
  end
elseif what == 'release' then
  for i = buckets + 1, #KEYS do
    redis.call('ZREM', KEYS[i], holder)
  end
end
local answer = {fits and 1 or 0}
for i, level in ipairs(levels) do
  answer[i + 1] = string.format('%.17g', level)
end
for i, count in ipairs(others) do
  answer[buckets + i + 1] = count
end
return answer
"""
