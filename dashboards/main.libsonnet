// SPDX-License-Identifier: Apache-2.0
// Pages: file name -> dashboard.
local pages = {
  overview: import 'overview.libsonnet',
  probes: import 'probes.libsonnet',
  usage: import 'usage.libsonnet',
  costs: import 'costs.libsonnet',
  slo: import 'slo.libsonnet',
  models: import 'models.libsonnet',
  exporter: import 'exporter.libsonnet',
};

function(config)
  local promql = (import 'lib/promql.libsonnet')(config);
  local variables = (import 'lib/variables.libsonnet')(config, promql);

  { [name + '.json']: pages[name](config, promql, variables) for name in std.objectFields(pages) }
