// SPDX-License-Identifier: Apache-2.0
// Models and keys: what retires, what answers, which keys are in order, how far the limits of projects are.
local g = import 'lib/g.libsonnet';
local page = import 'lib/page.libsonnet';

function(config, promql, variables)
  local panels = (import 'panels/models.libsonnet')(config, promql);

  page.new(config, 'models')
  + g.dashboard.withTime('now-7d')
  + g.dashboard.withRefresh('5m')
  + g.dashboard.withVariables([variables.datasource, variables.target, variables.model, variables.organization, variables.project])
  + g.dashboard.withRows([
    g.row.new('At a glance', 4, [
      [4, panels.inUse],
      [4, panels.retiringSoon],
      [4, panels.listed],
      [4, panels.keys],
      [4, panels.keysUnused],
      [4, panels.keysExpiring],
    ]),
    g.row.new('Models', 8, [
      [13, panels.shutdowns],
      [11, panels.newest],
      [13, panels.served],
      [11, panels.missing],
    ]),
    g.row.new('Keys', 9, [
      [24, panels.keyTable],
    ]),
    g.row.new('Limits of projects', 8, [
      [6, panels.limitUsed],
      [18, panels.limitTable],
      [24, panels.vectorStores],
    ]),
  ])
