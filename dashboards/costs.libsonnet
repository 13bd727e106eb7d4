// SPDX-License-Identifier: Apache-2.0
// Costs and budgets: what the month costs, whether it stays in budget, and who spends on what.
local g = import 'lib/g.libsonnet';
local page = import 'lib/page.libsonnet';

function(config, promql, variables)
  local panels = (import 'panels/costs.libsonnet')(config, promql);

  page.new(config, 'costs')
  + page.downloads(config, { organization: 'organization', project_id: 'project', api_key_id: 'key' })
  + g.dashboard.withTime('now-30d')
  + g.dashboard.withTimezone('utc')
  + g.dashboard.withRefresh('5m')
  + g.dashboard.withVariables([variables.datasource, variables.organization, variables.project, variables.key])
  + g.dashboard.withRows([
    g.row.new('Month to date', 4, [
      [4, panels.today],
      [4, panels.yesterday],
      [4, panels.month],
      [4, panels.forecast],
      [4, panels.previous],
      [4, panels.pace],
    ]),
    g.row.new('Budgets and forecast', 9, [
      [16, panels.course],
      [8, panels.budgets],
    ]),
    g.row.new('Cost per day', 8, [
      [12, panels.days],
      [12, panels.daysByProject],
    ]),
    g.row.new('Cost by project, line item and key', 10, [
      [7, panels.byProject],
      [8, panels.byLineItem],
      [9, panels.spenders],
    ]),
    g.row.new('Budget details', 7, [
      [24, panels.budgetTable],
    ]),
    g.row.new('Savings and estimate', 4, [
      [4, panels.savedByCache],
      [4, panels.savedByBatch],
      [4, panels.driftRatio],
      [4, panels.driftDay],
      [4, panels.unpriced],
      [4, panels.skipped],
    ]),
    g.row.collapsed('Expected range, estimate and limits', 9, [
      [12, panels.anomaly],
      [12, panels.drift],
      [19, panels.spendLimits],
      [5, panels.credit],
    ]),
    g.row.collapsed('Billed cost in detail', 10, [
      [16, panels.bill],
      [8, panels.byKey],
    ]),
  ])
