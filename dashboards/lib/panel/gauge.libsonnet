// SPDX-License-Identifier: Apache-2.0
// A figure on a scale.
local common = import 'common.libsonnet';

{
  new(title, description, unit, queries):
    common.base('gauge', title, description, unit, queries)
    + common.withColorScheme('thresholds')
    + {
      options: {
        orientation: 'auto',
        showThresholdLabels: false,
        showThresholdMarkers: true,
        reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      },
    },
}
