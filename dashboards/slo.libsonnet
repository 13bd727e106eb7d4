// SPDX-License-Identifier: Apache-2.0
// Service levels: what is promised, what is left of the error budget, and when it will be gone.
local g = import 'lib/g.libsonnet';
local page = import 'lib/page.libsonnet';

function(config, promql, variables)
  local panels = (import 'panels/slo.libsonnet')(config, promql);

  page.new(config, 'slo')
  + g.dashboard.withTime('now-7d')
  + g.dashboard.withRefresh('5m')
  + g.dashboard.withVariables([variables.datasource, variables.slo, variables.target, variables.model, variables.organization])
  + g.dashboard.withRows([
    g.row.new('Worst of the selected probes', 4, [
      [4, panels.objective],
      [4, panels.level],
      [4, panels.left],
      [4, panels.burning],
      [4, panels.allowed],
      [4, panels.gone],
    ]),
    g.row.new('Error budget', 9, [
      [12, panels.remaining],
      [12, panels.burnRates],
      [12, panels.badEvents],
      [12, panels.targets],
    ]),
    g.row.new('SLO by probe', 9, [
      [24, panels.probes],
    ]),
    g.row.new('Alert configuration', 9, [
      [12, panels.policy],
      [12, panels.freshness],
    ]),
  ])
