// SPDX-License-Identifier: Apache-2.0
// A histogram over time; the unit is that of the buckets' bounds.
local common = import 'common.libsonnet';

{
  new(title, description, unit, queries):
    common.base('heatmap', title, description, unit, queries)
    + {
      options: {
        calculate: false,
        cellGap: 1,
        cellValues: { unit: 'short', decimals: 0 },
        color: { mode: 'scheme', scheme: 'Blues', steps: 64, exponent: 0.5, fill: 'blue', reverse: false, scale: 'exponential' },
        exemplars: { color: 'rgba(255,120,10,0.8)' },
        filterValues: { le: 1e-9 },
        legend: { show: true },
        rowsFrame: { layout: 'auto' },
        showValue: 'never',
        tooltip: { mode: 'single', yHistogram: false },
        yAxis: { axisPlacement: 'left', reverse: false, unit: unit },
      },
    },
}
