// SPDX-License-Identifier: Apache-2.0
// Burn-rate arithmetic: windows as data, and the checks that make a wrong setting fail to compile.
local duration = import 'duration.libsonnet';
local series = import 'series.libsonnet';
local text = import 'text.libsonnet';

local minProbesInWindow = 5;
local minBadToPage = 3;

{
  local lib = self,

  // Events of availability in a window, and the good ones; an expression without name by the labels of a probe.
  valid(config, window):: lib.counted(config, 'openai_probe_availability_valid', series.sampleEvents, window),
  good(config, window):: lib.counted(config, 'openai_probe_availability_good', series.sampleGood, window),
  counted(config, gauge, sample, window):: text.fill(
    'sum without (%s) (sum_over_time(%s{%s}[%s]) or sum_over_time(%s[%s]))',
    [config.instanceLabels, gauge, config.selector, window, sample('probe', 'availability'), window]
  ),

  // The windows that rules must record: those of the rows, of recovery, and the period, shortest first.
  windows(slo)::
    std.set(
      std.flattenArrays([[row.long, row.short] for row in slo.burn]) + [slo.recovered.window, slo.period],
      duration.seconds
    ),

  // The long windows, shortest first.
  longWindows(slo):: std.set([row.long for row in slo.burn], duration.seconds),

  // Time in which a steady burn at the row's factor uses the whole budget: '30d' at 14.4 -> '50h'.
  exhaustion(slo, row):: duration.text(60 * std.round(duration.seconds(slo.period) / row.factor / 60)),

  // Rows for one level of service; where it does not page, critical rows become warnings.
  rows(config, name):: [
    row { severity: if config.slo[name].pages then row.severity else 'warning' }
    for row in lib.checked(config, name)
  ],

  // The rows, once every objective has passed every check against them.
  checked(config, name)::
    local problems = std.flattenArrays([
      lib.problems(config, name, row, entry.objective)
      for row in config.slo.burn
      for entry in config.slo[name].objectives
    ]);
    assert problems == [] : std.join('\n', problems);
    config.slo.burn,

  // How many results in a row prove an outage.
  minDown(config)::
    local least = config.thresholds.targetDown.minBad;
    assert least >= minBadToPage :
           'thresholds.targetDown.minBad ' + least + ': must be at least ' + minBadToPage + ', or one or two bad probes could page';
    least,

  // What is wrong with a row for an objective, as sentences with the remedy; [] when nothing is.
  problems(config, name, row, objective)::
    local where = 'slo.%s, objective %s, windows %s and %s: ' % [name, text.number(objective), row.long, row.short];
    local interval = duration.seconds(config.probeInterval);
    local long = duration.seconds(row.long);
    local short = duration.seconds(row.short);
    local period = duration.seconds(config.slo.period);
    local events = std.floor(long / interval);
    local rules = [
      [
        objective > 0 && objective < 1,
        'an objective lies between 0 and 1, 0.995 for example',
      ],
      [
        row.factor * (1 - objective) < 1,
        'can never fire, as %s times the error budget exceeds all events; raise the objective above %.4f or lower the factor'
        % [row.factor, 1 - 1 / row.factor],
      ],
      [
        row.minBad <= events,
        'can never fire, as minBad %d is above the %d probes of the long window; lower minBad or lengthen the window' % [row.minBad, events],
      ],
      [
        row.severity != 'critical' || row.minBad >= minBadToPage,
        'one or two bad probes could page; minBad must be at least %d for severity critical' % minBadToPage,
      ],
      [
        short >= minProbesInWindow * interval,
        'the short window holds fewer than %d probes at probeInterval %s; probe more often or lengthen it' % [minProbesInWindow, config.probeInterval],
      ],
      [
        short < long,
        'the short window must be shorter than the long one',
      ],
      [
        long <= period,
        'the long window exceeds the period %s' % config.slo.period,
      ],
      [
        period <= duration.seconds(config.retention),
        'the period %s exceeds the retention %s; keep data longer or shorten the period' % [config.slo.period, config.retention],
      ],
    ];
    [where + rule[1] for rule in rules if !rule[0]],
}
