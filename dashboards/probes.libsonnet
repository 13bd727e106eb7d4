// SPDX-License-Identifier: Apache-2.0
// Probes: how fast and how reliable the API is for us, and where it hurts.
local g = import 'lib/g.libsonnet';
local page = import 'lib/page.libsonnet';

function(config, promql, variables)
  local panels = (import 'panels/probes.libsonnet')(config, promql);

  page.new(config, 'probes')
  + g.dashboard.withVariables([variables.datasource, variables.target, variables.model, variables.window])
  + g.dashboard.withRows([
    g.row.new('Success and latency', 4, [
      [4, panels.up],
      [4, panels.success],
      [4, panels.median],
      [4, panels.tail],
      [4, panels.firstToken],
      [4, panels.failures],
    ]),
    g.row.new('Latency', 10, [
      [12, panels.percentiles],
      [12, panels.heatmap],
      [8, panels.byModel],
      [8, panels.byEndpoint],
      [8, panels.anomaly],
    ]),
    g.row.new('Streams', 10, [
      [8, panels.firstTokenByModel],
      [8, panels.tokensPerSecond],
      [8, panels.gaps],
    ]),
    g.row.collapsed('Request phases', 8, [
      [12, panels.phases],
      [12, panels.provider],
    ]),
    g.row.new('Failures', 8, [
      [8, panels.errors],
      [16, panels.states],
    ]),
    g.row.new('Provider status and measured availability', 8, [
      [12, panels.components],
      [12, panels.ownView],
    ]),
    g.row.collapsed('Rate limits', 8, [
      [10, panels.headroom],
      [14, panels.limits],
    ]),
    g.row.new('Latest results', 9, [
      [24, panels.last],
    ]),
  ])
