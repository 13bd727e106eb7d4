// SPDX-License-Identifier: Apache-2.0
// One figure, coloured by its thresholds.
local query = import '../query.libsonnet';
local threshold = import '../threshold.libsonnet';
local common = import 'common.libsonnet';

{
  new(title, description, unit, queries):
    common.base('stat', title, description, unit, queries)
    + common.withThresholds(threshold.plain())
    + common.withColorScheme('thresholds')
    + {
      options: {
        colorMode: 'value',
        graphMode: 'none',
        justifyMode: 'auto',
        orientation: 'auto',
        textMode: 'auto',
        wideLayout: true,
        reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      },
    },

  // The sum of the bars that a chart of the same query has.
  ofBars(title, description, unit, queries, step='1h'):
    self.new(title, description, unit, [query.fromStart(it) { interval: step } for it in queries])
    + common.withMaxDataPoints(100)
    + { options+: { graphMode: 'area', reduceOptions+: { calcs: ['sum'] } } },

  // Its course behind the figure. Queries are over time, with NaN where there is nothing: promql.course.
  withSparkline: { maxDataPoints: 200, options+: { graphMode: 'area', reduceOptions+: { calcs: ['last'] } } },
  withTextMode(mode): { options+: { textMode: mode } },
}
