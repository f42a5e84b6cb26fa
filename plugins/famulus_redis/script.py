"""The one script by which limits are taken or settled: nothing comes between its steps.

KEYS are the buckets. ARGV: `take` or `settle`; the time in microseconds, or an empty text for the
server's own; then rate, burst and cost of each. The answer is 1 or 0, then the level of each, as
text, because Redis cuts numbers to whole ones. A bucket is kept as its level and the time of that.
"""

from __future__ import annotations

ARITHMETIC = """
local now = tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local levels, fits = {}, true
for i, key in ipairs(KEYS) do
  local rate = tonumber(ARGV[3 * i])
  local burst = tonumber(ARGV[3 * i + 1])
  local cost = tonumber(ARGV[3 * i + 2])
  local level = 0
  local kept = redis.call('GET', key)
  if kept then
    local was, at = string.match(kept, '^(%S+) (%S+)$')
    level = math.max(0, tonumber(was) - math.max(0, now - tonumber(at)) / 1000000 * rate)
  end
  levels[i] = level
  if level + cost - burst > burst * 1e-9 then
    fits = false
  end
end
if fits or ARGV[1] == 'settle' then
  for i, key in ipairs(KEYS) do
    local rate = tonumber(ARGV[3 * i])
    local level = math.max(0, levels[i] + tonumber(ARGV[3 * i + 2]))
    levels[i] = level
    if level > 0 then
      -- Kept until it is empty, and a minute more for clocks that are not.
      local px = math.min(math.ceil(level / rate * 1000) + 60000, 8640000000)
      redis.call('SET', key, string.format('%.17g %.0f', level, now), 'PX',
        string.format('%.0f', px))
    else
      redis.call('DEL', key)
    end
  end
end
local answer = {fits and 1 or 0}
for i, level in ipairs(levels) do
  answer[i + 1] = string.format('%.17g', level)
end
return answer
"""
