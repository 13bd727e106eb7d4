// SPDX-License-Identifier: Apache-2.0
// Panels of the overview: one figure or chart for each question, with a link to the page that explains it.
local series = import '../../alerting/lib/series.libsonnet';
local g = import '../lib/g.libsonnet';
local metric = import '../lib/metric.libsonnet';
local layout = import '../lib/page.libsonnet';
local words = import '../lib/words.libsonnet';

local panel = g.panel;
local query = g.query;
local override = g.override;
local threshold = g.threshold;

function(config, promql)
  local page = config.dashboards;
  local why = 'Open the dashboard that explains this';
  local to(key) = panel.withLinks([g.link.panel(page[key], why)]);
  local probe = promql.probe;
  local organization = promql.organization;
  local bound(slo) = config.slo[slo].bounds[std.length(config.slo[slo].bounds) - 1].bound;
  // Shares without the tails of binary fractions.
  local tight = config.thresholds.headroom.share, roomy = std.round(300 * tight) / 100;
  local shutdown = promql.lasting(promql.select(metric.model.shutdown_timestamp_seconds, ['target=~"$target"']));
  local linked(key) = panel.withDataLinks([g.link.data(page[key], why)]);
  local tile(key, title, description, unit, queries, noValue) =
    panel.stat.new(title, description, unit, queries) + panel.withNoFigure(noValue) + linked(key);
  local latency(title, description, slo, name) =
    tile('probes', title, description + ' Red: at or over the objective of %g s.' % bound(slo), 's', [
      query.instant(promql.quantile(0.95, name, range='15m'), 'p95'),
    ], words.short.good)
    + panel.withThresholds(threshold.rising(0.8 * bound(slo), bound(slo)));

  local spending(title, description, expr, ratio, period) =
    local exprs = promql.byBudget(expr, ratio, period, function(selected) promql.current(selected, ' @ end()'));
    panel.stat.ofBudget(title, description, exprs, query.range) + panel.stat.withSparkline + linked('costs');

  {
    // --- Is it up, is it fast?
    up:
      tile('probes', 'Up now', 'Probes whose last result was a success, of all that are scraped now.', 'percentunit', [
        query.instant(promql.upOf('max by (target, module, model) (%s)' % probe(metric.probe.success)), '{{text}}'),
      ], words.short.unknown)
      + panel.stat.withTextMode('name')
      + panel.withThresholds(threshold.falling(0.5, 1)),
    success:
      tile('probes', 'Success', 'Ratio of valid probes in the time range that succeeded. Probes with client-side errors (key, quota, request) are not valid.', 'percentunit', [
        query.instant(promql.success('$__range'), 'success'),
      ], words.short.probes)
      + panel.withDecimals(2)
      + panel.withThresholds(threshold.falling(0.95, 0.99)),
    latency: latency('Latency p95', '95th percentile of the duration of successful probes over the last 15 minutes, all endpoints together.', 'latency', metric.api.latency_seconds),
    firstToken: latency('TTFT p95', '95th percentile of the time to the first visible token of streamed probes over the last 15 minutes.', 'first_token', metric.api.time_to_first_token_seconds),
    budgetLeft:
      tile('slo', 'Error budget left', 'What is left of the availability error budget of the probe that has least of it. Below zero the objective is missed.', 'percentunit', [
        query.range(promql.course('min(%s)' % promql.current(probe(series.budgetRemaining('probe'), 'slo="availability"'))), 'left'),
      ], words.short.recorded)
      + panel.stat.withSparkline
      + panel.withDecimals(0)
      + panel.withThresholds(threshold.falling(0, 0.25)),
    provider:
      tile('probes', 'Provider incidents', "Unresolved incidents on the provider's status page, maintenance aside; unknown while the page cannot be read.", 'none', [
        query.instant('sum(max by (status_page, impact) (%s) and on (status_page) max_over_time(%s[10m]) == 1)' % [
          promql.own(metric.status.incident, 'impact!~"none|maintenance"'),
          promql.own(metric.status.up),
        ], 'incidents'),
      ], words.short.unknown)
      + panel.withMappings([g.mapping.values({ '0': ['None', 'green'] })])
      + panel.withThresholds(threshold.notice(1)),
    alerts:
      panel.stat.new('Alerts firing', 'Alerts of this bundle that fire now; unknown while its rules are not loaded.', 'none', [
        query.instant(promql.noneWhere('count(%s)' % promql.firing('severity="%s"' % severity), promql.rulesLoaded), severity)
        for severity in ['critical', 'warning']
      ])
      + panel.withNoFigure(words.short.unknown)
      + panel.withThresholds(threshold.notice(1))
      + panel.withOverrides([override.byName('critical', [override.thresholds(threshold.steps([['green', null], ['red', 1]]))])]),

    // --- What does it cost, what is near a limit?
    today:
      spending('Spent today', 'Billed since midnight UTC. The API books costs with a delay of hours.', promql.sum(promql.current(organization(metric.costs.day_usd, 'window="today"'))), series.budgetRatio, 'day'),
    month:
      spending('Month to date', 'Billed since the first of the month (UTC).', 'sum(%s)' % promql.current(organization(series.costMonth)), series.budgetRatio, 'month'),
    forecast:
      spending('Forecast', 'What the month will cost at the mean of the last seven full days.', 'sum(%s)' % promql.current(organization(series.forecast)), series.budgetForecast, 'month'),
    fullestBudget:
      tile('costs', 'Highest budget use', 'Used ratio of the budget that is closest to its limit.', 'percentunit', [
        query.instant('max(%s)' % organization(series.budgetRatio), 'used'),
      ], words.short.budgets)
      + panel.withDecimals(0)
      + panel.withThresholds(threshold.rising(0.8, 1)),
    headroom:
      tile('probes', 'Rate limit headroom', 'Remaining ratio of the rate limit that is closest to exhaustion, from the headers of the last responses; unknown if none has them.', 'percentunit', [
        query.instant('min(%s)' % probe(series.headroom), 'left'),
      ], words.short.unknown)
      + panel.withDecimals(0)
      + panel.withThresholds(threshold.falling(tight, roomy)),
    retirement:
      tile('models', 'Next model shutdown', 'Time until the API shuts down a model that is probed or was used in the last seven days; a list of models that is older than ten minutes shows its age.', 'suffix: days', [
        query.instant('min((min by (model) (%s) - time()) / 86400 and on (model) %s)\nor on () 0 * group(%s) + Inf' % [shutdown, series.modelInUse, promql.lasting(probe(metric.model.info))], 'in'),
        query.instant('(%s) / 60' % promql.ageOf(promql.select(metric.model.info, ['target=~"$target"'])), 'list read'),
      ], words.short.unknown)
      + panel.withDecimals(0)
      + panel.withMappings([g.mapping.range(36500, null, 'None in use', 'green')])
      + panel.withThresholds(threshold.falling(7, 30))
      + panel.withOverrides([override.byName('list read', [override.unit('suffix: min ago'), override.thresholds(threshold.plain())])]),

    // --- Courses
    probes:
      panel.stateTimeline.new('Probes', 'Success ratio of each probe, by target: green is 99 % and more, red is less than half. Blue: client-side errors (key, quota, request), which say nothing about the provider.', 'percentunit', [
        query.range(promql.orWhyAllTheTime(promql.shares('target, module, model'), probe(metric.probe.availability_valid), 'module', words.short.probes), panel.stateTimeline.room + '{{target}} {{module}} {{model}}'),
      ])
      + panel.withNoValue(words.probes)
      + panel.stateTimeline.withShares
      + to('probes'),
    latencyByModel:
      panel.timeSeries.new('Latency by model, p95', '95th percentile of the duration of successful probes by model, in the slowest twenty minutes of each step; of its slowest target. The dashed line is the objective.', 's', [
        query.range(promql.models(promql.slowest), '{{model}}'),
      ])
      + panel.withNoValue(words.probes)
      + panel.timeSeries.withFill(0)
      + panel.timeSeries.withObjective(bound('latency'))
      + panel.withDataLinks([g.link.data(page.probes, 'Probes of this model', { model: '__field.labels.model' }, ['datasource', 'target'])])
      + to('probes'),
    tokens:
      panel.timeSeries.bars('Tokens', 'Input and output tokens of the organizations. Each bar sums up one step, an hour at least.', 'short', [
        query.range('sum(sum_over_time(%s[$__interval]))' % organization(series.growthOf('model', series.tokensGrowth), 'direction="input"'), 'input'),
        query.range('sum(sum_over_time(%s[$__interval]))' % organization(series.growthOf('model', series.tokensGrowth), 'direction="output"'), 'output'),
      ])
      + panel.timeSeries.withStacking
      + panel.withNoValue(words.usage)
      + panel.withOverrides([override.byName('input', [override.color('blue')]), override.byName('output', [override.color('red')])])
      + to('usage'),
    spend:
      panel.timeSeries.new('Cost of month', 'Billed so far this month, and what the full month will cost at the run rate of the last seven days. The last thirty days, or the range of dates that is chosen.', 'currencyUSD', [
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
      panel.barGauge.new('Budgets', 'Used ratio of each budget in its period; the ten with the highest use.', 'percentunit', '${__field.labels.budget}: ${__field.labels.whose}', [
        query.instant('sort_desc(%s)' % promql.withBounded('topk(10, max by (organization, budget, scope, id, period) (%s))' % organization(series.budgetRatio)), '{{budget}}: {{whose}}'),
      ])
      + panel.withMax(1)
      + panel.withDecimals(0)
      + panel.withNoFigure(words.short.budgets)
      + panel.withThresholds(threshold.rising(0.8, 1))
      + to('costs'),

    // --- Near a limit
    limits:
      panel.barGauge.new('Rate limits used', "Used ratio of each model's rate limits, from the headers of the last responses; the six with the highest use.", 'percentunit', '${__field.labels.model}, ${__field.labels.limit_type}', [
        query.instant('topk(6, 1 - min by (model, limit_type) (%s))' % probe(series.headroom), '{{model}} {{limit_type}}'),
      ])
      + panel.withMax(1)
      + panel.withDecimals(0)
      + panel.withNoFigure(words.short.rateLimits)
      + panel.barGauge.withNamesAbove
      + panel.withThresholds(threshold.rising(1 - roomy, 1 - tight))
      + to('probes'),
    retiring:
      panel.table.new('Retiring models in use', 'Models that are probed or were used in the last seven days and have a shutdown date, as the last list of models has it.', 'short', [
        query.table('(min by (model) (%s) - time()) / 86400 and on (model) %s' % [shutdown, series.modelInUse]),
      ])
      + panel.table.withColumns([['model', 'Model'], ['Value', 'Shut down in']])
      + panel.table.withSort('Shut down in', descending=false)
      + panel.withNoValue(words.retirement)
      + panel.withOverrides([override.byName('Shut down in', [
        override.unit('suffix: days'),
        override.decimals(0),
        override.cell('color-text'),
        override.thresholds(threshold.falling(7, 30)),
      ])])
      + to('models'),
    firing:
      local labels = 'alertname, severity, category, ' + std.join(', ', promql.telling);
      local nothing = ['Nothing fires', 'as of now'];
      local by(severity) = 'count by (%s) (%s)' % [labels, promql.firing(severity)];
      local named(expr) = 'label_join(\n%s,\n"what", " ", %s\n)' % [expr, std.join(', ', ['"%s"' % label for label in promql.telling])];
      local paged(expr) = std.foldl(
        function(expr, pair) 'label_replace(%s, "page", "%s", "category", "%s")' % [expr, pair[0], pair[1]],
        layout.ofCategories(config),
        expr
      );
      panel.table.new('Firing alerts', 'Alerts that fire now: the most severe first, and of those the oldest. Each row is what one alert is about, with the number of its windows and thresholds. The name leads to the runbook, its subject to the dashboard.', 'none', [
        query.table(
          paged(named('1 + 0 * %s\nor 2 + 0 * %s\nor 3 + 0 * %s' % [by('severity="critical"'), by('severity="warning"'), by('severity!~"critical|warning"')]))
          + '\nor on ()\nlabel_replace(label_replace(vector(4), "alertname", "%s", "", "") and on () %s, "what", "%s", "", "")' % [nothing[0], promql.rulesLoaded, nothing[1]]
          + '\nor on () label_replace(vector(NaN), "alertname", "%s", "", "")' % words.short.rules
        ),
        query.table(promql.date('min by (%s) (%s and ignoring (alertstate) %s)' % [labels, metric.scrape.active + '{alertname=~"OpenAI.*"}', promql.firing()])),
        query.table('count by (%s) (%s)' % [labels, promql.firing()]),
      ])
      + panel.table.withColumns([
        ['Value #A', 'Severity'],
        ['alertname', 'Alert'],
        ['what', 'Subject'],
        ['Value #B', 'Since'],
        ['Value #C', 'Count'],
        ['page', 'Dashboard'],
      ])
      + panel.table.withSort('Severity', descending=false)
      + panel.table.withSort('Since', descending=false)
      + panel.withNoValue(words.recorded)
      + panel.withOverrides([
        override.byName('Alert', [override.width(280), override.links([g.link.url('Runbook', std.strReplace(config.runbookUrlPattern, '%s', '${__value.raw}'))])]),
        override.byName('Subject', [override.minWidth(130), override.links([g.link.pageOf('Dashboard', 'Dashboard')])]),
        override.byName('Since', [override.width(120), override.unit('dateTimeFromNow')]),
        override.byName('Count', [override.width(65), override.decimals(0)]),
        override.byName('Dashboard', [override.hidden]),
        override.byName('Severity', [
          override.width(80),
          override.cell('color-text'),
          override.mappings([g.mapping.values({ '1': ['critical', 'red'], '2': ['warning', 'orange'], '3': ['info', 'blue'], '4': ['–', 'green'] })]),
        ]),
      ])
      + panel.table.withoutLinks(nothing + [words.short.rules]),
  }
