// SPDX-License-Identifier: Apache-2.0
// A bar for each row of a table, named by one of its fields.
local threshold = import '../threshold.libsonnet';
local common = import 'common.libsonnet';

{
  new(title, description, unit, queries):
    common.base('barchart', title, description, unit, queries)
    + common.withMin(0)
    + common.withThresholds(threshold.plain('green'))
    + {
      fieldConfig+: { defaults+: { custom: { lineWidth: 0, fillOpacity: 75, gradientMode: 'none', axisPlacement: 'auto', axisLabel: '' } } },
      options: {
        orientation: 'vertical',
        barWidth: 0.9,
        barRadius: 0,
        groupWidth: 0.8,
        showValue: 'never',
        stacking: 'none',
        fullHighlight: false,
        xTickLabelRotation: 0,
        xTickLabelSpacing: 0,
        legend: { showLegend: false, displayMode: 'list', placement: 'bottom', calcs: [] },
        tooltip: { mode: 'single', sort: 'none' },
      },
    },

  withNameField(field): { options+: { xField: field } },
}
