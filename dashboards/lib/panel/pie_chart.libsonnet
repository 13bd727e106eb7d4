// SPDX-License-Identifier: Apache-2.0
// Shares of a whole; keep it to a handful of slices.
local common = import 'common.libsonnet';

{
  new(title, description, unit, queries):
    common.base('piechart', title, description, unit, queries)
    + common.withScale()
    + {
      fieldConfig+: { defaults+: { custom: { hideFrom: { viz: false, legend: false, tooltip: false } } } },
      options: {
        pieType: 'donut',
        displayLabels: [],
        legend: { showLegend: true, displayMode: 'table', placement: 'bottom', values: ['value', 'percent'], calcs: [] },
        tooltip: { mode: 'single', sort: 'none' },
        reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      },
    },
}
