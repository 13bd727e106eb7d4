// SPDX-License-Identifier: Apache-2.0
// Usage: what the organizations use, by model, project, key and user.
local g = import 'lib/g.libsonnet';
local page = import 'lib/page.libsonnet';

function(config, promql, variables)
  local panels = (import 'panels/usage.libsonnet')(config, promql);

  page.new(config, 'usage')
  + page.downloads(config, {
    organization: 'organization',
    project_id: 'project',
    api_key_id: 'key',
    user_id: 'user',
    model: 'model',
  })
  + g.dashboard.withTime('now-7d')
  + g.dashboard.withTimezone('utc')
  + g.dashboard.withRefresh('5m')
  + g.dashboard.withVariables([
    variables.datasource,
    variables.organization,
    variables.project,
    variables.key,
    variables.user,
    variables.model,
  ])
  + g.dashboard.withRows([
    g.row.new('Tokens, requests and cost in the time range', 4, [
      [3, panels.total],
      [3, panels.input],
      [3, panels.output],
      [4, panels.requests],
      [4, panels.cost],
      [4, panels.billed],
      [3, panels.cached],
    ]),
    g.row.new('Tokens and requests', 9, [
      [8, panels.totalTokens],
      [8, panels.inputOutput],
      [8, panels.requestsPerHour],
    ]),
    g.row.new('Cost', 9, [
      [24, panels.costPerDay],
    ]),
    g.row.new('By model, project, key and user', 9, [
      [12, panels.byModel],
      [12, panels.byProject],
      [24, panels.models],
      [16, panels.keys],
      [8, panels.users],
    ]),
    g.row.collapsed('Ratios', 9, [
      [8, panels.inputPerRequest],
      [8, panels.outputPerInput],
      [8, panels.cachedShare],
    ]),
    g.row.collapsed('Time of day and expected range', 8, [
      [12, panels.peakHours],
      [12, panels.anomaly],
    ]),
    g.row.collapsed('Cache writes, audio, images and tools in the time range', 4, [
      [5, panels.cacheWrites],
      [3, panels.audioTokens],
      [4, panels.images],
      [4, panels.speech],
      [4, panels.transcribed],
      [4, panels.tools],
    ]),
    g.row.collapsed('Last month', 8, [
      [24, panels.previous],
    ]),
  ])
