// SPDX-License-Identifier: Apache-2.0
// Durations as Prometheus spells them: '90s', '5m', '1d'.
local unitSeconds = { s: 1, m: 60, h: 3600, d: 86400 };

{
  local lib = self,

  // '5m' -> 300. One number and one unit.
  seconds(text)::
    local last = std.length(text) - 1;
    local unit = std.substr(text, last, 1);
    local number = std.substr(text, 0, last);
    assert std.objectHas(unitSeconds, unit) && last > 0 && std.all([c >= '0' && c <= '9' for c in std.stringChars(number)]) :
           'duration "' + text + '": write one whole number and one of d, h, m, s, for example 5m';
    std.parseInt(number) * unitSeconds[unit],

  // 300 -> '5m'; the largest unit that divides it, whole seconds at least.
  text(seconds)::
    local whole = std.max(1, std.ceil(seconds));
    local unit = std.filter(function(unit) whole % unitSeconds[unit] == 0, ['d', 'h', 'm', 's'])[0];
    whole / unitSeconds[unit] + unit,

  // Windows that hold `results` of them at each of config.paces, shortest first; and an expression that holds in any.
  windows(config, results):: [lib.text(results * lib.seconds(pace)) for pace in config.paces],
  anyWindow(config, results, render)::
    std.join('or\n', [render(lib.scaled(config, w)) for w in lib.windows(config, results)]),

  // The duration as rules use it: `config.timeScale` shortens it for demos and end-to-end tests.
  scaled(config, text)::
    local seconds = lib.seconds(text);
    if config.timeScale == 1 then text else lib.text(seconds * config.timeScale),
}
