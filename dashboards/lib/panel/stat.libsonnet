// SPDX-License-Identifier: Apache-2.0
// One figure, coloured by its thresholds.
local mapping = import '../mapping.libsonnet';
local override = import '../override.libsonnet';
local query = import '../query.libsonnet';
local threshold = import '../threshold.libsonnet';
local words = import '../words.libsonnet';
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
    + { options+: { reduceOptions+: { calcs: ['sum'] } } },

  // Its course behind the figure. Queries are over time, with NaN where there is nothing: promql.course.
  withSparkline: { maxDataPoints: 200, options+: { graphMode: 'area', reduceOptions+: { calcs: ['last'] } } },
  // Two figures of which one is there (promql.byBudget): red where a budget is used up.
  ofBudget(title, description, exprs, asked=query.instant):
    self.new(title, description + ' Red: over a budget of the organization.', 'currencyUSD', [
      asked(exprs[0], 'within budget'),
      asked(exprs[1], 'over budget'),
    ])
    + common.withDecimals(2)
    + common.withNoFigure(words.short.costs)
    + common.withOverrides([override.byName('over budget', [override.thresholds(threshold.plain('red'))])]),

  // Words for a selection without usage (promql.orUnmatched), which is neither unknown nor zero.
  withSelection(text=words.short.unmatched): common.withMappings([mapping.range(null, -1e-12, text, 'text')]),

  // `name`: the legend in place of the value; its query has a row also where there is nothing (promql.orWhy).
  withTextMode(mode): { options+: { textMode: mode } },
}
