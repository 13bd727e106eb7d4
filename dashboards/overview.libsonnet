// SPDX-License-Identifier: Apache-2.0
// Overview: one glance at everything; the home page.
local g = import 'lib/g.libsonnet';
local page = import 'lib/page.libsonnet';

function(config, promql, variables)
  local panels = (import 'panels/overview.libsonnet')(config, promql);

  page.new(config, 'overview')
  + g.dashboard.withVariables([variables.datasource, variables.target, variables.model, variables.organization])
  + g.dashboard.withRows([
    g.row.new('Availability, latency, cost and limits', 3, [
      [4, panels.up],
      [5, panels.success],
      [5, panels.latency],
      [5, panels.firstToken],
      [5, panels.alerts],
      [6, panels.budgetLeft],
      [6, panels.provider],
      [6, panels.headroom],
      [6, panels.retirement],
      [6, panels.today],
      [6, panels.month],
      [6, panels.forecast],
      [6, panels.fullestBudget],
    ]),
    g.row.new('Alerts and probes', 7, [
      [24, panels.firing],
      [24, panels.probes],
      [8, panels.latencyByModel],
      [8, panels.tokens],
      [8, panels.spend],
    ]),
    g.row.collapsed('Budgets, rate limits and model shutdowns', 8, [
      [8, panels.budgets],
      [8, panels.limits],
      [8, panels.retiring],
    ]),
  ])
