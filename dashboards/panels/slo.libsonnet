// SPDX-License-Identifier: Apache-2.0
// Panels of service levels: what is promised, what is left of the error budget, how fast it burns.
local burn = import '../../alerting/lib/burn.libsonnet';
local duration = import '../../alerting/lib/duration.libsonnet';
local series = import '../../alerting/lib/series.libsonnet';
local g = import '../lib/g.libsonnet';
local metric = import '../lib/metric.libsonnet';
local words = import '../lib/words.libsonnet';

local panel = g.panel;
local query = g.query;
local override = g.override;
local threshold = g.threshold;
local transformation = g.transformation;

function(config, promql)
  local slo = promql.slo;
  local period = config.slo.period;
  local byProbe = 'target, module, model';
  local name = '{{target}} {{module}} {{model}}';
  local tile(title, description, unit, expr, noValue=words.short.recorded) =
    panel.stat.new(title, description, unit, [query.instant(expr, std.asciiLower(title))]) + panel.withNoFigure(noValue);
  // Distinct long windows of the burn-rate alerts, with the factor at which they fire.
  local rows = config.slo.burn;

  {
    // --- The worst probe
    objective: tile('Objective', 'The ratio of good events that is promised; the strictest of the selected probes.', 'percentunit', 'max(%s)' % slo(series.objective('probe')))
               + panel.withDecimals(2),
    level:
      local level = 'min(1 - %s / (%s > 0))' % [slo(series.badEvents('probe', period)), slo(series.events('probe', period))];
      panel.stat.new('SLI', 'Ratio of good events over %s, of the probe that has least; red below the strictest objective.' % period, 'percentunit', [
        query.instant('(%s) %s on () max(%s)' % [level, side[0], slo(series.objective('probe'))], side[1])
        for side in [['>=', 'objective met'], ['<', 'objective missed']]
      ])
      + panel.withNoFigure(words.short.recorded)
      + panel.withOverrides([
        override.byName('objective met', [override.thresholds(threshold.plain('green'))]),
        override.byName('objective missed', [override.thresholds(threshold.plain('red'))]),
      ])
      + panel.withDecimals(2),
    left: tile('Budget', 'What is left of the error budget over ' + period + ', of the probe that has least; below zero the objective is missed.', 'percentunit', 'min(%s)' % slo(series.budgetRemaining('probe')))
          + panel.withDecimals(0)
          + panel.withThresholds(threshold.falling(0, 0.25)),
    burning: tile('Burn rate', 'How many times faster than allowed the budget burns now, of the probe that burns fastest: 1 uses it up in exactly %s.' % period, 'short', 'max(%s)' % slo(series.currentBurnRate('probe')))
             + panel.withDecimals(1)
             + panel.withThresholds(threshold.rising(1, rows[0].factor)),
    allowed: tile('Allowance', 'Bad events that the error budget still allows, of the probe that has fewest left.', 'short', 'floor(min(%s))' % slo(series.budgetRemainingEvents('probe')))
             + panel.withDecimals(0)
             + panel.withThresholds(threshold.steps([['red', null], ['text', 0]])),
    gone:
      tile('Runs out', 'When the first error budget is exhausted at the current burn rate; not in sight where that is more than %s away, in which a budget recovers, or nothing burns.' % period, 'dateTimeFromNow', promql.date(
        '0 * (min(%s) <= 0) or on () (min(%s) < time() + %d) or on () 0 * group(%s) + Inf' % [
          slo(series.budgetRemaining('probe')),
          slo(series.budgetExhaustion('probe')),
          duration.seconds(period),
          slo(series.objective('probe')),
        ]
      ))
      + panel.withMappings([g.mapping.values({ '0': ['Exhausted', 'red'] }), g.mapping.range(4102444800000, null, 'Not in sight', 'green')])
      + panel.withThresholds(threshold.plain('orange')),

    // --- Over time
    remaining:
      panel.timeSeries.new('Error budget left', 'What is left of the error budget over %s, of the ten probes that have least; below zero the objective is missed.' % period, 'percentunit', [
        query.range('max by (%(by)s) (%(left)s)\nand on (%(by)s) bottomk(10, max by (%(by)s) (%(left)s @ end()))' % { by: byProbe, left: slo(series.budgetRemaining('probe')) }, name),
      ])
      + panel.timeSeries.withFreeMin
      + panel.withScale('last')
      + panel.withMax(1)
      + panel.timeSeries.withFill(0)
      + panel.timeSeries.withLegendTable(smallestFirst=true)
      + panel.timeSeries.withThresholdLine
      + panel.withThresholds(threshold.steps([['red', null], ['transparent', 0]]))
      + panel.withNoValue(words.slo),
    burnRates:
      panel.timeSeries.new('Burn rate by window', 'The fastest burning probe in each window of the alerts. An alert fires when the long and the short window of a line of the table below both exceed its factor.', 'short', [
        query.range('max(%s / on (slo, %s) %s)' % [slo(series.errorRatio('probe', w)), byProbe, slo(series.errorBudget('probe'))], w)
        for w in [row.long for row in rows]
      ])
      + panel.timeSeries.withFill(0)
      + panel.withOverrides([
        override.byName(rows[i].long, [override.color(['purple', 'blue', 'light-blue', 'green', 'dark-green'][std.min(i, 4)])])
        for i in std.range(0, std.length(rows) - 1)
      ])
      + panel.withNoValue(words.slo),
    badEvents:
      // The shortest recorded window, so that the running hour shows; its mean over a step adds up to the events of the step.
      local short = rows[0].short;
      panel.timeSeries.bars('Bad events', 'Events in each step that missed this service level, of the ten probes with most, up to the last %s.' % short, 'short', [
        query.range(promql.orNone(
          'topk(10, sum by (%s) (avg_over_time(%s[$__interval])) * $__interval_ms / %d > 0)' % [byProbe, slo(series.badEvents('probe', short)), 1000 * duration.seconds(short)],
          'target',
          'no bad events',
          slo(series.events('probe', short))
        ), name),
      ], short)
      + panel.timeSeries.withStacking
      + panel.withShades('red')
      + panel.withOverrides([override.byRegexp('/^no bad events/', [override.color('green')])])
      + panel.withDecimals(1)
      + panel.withNoValue(words.slo),
    targets:
      panel.timeSeries.new('Error budget by target', 'What is left of the error budget of everything that is probed on a target.', 'percentunit', [
        query.range('max by (target) (%s)' % promql.select(series.budgetRemaining('target'), ['slo="$slo"', 'target=~"$target"']), '{{target}}'),
      ])
      + panel.timeSeries.withFreeMin
      + panel.withScale('last')
      + panel.withMax(1)
      + panel.timeSeries.withFill(0)
      + panel.withNoValue(words.slo),

    // --- Each probe
    probes:
      panel.table.new('SLO by probe', 'SLI, error budget and burn rate of each probe over %s.' % period, 'short', [
        query.table(promql.orWhy('max by (%s) (%s)' % [byProbe, slo(series.objective('probe'))], 'model', words.short.recorded)),
      ] + [
        query.table('max by (%s) (%s)' % [byProbe, slo(it)])
        for it in [
          '1 - ' + series.errorRatio('probe', period),
          series.events('probe', period),
          series.badEvents('probe', period),
          series.budgetRemaining('probe'),
          series.currentBurnRate('probe'),
        ]
      ] + [query.table(promql.date('max by (%s) (%s)' % [byProbe, slo(series.budgetExhaustion('probe'))]))])
      + panel.table.withColumns([
        ['target', 'Target'],
        ['module', 'Module'],
        ['model', 'Model'],
        ['Value #A', 'Objective'],
        ['Value #B', 'SLI'],
        ['Value #C', 'Events'],
        ['Value #D', 'Bad'],
        ['Value #E', 'Budget left'],
        ['Value #F', 'Burn rate'],
        ['Value #G', 'Exhausted on'],
      ])
      + panel.table.withSort('Budget left', descending=false)
      + panel.withOverrides([
        override.byRegexp('Objective|SLI', [override.unit('percentunit'), override.decimals(2)]),
        override.byName('Budget left', [override.unit('percentunit'), override.decimals(0), override.cell('color-text'), override.thresholds(threshold.falling(0, 0.25))]),
        override.byRegexp('Bad|Events', [override.width(70), override.decimals(0)]),
        override.byName('Burn rate', [override.decimals(1)]),
        override.byName('Exhausted on', [override.width(140), override.unit('time:YYYY-MM-DD HH:mm')]),
        override.byName('Module', [override.width(115)]),
        override.byRegexp('Objective|Burn rate', [override.width(90)]),
        override.byName('Budget left', [override.width(100)]),
        override.byName('Model', [override.width(235), override.links([g.link.data(config.dashboards.probes, 'Probes of this model', { model: '__value.raw' }, ['datasource', 'target'])])]),
      ])
      + panel.table.withoutLinks([words.short.recorded])
      + panel.withNoValue(words.slo),

    // --- The figures behind the alerts
    freshness:
      panel.timeSeries.new('Freshness of the usage data', 'Ratio of the last day in which each dataset was younger than its limit; the twelve that were late the most.', 'percentunit', [
        query.range('1 - max by (dataset) (%(late)s)\nand on (dataset) topk(12, max by (dataset) (%(late)s @ end()))' % { late: promql.organization(series.errorRatio('dataset', '1d'), 'slo="freshness"') }, '{{dataset}}'),
      ])
      + panel.withMax(1)
      + panel.timeSeries.withColorOfValue
      + panel.withThresholds(threshold.falling(0.9, 0.99))
      + panel.timeSeries.withFill(0)
      + panel.withNoValue(words.slo),
    policy:
      panel.text.new('When an alert fires', 'The windows and factors of the burn-rate alerts, as they are configured.', |||
        | severity | over | and over | burns faster than | budget exhausted in | bad events at least |
        |---|---|---|---|---|---|
        %s
        An alert needs both windows above the factor: the long one shows that it matters, the short one that it continues.
      ||| % std.join('\n', [
        '| %s | %s | %s | %gx | %s | %d |' % [row.severity, row.long, row.short, row.factor, burn.exhaustion(config.slo, row), row.minBad]
        for row in rows
      ] + [''])),
  }
