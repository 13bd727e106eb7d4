// SPDX-License-Identifier: Apache-2.0
// What all pages of this bundle share: uid, title, links to the neighbours, annotations.
local annotation = import 'annotation.libsonnet';
local dashboard = import 'dashboard.libsonnet';
local link = import 'link.libsonnet';
local metric = import 'metric.libsonnet';

local tag = 'openai-exporter';
// Key in config.dashboards -> title and what a visitor finds there.
local pages = [
  ['overview', 'Overview', 'Is it up, is it fast, what does it cost, what is near a limit, what fires'],
  ['probes', 'Probes', 'Latency, first token, errors, rate limits, and the provider beside our own view'],
  ['usage', 'Usage', 'Tokens and requests by model, project, key and user'],
  ['costs', 'Costs and budgets', 'Month to date, forecast, budgets, who spends on what'],
  ['slo', 'Service levels', 'Error budgets, burn rates, when a budget will be gone'],
  ['models', 'Models and keys', 'Retirements, served snapshots, key hygiene, project limits'],
  ['exporter', 'Exporter', 'Freshness of the figures, API calls, scrapes, what probing costs'],
];

{
  // new(config, key): the page that config.dashboards gives a uid.
  new(config, key):
    local own = std.filter(function(page) page[0] == key, pages)[0];
    dashboard.new(config.dashboards[key], 'OpenAI / ' + own[1], own[2])
    + dashboard.withTags([tag])
    + dashboard.withLinks([link.dashboards(tag, 'OpenAI pages', 'The neighbours of this page, with the same time range and variables')])
    + dashboard.withAnnotations([
      annotation.grafana,
      annotation.prometheus(
        'Alerts',
        '%s{alertname=~"OpenAI.*",alertstate="firing",severity=~"critical|warning"}' % metric.scrape.alerts,
        '{{alertname}}',
        '{{severity}} {{target}} {{model}} {{organization}}',
        'orange'
      ),
      annotation.prometheus(
        'Provider incidents',
        'max by (impact) (%s{%s,impact!~"none|maintenance"}) > 0' % [metric.status.incident, config.selector],
        'Provider incident',
        '{{impact}}',
        'purple'
      ),
    ]),
}
