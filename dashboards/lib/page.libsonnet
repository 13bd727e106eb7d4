// SPDX-License-Identifier: Apache-2.0
// What all pages of this bundle share: uid, title, links to the neighbours, annotations.
local annotation = import 'annotation.libsonnet';
local dashboard = import 'dashboard.libsonnet';
local link = import 'link.libsonnet';
local metric = import 'metric.libsonnet';

local tag = 'openai-exporter';
// Key in config.dashboards -> title, what a visitor finds there, and the alerts that are its subject.
local pages = [
  ['overview', 'Overview', 'Is it up, is it fast, what does it cost, what is near a limit, what fires', 'category!=""'],
  ['probes', 'Probes', 'Latency, first token, errors, rate limits, and the provider next to our measurements', 'category=~"availability|latency|limits"'],
  ['usage', 'Usage', 'Tokens and requests by model, project, key and user', 'category=~"usage|cost"'],
  ['costs', 'Costs and budgets', 'Month to date, forecast, budgets, who spends on what', 'category="cost"'],
  ['slo', 'Service levels', 'Error budgets, burn rates, when an error budget runs out', 'category=~"availability|latency"'],
  ['models', 'Models and keys', 'Retirements, served snapshots, key hygiene, project limits', 'category=~"models|keys|limits"'],
  ['exporter', 'Exporter', 'Data age, API calls, scrapes, what probing costs', 'category=~"exporter|freshness"'],
];
// Alerts as regions, one for each name and severity: each probe's own would lie over each other until nothing shines through.
local alerts(subject, severity, color) = annotation.prometheus(
  { critical: 'Critical alerts', warning: 'Warnings' }[severity],
  'max by (alertname) (%s{alertname=~"OpenAI.*",alertstate="firing",severity="%s",%s})' % [metric.scrape.alerts, severity, subject],
  '{{alertname}}',
  severity,
  color
);

{
  // Category of alerts -> uid of the page that shows them: [[uid, 'a|b'], ...].
  ofCategories(config): [
    [config.dashboards[pair[0]], pair[1]]
    for pair in [
      ['probes', 'availability|latency|limits|status'],
      ['costs', 'cost'],
      ['usage', 'usage'],
      ['models', 'models|keys'],
      ['exporter', 'exporter|freshness'],
    ]
  ],

  // Links to the exporter's daily figures of what a page shows.
  downloads(config, parameters):
    local url = config.exporterUrl + '/api/v1/usage/daily';
    if config.exporterUrl == '' then {} else {
      links+: [
        link.api(url + '?format=csv&', 'CSV', 'Each day of the time range with these variables, as CSV', parameters),
        link.api(url + '?', 'JSON', 'Each day of the time range with these variables, as JSON', parameters),
      ],
    },

  // new(config, key): the page that config.dashboards gives a uid.
  new(config, key):
    local own = std.filter(function(page) page[0] == key, pages)[0];
    dashboard.new(config.dashboards[key], 'OpenAI / ' + own[1], own[2])
    + dashboard.withTags([tag])
    + dashboard.withLinks([link.dashboards(tag, 'OpenAI dashboards', 'The other dashboards, with the same time range and variables')])
    + dashboard.withAnnotations([
      annotation.grafana,
    ] + [
      alerts(own[3], severity[0], severity[1])
      // The overview has them all in a table.
      for severity in [['critical', 'red']] + (if key == 'overview' then [] else [['warning', 'orange']])
    ] + [
      annotation.prometheus(
        'Provider incidents',
        'max(%s{%s,impact!~"none|maintenance"}) > 0' % [metric.status.incident, config.selector],
        'Provider incident',
        'An unresolved incident on the status page',
        'purple'
      )
      for _ in std.filter(function(concerned) concerned == key, ['overview', 'probes', 'slo'])
    ]),
}
