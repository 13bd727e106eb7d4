// SPDX-License-Identifier: Apache-2.0
// Lines, areas and bars over time.
local override = import '../override.libsonnet';
local query = import '../query.libsonnet';
local threshold = import '../threshold.libsonnet';
local common = import 'common.libsonnet';

{
  // Thin lines from zero.
  new(title, description, unit, queries):
    common.base('timeseries', title, description, unit, queries)
    + common.withMin(0)
    + common.withThresholds(threshold.plain('green'))
    + common.withScale()
    + {
      fieldConfig+: { defaults+: { custom: {
        drawStyle: 'line',
        lineInterpolation: 'linear',
        lineWidth: 2,
        fillOpacity: 8,
        gradientMode: 'none',
        showPoints: 'auto',
        pointSize: 4,
        spanNulls: false,
        barAlignment: 0,
        stacking: { mode: 'none', group: 'A' },
        axisPlacement: 'auto',
        axisLabel: '',
        axisColorMode: 'text',
        scaleDistribution: { type: 'linear' },
        thresholdsStyle: { mode: 'off' },
        hideFrom: { viz: false, legend: false, tooltip: false },
      } } },
      options: {
        legend: { showLegend: true, displayMode: 'list', placement: 'bottom', calcs: [] },
        tooltip: { mode: 'multi', sort: 'desc' },
      },
    },

  // One bar for each step of at least `step`, drawn over the time that it sums up and stamped with its start. The last
  // one is of the running step. What queries read over no $__interval is recorded at the end of its time, and stamped so.
  bars(title, description, unit, queries, step='1h'):
    local started = std.all([std.length(std.findSubstr('[$__interval]', it.expr)) > 0 for it in queries]);
    self.new(title, description, unit, [query.fromStart(it) { interval: step } for it in queries])
    + common.withMaxDataPoints(100)
    + self.withCustom({ drawStyle: 'bars', lineWidth: 0, fillOpacity: 75, barAlignment: if started then 1 else -1, barWidthFactor: 0.9, showPoints: 'never' }),
  withBarsFromStart: self.withCustom({ barAlignment: 1 }),

  withCustom(custom): { fieldConfig+: { defaults+: { custom+: custom } } },
  // Parts of a whole: a shade for each, for the colour of its size is the same for many.
  withStacking: self.withCustom({ stacking: { mode: 'normal', group: 'A' } }) + common.withShades('blue'),
  withFill(percent): self.withCustom({ fillOpacity: percent }),
  withThresholdLine: self.withCustom({ thresholdsStyle: { mode: 'dashed' } }),
  // A dashed line at `bound`, beyond which an objective is missed.
  withObjective(bound): self.withThresholdLine + common.withThresholds(threshold.steps([['transparent', null], ['red', bound]])),
  // A table of the last, mean and largest value of each line, that with the largest last value first.
  withLegendTable(smallestFirst=false): {
    options+: { legend+: { displayMode: 'table', calcs: ['lastNotNull', 'mean', 'max'], sortBy: 'Last *', sortDesc: !smallestFirst } },
  },
  // The scale starts where the values do.
  withFreeMin: { fieldConfig+: { defaults+: { min:: null } } },
  // Two of the lines are the edges of a band; the legend names it once.
  withBand(top, bottom, color): {
    fieldConfig+: { overrides+: [
      override.byName(top, [override.color(color), override.lineWidth(0), override.fillBelowTo(bottom), override.fillOpacity(20)]),
      override.byName(bottom, [override.color(color), override.lineWidth(0), override.fillOpacity(0), override.notInLegend]),
    ] },
  },
  // The colour of each value is that of its threshold.
  withColorOfValue: common.withColorScheme('thresholds') + self.withCustom({ gradientMode: 'scheme' }),
  withoutLegend: { options+: { legend+: { showLegend: false } } },
}
