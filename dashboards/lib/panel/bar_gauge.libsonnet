// SPDX-License-Identifier: Apache-2.0
// A bar for each series, longest where the value is largest.
local threshold = import '../threshold.libsonnet';
local common = import 'common.libsonnet';

{
  // `name` is a template such as ${__field.labels.model}; a legend would not show where there is only one bar.
  new(title, description, unit, name, queries):
    common.base('bargauge', title, description, unit, queries)
    + common.withMin(0)
    + { fieldConfig+: { defaults+: { displayName: name } } }
    + common.withThresholds(threshold.plain('blue'))
    + common.withColorScheme('thresholds')
    + {
      options: {
        displayMode: 'basic',
        orientation: 'horizontal',
        namePlacement: 'auto',
        showUnfilled: true,
        sizing: 'manual',
        valueMode: 'color',
        minVizHeight: 16,
        maxVizHeight: 28,
        minVizWidth: 8,
        reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      },
    },

  // For long names: above the bar.
  withNamesAbove: { options+: { namePlacement: 'top', text: { titleSize: 12, valueSize: 12 } } },
}
