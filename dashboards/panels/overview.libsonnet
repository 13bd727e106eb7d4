// SPDX-License-Identifier: Apache-2.0
// Panels of the overview: one figure or chart for each question, with a link to the page that explains it.
local series = import '../../alerting/lib/series.libsonnet';
local g = import '../lib/g.libsonnet';
local metric = import '../lib/metric.libsonnet';
local words = import '../lib/words.libsonnet';

local panel = g.panel;
local query = g.query;
local override = g.override;
local threshold = g.threshold;

function(config, promql)
  local page = config.dashboards;
  local why = 'Open the page that explains this';
  local to(key) = panel.withLinks([g.link.panel(page[key], why)]);
  local probe = promql.probe;
  local organization = promql.organization;
  local tile(key, title, description, unit, queries, noValue) =
    panel.stat.new(title, description, unit, queries) + panel.withNoFigure(noValue) + panel.withDataLinks([g.link.data(page[key], why)]);

  {
    // --- Is it up, is it fast?
    success:
      tile('probes', 'Success', 'Share of valid probes of the last 15 minutes that got the expected answer. Our own faults (key, quota, request) are no valid probes.', 'percentunit', [
        query.instant('sum(sum_over_time(%s[15m])) / sum(sum_over_time(%s[15m]))' % [
          probe(metric.probe.availability_good),
          probe(metric.probe.availability_valid),
        ], 'success'),
      ], words.short.probes)
      + panel.withMax(1)
      + panel.withThresholds(threshold.falling(0.9, 0.99)),
    latency:
      tile('probes', 'Latency p95', 'The duration that 95 % of the probes of the last 15 minutes stayed under, all endpoints together.', 's', [
        query.instant(promql.quantile(0.95, metric.api.latency_seconds, range='15m'), 'p95'),
      ], words.short.probes)
      + panel.withThresholds(threshold.plain('blue')),
    firstToken:
      tile('probes', 'First token p95', 'Time to the first visible token that 95 % of the streamed probes of the last 15 minutes stayed under.', 's', [
        query.instant(promql.quantile(0.95, metric.api.time_to_first_token_seconds, range='15m'), 'p95'),
      ], words.short.streams)
      + panel.withThresholds(threshold.plain('blue')),
    budgetLeft:
      tile('slo', 'Error budget left', 'What is left of the availability error budget of the probe that has least of it. Below zero the objective is missed.', 'percentunit', [
        query.instant('min(%s)' % probe(series.budgetRemaining('probe'), 'slo="availability"'), 'left'),
      ], words.short.recorded)
      + panel.withDecimals(0)
      + panel.withThresholds(threshold.falling(0, 0.25)),
    provider:
      tile('probes', 'Provider says', "Unresolved incidents on the provider's status page, maintenance aside.", 'none', [
        query.instant('sum(%s)' % promql.one(promql.own(metric.status.incident, 'impact!~"none|maintenance"')), 'incidents'),
      ], words.short.status)
      + panel.withMappings([
        g.mapping.values({ '0': ['All clear', 'green'], '1': ['1 incident', 'orange'] }),
        g.mapping.range(2, null, 'Incidents', 'orange'),
      ]),
    alerts:
      panel.stat.new('Alerts firing', 'Alerts of this bundle that fire now with severity critical or warning.', 'none', [
        query.instant('count(%s{alertname=~"OpenAI.*",alertstate="firing",severity=~"critical|warning"}) or vector(0)' % metric.scrape.alerts, 'firing'),
      ])
      + panel.withMappings([g.mapping.values({ '0': ['None', 'green'] })])
      + panel.withThresholds(threshold.notice(1)),

    // --- What does it cost, what is near a limit?
    today:
      tile('costs', 'Spent today', 'Billed since midnight UTC. The API books costs with a delay of hours.', 'currencyUSD', [
        query.instant(promql.sum(organization(metric.costs.day_usd, 'window="today"')), 'today'),
      ], words.short.costs),
    month:
      tile('costs', 'Month to date', 'Billed since the first of the month (UTC).', 'currencyUSD', [
        query.instant('sum(%s)' % organization(series.costMonth), 'month to date'),
      ], words.short.costs),
    forecast:
      tile('costs', 'Forecast', 'What the month will cost at the mean of the last seven whole days.', 'currencyUSD', [
        query.instant('sum(%s)' % organization(series.forecast), 'forecast'),
      ], words.short.costs),
    fullestBudget:
      tile('costs', 'Fullest budget', 'Share spent of the budget that is nearest to its limit.', 'percentunit', [
        query.instant('max(%s)' % organization(series.budgetRatio), 'spent'),
      ], words.short.budgets)
      + panel.withDecimals(0)
      + panel.withThresholds(threshold.rising(0.8, 1)),
    headroom:
      tile('probes', 'Rate limit left', 'Share left of the rate limit that is nearest to its end, from the headers of the last answers.', 'percentunit', [
        query.instant('min(%s)' % probe(series.headroom), 'left'),
      ], words.short.none)
      + panel.withDecimals(0)
      + panel.withThresholds(threshold.falling(config.thresholds.headroom.share, 3 * config.thresholds.headroom.share)),
    retirement:
      tile('models', 'Next retirement', 'Time until the API shuts down a model that is probed or was used in the last seven days.', 's', [
        query.instant('min((%s - time()) and on (model) %s)' % [
          'min by (model) (%s)' % promql.select(metric.model.shutdown_timestamp_seconds, ['target=~"$target"']),
          series.modelInUse,
        ], 'shutdown'),
      ], words.short.none)
      + panel.withDecimals(0)
      + panel.withThresholds(threshold.falling(7 * 86400, 30 * 86400)),

    // --- Courses
    probes:
      panel.stateTimeline.new('Probes', "Share of each probe's calls that succeeded, worst first to the eye: green is all, red is less than half. Blue marks our own faults (key, quota, request), which say nothing about the provider.", 'percentunit', [
        query.range(promql.orWhyAllTheTime(promql.shares('module, model'), probe(metric.probe.availability_valid), 'module', words.short.probes), panel.stateTimeline.room + '{{module}} {{model}}') + query.withMinStep('2m'),
      ])
      + panel.withNoValue(words.probes)
      + panel.stateTimeline.withShares
      + to('probes'),
    latencyByModel:
      panel.timeSeries.new('Latency by model, p95', 'The duration that 95 % of the probes of each model stayed under, in the slowest twenty minutes of each step; of its slowest target.', 's', [
        query.range(promql.models(promql.slowest), '{{model}}') + query.withMinStep('5m'),
      ])
      + panel.withNoValue(words.probes)
      + panel.timeSeries.withFill(0)
      + panel.withDataLinks([g.link.data(page.probes, 'Probes of this model', { model: '__field.labels.model' })])
      + to('probes'),
    tokens:
      panel.timeSeries.bars('Tokens', 'Input and output tokens of the organizations. Each bar sums up one step, an hour at least.', 'short', [
        query.range('sum(sum_over_time(%s[$__interval]))' % organization(series.tokensGrowth, 'direction="input"'), 'input'),
        query.range('sum(sum_over_time(%s[$__interval]))' % organization(series.tokensGrowth, 'direction="output"'), 'output'),
      ])
      + panel.timeSeries.withStacking
      + panel.withNoValue(words.usage)
      + panel.withOverrides([override.byName('input', [override.color('blue')]), override.byName('output', [override.color('red')])])
      + to('usage'),
    spend:
      panel.timeSeries.new('Month so far', 'Billed so far this month, and what the whole month will cost at the pace of the last seven days.', 'currencyUSD', [
        query.range('sum(%s)' % organization(series.costMonth), 'month to date'),
        query.range('sum(%s)' % organization(series.forecast), 'forecast'),
      ])
      + panel.withNoValue(words.costs)
      + panel.withOverrides([
        override.byName('month to date', [override.color('green'), override.fillOpacity(25)]),
        override.byName('forecast', [override.color('orange'), override.dashed, override.fillOpacity(0)]),
      ])
      + panel.withTimeFrom('30d')
      + to('costs'),
    budgets:
      panel.barGauge.new('Budgets', 'Share of each budget that is spent in its period; the ten fullest.', 'percentunit', '${__field.labels.budget}', [
        query.instant('topk(10, max by (organization, budget) (%s))' % organization(series.budgetRatio), '{{budget}}'),
      ])
      + panel.withMax(1)
      + panel.withDecimals(0)
      + panel.withNoFigure(words.short.budgets)
      + panel.withThresholds(threshold.rising(0.8, 1))
      + to('costs'),

    // --- Near a limit
    limits:
      panel.barGauge.new('Rate limits used', "Share used of each model's rate limits, from the headers of the last answers; the six tightest.", 'percentunit', '${__field.labels.model}, ${__field.labels.limit_type}', [
        query.instant('topk(6, 1 - min by (model, limit_type) (%s))' % probe(series.headroom), '{{model}} {{limit_type}}'),
      ])
      + panel.withMax(1)
      + panel.withDecimals(0)
      + panel.withNoFigure(words.short.rateLimits)
      + panel.barGauge.withNamesAbove
      + panel.withThresholds(threshold.rising(1 - 3 * config.thresholds.headroom.share, 1 - config.thresholds.headroom.share))
      + to('probes'),
    retiring:
      panel.table.new('Models in use that retire', 'Models that are probed or were used in the last seven days and have a shutdown date.', 'short', [
        query.table('(%s - time()) and on (model) %s' % [
          'min by (model) (%s)' % promql.select(metric.model.shutdown_timestamp_seconds, ['target=~"$target"']),
          series.modelInUse,
        ]),
      ])
      + panel.table.withColumns([['model', 'Model'], ['Value', 'Shut down in']])
      + panel.table.withSort('Shut down in', descending=false)
      + panel.withNoValue(words.retirement)
      + panel.withOverrides([override.byName('Shut down in', [
        override.unit('s'),
        override.decimals(0),
        override.cell('color-text'),
        override.thresholds(threshold.falling(7 * 86400, 30 * 86400)),
      ])])
      + to('models'),
    firing:
      panel.table.new('What fires', 'Alerts that fire now, with what they are about. The name leads to the runbook: cause, check, action.', 'none', [
        query.table(
          'label_join(\nmax by (alertname, severity, target, module, model, organization, budget, status_page) (%s{alertname=~"OpenAI.*",alertstate="firing"}),\n"what", " ", "organization", "status_page", "budget", "target", "module", "model"\n)' % metric.scrape.alerts
        ),
      ])
      + panel.table.withColumns([
        ['severity', 'Severity'],
        ['alertname', 'Alert'],
        ['what', 'What'],
      ])
      + panel.table.withSort('Severity', descending=false)
      + panel.withNoValue(words.alerts)
      + panel.withOverrides([
        override.byName('Alert', [override.width(255), override.links([g.link.url('Runbook', config.runbookUrlPattern % '${__value.raw}')])]),
        override.byName('Severity', [
          override.width(85),
          override.cell('color-text'),
          override.mappings([g.mapping.values({ critical: ['critical', 'red'], warning: ['warning', 'orange'], info: ['info', 'blue'] })]),
        ]),
      ]),
  }
