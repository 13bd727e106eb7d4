// SPDX-License-Identifier: Apache-2.0
// Overview: one glance at everything; the home page.
local g = import 'lib/g.libsonnet';
local page = import 'lib/page.libsonnet';

function(config, promql, variables)
  local panels = (import 'panels/overview.libsonnet')(config, promql);

  page.new(config, 'overview')
  + g.dashboard.withVariables([variables.datasource, variables.target, variables.model, variables.organization])
  + g.dashboard.withRows([
    g.row.new('Is it up, is it fast, what does it cost, what is near a limit?', 3, [
      [6, panels.success],
      [6, panels.latency],
      [6, panels.firstToken],
      [6, panels.budgetLeft],
      [6, panels.provider],
      [6, panels.alerts],
      [6, panels.today],
      [6, panels.month],
      [6, panels.forecast],
      [6, panels.fullestBudget],
      [6, panels.headroom],
      [6, panels.retirement],
    ]),
    g.row.new('The last hours', 8, [
      [13, panels.probes],
      [11, panels.firing],
      [8, panels.latencyByModel],
      [8, panels.tokens],
      [8, panels.spend],
    ]),
    g.row.new('How near are the limits?', 8, [
      [8, panels.budgets],
      [8, panels.limits],
      [8, panels.retiring],
    ]),
  ])
