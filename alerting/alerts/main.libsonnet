// SPDX-License-Identifier: Apache-2.0
// Alerts: file name -> groups.
local areas = {
  availability: import 'availability.libsonnet',
  latency: import 'latency.libsonnet',
  limits: import 'limits.libsonnet',
  budgets: import 'budgets.libsonnet',
  spend: import 'spend.libsonnet',
  freshness: import 'freshness.libsonnet',
  models: import 'models.libsonnet',
  keys: import 'keys.libsonnet',
  status: import 'status.libsonnet',
  exporter: import 'exporter.libsonnet',
};

function(config) {
  ['alerts-%s.yml' % area]: [{ name: 'openai-alerts-%s' % area, rules: areas[area](config) }]
  for area in std.objectFields(areas)
}
