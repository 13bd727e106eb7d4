// SPDX-License-Identifier: Apache-2.0
// Exporter: whether its figures can be trusted, and what it costs to have them.
local g = import 'lib/g.libsonnet';
local page = import 'lib/page.libsonnet';

function(config, promql, variables)
  local panels = (import 'panels/exporter.libsonnet')(config, promql);

  page.new(config, 'exporter')
  + g.dashboard.withVariables([variables.datasource, variables.organization, variables.target, variables.model])
  + g.dashboard.withRows([
    g.row.new('At a glance', 4, [
      [4, panels.scraped],
      [4, panels.config],
      [4, panels.loaded],
      [4, panels.version],
      [4, panels.prices],
      [4, panels.uptime],
    ]),
    g.row.new('Data freshness', 8, [
      [12, panels.age],
      [12, panels.up],
      [12, panels.buckets],
      [12, panels.statusPage],
    ]),
    g.row.new('API calls', 8, [
      [6, panels.calls],
      [6, panels.failures],
      [6, panels.refreshDuration],
      [6, panels.refreshCalls],
    ]),
    g.row.new('Cost of probing', 4, [
      [4, panels.spendDay],
      [4, panels.probeTokens],
      [4, panels.perProbe],
      [4, panels.stopped],
      [4, panels.unpriced],
      [4, panels.cached],
    ]),
    g.row.collapsed('Probing over time', 8, [
      [8, panels.spend],
      [8, panels.inFlight],
      [8, panels.connections],
    ]),
    g.row.collapsed('Scrapes', 9, [
      [12, panels.scrapeDuration],
      [12, panels.seriesCount],
    ]),
    g.row.collapsed('Process', 7, [
      [8, panels.cpu],
      [8, panels.memory],
      [8, panels.scrapeSamples],
      [6, panels.refused],
      [6, panels.notSent],
      [6, panels.storage],
      [6, panels.clock],
    ]),
  ])
