// SPDX-License-Identifier: Apache-2.0
// A band for each series, coloured by its state over time.
local mapping = import '../mapping.libsonnet';
local common = import 'common.libsonnet';

{
  // Before a long name: Grafana measures names smaller than it draws them, and would cut off the first letter.
  room: std.repeat(std.char(160), 2),

  new(title, description, unit, queries):
    common.base('state-timeline', title, description, unit, queries)
    // Colours come from mappings, which thresholds would override.
    + common.withColor('text')
    + common.withMappings([mapping.values({ [self.nothing]: ['–', 'transparent'] })])
    + {
      fieldConfig+: { defaults+: { custom: { lineWidth: 0, fillOpacity: 80 } } },
      options: {
        mergeValues: true,
        showValue: 'never',
        alignValue: 'left',
        rowHeight: 0.85,
        legend: { showLegend: false, displayMode: 'list', placement: 'bottom', calcs: [] },
        tooltip: { mode: 'single', sort: 'none' },
      },
    },

  // The value of the row that says why there is nothing; see promql.orWhyAllTheTime.
  nothing: '-2',

  // Shares of success: green is all, red is less than half; -1 stands for client-side errors.
  withShares: common.withMappings([
    mapping.values({ '-1': ['Client-side error', 'blue'] }),
    // The first that fits counts.
    mapping.band(0.99, 1, 'green'),
    mapping.band(0.9, 0.99, 'yellow'),
    mapping.band(0.5, 0.9, 'orange'),
    mapping.band(0, 0.5, 'red'),
  ]),
}
