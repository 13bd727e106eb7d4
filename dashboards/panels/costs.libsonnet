// SPDX-License-Identifier: Apache-2.0
// Panels of costs and budgets, for those who answer for the money.
local series = import '../../alerting/lib/series.libsonnet';
local g = import '../lib/g.libsonnet';
local metric = import '../lib/metric.libsonnet';
local words = import '../lib/words.libsonnet';

local panel = g.panel;
local query = g.query;
local override = g.override;
local threshold = g.threshold;
local transformation = g.transformation;

function(config, promql)
  local organization = promql.organization;
  local project = promql.project;
  local costs = metric.costs;
  local usage = metric.usage;
  local usd = 'currencyUSD';
  local tile(title, description, expr, unit=usd, noValue=words.short.costs) =
    panel.stat.new(title, description, unit, [query.instant(expr, std.asciiLower(title))])
    + panel.withNoFigure(noValue)
    + (if unit == usd then panel.withDecimals(2) else {});
  local billed(more='') = promql.one(project(costs.month_to_date_usd, more));
  local spent(by, range) = 'sum by (%s) (sum_over_time(%s[%s]))' % [by, project(series.growthOf('key_user', series.costGrowth), 'api_key_id=~"$key"'), range];
  local largest(k, expr) = 'topk(%d, %s)' % [k, expr];
  // To the page Usage of one project or key.
  local usageOf(what, name, field) =
    g.link.data(config.dashboards.usage, 'Usage of this ' + what, { [name]: field }, ['datasource', 'organization', 'project', 'key']);

  // Bars of days, stamped with their start; up to two years of them.
  local days = panel.timeSeries.withBarsFromStart + panel.withMaxDataPoints(400) + panel.withDecimals(2);

  {
    // --- The month so far
    today: panel.stat.ofBudget('Today', 'Billed since midnight UTC. The API books costs with a delay of hours.', promql.byBudget(promql.sum(organization(costs.day_usd, 'window="today"')), series.budgetRatio, 'day')),
    yesterday: tile('Yesterday', 'Billed for the full day before (UTC).', promql.sum(organization(costs.day_usd, 'window="yesterday"'))),
    month: panel.stat.ofBudget('This month', 'Billed since the first of the month (UTC); credits are deducted.', promql.byBudget('sum(%s)' % organization(series.costMonth), series.budgetRatio, 'month')),
    forecast: panel.stat.ofBudget('Forecast', 'What the month will cost: billed so far, and the mean of the last seven full days for those to come.', promql.byBudget('sum(%s)' % organization(series.forecast), series.budgetForecast, 'month')),
    previous: tile('Last month', 'Billed for the full month before (UTC).', promql.sum(organization(costs.previous_month_usd))),
    pace: tile('MoM change', 'The forecast against the month before.', 'sum(%s) / %s - 1' % [organization(series.forecast), promql.sum(organization(costs.previous_month_usd))], 'percentunit')
          + panel.withDecimals(0),

    course:
      panel.timeSeries.new('Month to date and forecast', 'Billed so far, and what the full month will cost. The band is two standard deviations of the days before; the dashed lines are the lowest monthly budget of the organization and its hard spend limit, where they are set.', usd, [
        query.range('sum(%s)' % organization(series.costMonth), 'month to date'),
        query.range('sum(%s)' % organization(series.forecast), 'forecast'),
        query.range('sum(%s)' % organization(series.forecastUpper), 'likely range'),
        query.range('sum(%s)' % organization(series.forecastLower), 'at least'),
        query.range(promql.sum(organization(metric.spend.limit_usd, 'scope="organization"')), 'spend limit'),
        query.range('min(%s)' % organization(metric.budget.limit_usd, 'scope="organization",period="month"'), 'budget'),
      ])
      + panel.withOverrides([
        override.byName('month to date', [override.color('green'), override.fillOpacity(25)]),
        override.byName('forecast', [override.color('orange'), override.fillOpacity(0)]),
        override.byName('budget', [override.color('red'), override.dashed, override.fillOpacity(0)]),
        override.byName('spend limit', [override.color('purple'), override.dashed, override.fillOpacity(0)]),
      ])
      + panel.timeSeries.withBand('likely range', 'at least', 'super-light-orange')
      + panel.withDecimals(2)
      + panel.withNoValue(words.costs),
    budgets:
      panel.barGauge.new('Budgets', 'Share of each budget that is used in its period, by what it applies to; the ten with the highest use. Orange from 80 %, red when it is used up.', 'percentunit', '${__field.labels.budget}: ${__field.labels.whose}', [
        query.instant('sort_desc(%s)' % promql.withBounded(largest(10, 'max by (organization, budget, scope, id, period) (%s)' % organization(series.budgetRatio))), '{{budget}}: {{whose}}'),
      ])
      + panel.withMax(1)
      + panel.withDecimals(0)
      + panel.withThresholds(threshold.rising(0.8, 1))
      + panel.withNoFigure(words.short.budgets),
    days:
      panel.timeSeries.bars('Cost per day', 'Billed for each day (UTC). The last bar is today, which is still running; bills grow for some hours after the day.', usd, [
        query.range(promql.inDays(promql.daily()), 'billed'),
      ], '1d')
      + days
      + panel.withColor('green')
      + panel.timeSeries.withoutLegend
      + panel.withNoValue(words.days),
    daysByProject:
      // The month as it stands at the end of the running day, which is a step of the chart.
      local lately = 'last_over_time(%s[1d] @ end() offset -1d)' % project(costs.month_to_date_usd);
      local ofMonth = promql.sum(lately, 'project_id');
      panel.timeSeries.bars('Cost per day, by project', 'Billed for each day (UTC), where costs are grouped by project_id; the eight largest projects of this month. Alert on it with cost_per_day and a project.', usd, [
        query.range(promql.inDays(promql.withProject(promql.top(8, 'project_id', ofMonth, promql.daily('project_id')), lately)), '{{project}}'),
      ], '1d')
      + days
      + panel.withDataLinks([usageOf('project', 'project', '__field.labels.project_id')])
      + panel.timeSeries.withStacking
      + panel.withNoValue(words.days),
    // --- Who and what
    byProject:
      panel.pieChart.new('This month by project', 'Billed since the first of the month; the eight largest projects.', 'prefix:$', [
        query.instant(largest(8, promql.withProject('sum by (project_id) (%s) > 0' % billed(), project(costs.month_to_date_usd))), '{{project}}'),
      ])
      + panel.withDecimals(2)
      + panel.withDataLinks([usageOf('project', 'project', '__field.labels.project_id')])
      + panel.withNoValue(words.costs),
    byLineItem:
      panel.barGauge.new('This month by line item', 'Billed since the first of the month, by the names of the invoice; the eight largest.', 'prefix:$', '${__field.labels.line_item}', [
        query.instant('sort_desc(%s)' % largest(8, 'sum by (line_item) (%s) > 0' % billed('line_item!=""')), '{{line_item}}'),
      ])
      + panel.barGauge.withNamesAbove
      + panel.withDecimals(2)
      + panel.withNoFigure(words.short.unmatchedCosts),
    byKey:
      panel.barGauge.new('This month by API key', 'Billed since the first of the month, where costs are grouped by api_key_id; the ten largest.', 'prefix:$', '${__field.labels.api_key}', [
        query.instant('sort_desc(%s)' % promql.withKey(largest(10, 'sum by (api_key_id) (%s) > 0' % billed('api_key_id=~"$key",api_key_id!=""')), project(costs.month_to_date_usd)), '{{api_key}}'),
      ])
      + panel.barGauge.withNamesAbove
      + panel.withDecimals(2)
      + panel.withDataLinks([usageOf('API key', 'key', '__field.labels.api_key_id')])
      + panel.withNoFigure('Not grouped by key'),
    spenders:
      panel.table.new('Top spenders', 'API keys by the estimated cost of their tokens in the time range; the fifty largest.', usd, [
        query.table(largest(50, promql.withProject(promql.withKey(spent('api_key_id, project_id', '$__range') + ' > 0')))),
      ])
      + panel.table.withColumns([['api_key', 'API key'], ['project', 'Project'], ['api_key_id', 'api_key_id'], ['project_id', 'project_id'], ['Value', 'Cost']])
      + panel.table.withSort('Cost')
      + panel.withOverrides([
        override.byName('Cost', override.dollars + [override.width(85)]),
        override.byName('API key', [override.width(165), override.links([usageOf('API key', 'key', '__data.fields.api_key_id')])]),
        override.byName('Project', [override.links([usageOf('project', 'project', '__data.fields.project_id')])]),
        override.byRegexp('.*_id', [override.hidden]),
      ])
      + panel.withNoValue(words.usage),
    bill:
      panel.table.new('Billed line items', 'Every project and line item since the first of the month. Inspect the panel to save it as CSV.', usd, [
        query.table(promql.withProject('sum by (project_id, line_item) (%s)' % billed(), project(costs.month_to_date_usd))),
      ])
      + panel.table.withColumns([['project', 'Project'], ['line_item', 'Line item'], ['Value', 'Billed']])
      + panel.table.withSort('Billed')
      + panel.withOverrides([override.byName('Billed', override.dollars), override.byName('Line item', [override.width(420)])])
      + panel.withNoValue(words.costs),

    // --- Budgets and limits
    budgetTable:
      panel.table.new('Budgets in detail', 'Every budget: its limit, billed and estimated cost, the ratio used, and the forecast for the end of the month at the run rate of the last week.', usd, [
        query.table(promql.orWhy(promql.withBounded('max by (organization, budget, scope, id, period) (%s)' % organization(metric.budget.limit_usd)), 'budget', words.short.budgets)),
        query.table('max by (organization, budget, scope, id, period) (%s)' % organization(metric.budget.spent_usd, 'basis="billed"')),
        query.table('max by (organization, budget, scope, id, period) (%s)' % organization(metric.budget.spent_usd, 'basis="estimated"')),
        query.table('max by (organization, budget, scope, id, period) (%s)' % organization(series.budgetRatio)),
        query.table('max by (organization, budget, scope, id, period) (%s)' % organization(series.budgetForecast)),
        query.table('max by (organization, budget, scope, id, period) (%s)' % organization(metric.budget.warn_ratio)),
        query.table('min by (organization, budget, scope, id, period) (%s)' % organization(metric.budget.remaining_usd)),
      ])
      + panel.table.withColumns([
        ['budget', 'Budget'],
        ['whose', 'Applies to'],
        ['scope', 'Scope'],
        ['period', 'Period'],
        ['Value #A', 'Limit'],
        ['Value #B', 'Billed'],
        ['Value #C', 'Est.'],
        ['Value #G', 'Left'],
        ['Value #D', 'Used'],
        ['Value #E', 'Forecast'],
        ['Value #F', 'Warns at'],
      ])
      + panel.table.withSort('Used')
      + panel.withOverrides([
        override.byRegexp('Limit|Billed|Est.|Left', override.dollars),
        override.byRegexp('Used|Forecast|Warns at', [override.unit('percentunit'), override.decimals(0)]),
        override.byName('Left', [override.cell('color-text'), override.thresholds(threshold.steps([['red', null], ['text', 0]]))]),
        override.byRegexp('Used|Forecast', [override.cell('color-text'), override.thresholds(threshold.rising(0.8, 1))]),
      ])
      + panel.withNoValue(words.budgets),
    credit:
      panel.stat.new('Credit', 'Credits of the configuration less billed costs since; computed, as the API does not say it. How long it lasts is at the mean of the last days.', usd, [
        query.instant('sum(%s)' % organization(metric.credit.balance_usd), 'left'),
        query.instant('(min(%s) - time()) / 86400' % organization(metric.credit.exhausted_timestamp_seconds), 'lasts'),
      ])
      + panel.withNoFigure(words.short.credit)
      + panel.withOverrides([
        override.byName('left', override.dollars + [override.thresholds(threshold.steps([['red', null], ['text', 0]]))]),
        override.byName('lasts', [override.unit('suffix: days'), override.decimals(0), override.thresholds(threshold.falling(1, 7))]),
      ]),
    spendLimits:
      local limits = [
        promql.withProject('%s by (scope, project_id) (%s)' % [it[0], organization(it[1])], organization(it[1]), 'all')
        for it in [['max', metric.spend.limit_usd], ['max', metric.spend.limit_enforcing], ['min', metric.spend.alert_threshold_usd]]
      ];
      local budget = organization(metric.budget.limit_usd, 'scope=~"organization|project",period="month"');
      local budgets = 'label_replace(min by (scope, id) (%s), "project_id", "$1", "id", "(.*)")' % budget;
      panel.table.new('Spend limits at the API', 'Hard limits that block requests when they are reached, and thresholds at which the API sends mail; set with `openai-exporter limits`, beside monthly budgets of the configuration, which block nothing.', usd, [
        query.table(if i == 0 then promql.orWhy(limits[i], 'project', 'No spend limits read') else limits[i])
        for i in std.range(0, std.length(limits) - 1)
      ] + [query.table(promql.withProject('max by (scope, project_id) (%s)' % budgets, budgets, 'all'))])
      + panel.table.withColumns([
        ['project', 'Scope'],
        ['Value #A', 'Limit'],
        ['Value #D', 'Budget'],
        ['Value #B', 'Blocks'],
        ['Value #C', 'Alerts at'],
      ])
      + panel.withOverrides([override.byRegexp('Limit|Budget|Alerts at', override.dollars + [override.width(110)]), override.byName('Blocks', [
        override.width(68),
        override.cell('color-text'),
        override.mappings([g.mapping.values({ '0': ['no', 'green'], '1': ['BLOCKING', 'red'] })]),
      ])])
      + panel.withNoValue(words.spendLimits),

    // --- Is the estimate right, and what is saved?
    drift:
      local month(name, by='model') = 'sum by (%s) (%s)' % [by, promql.one(organization(name, 'window="month"'))];
      local unmatched = month(metric.drift.unmatched_usd, 'line_item');
      // What belongs to no model stands under the name that the bill gives it.
      local besides(expr) = 'label_replace(%s, "model", "$1", "line_item", "(.+)")' % expr;
      panel.table.new('Estimated against billed', 'By model: list price of the tokens and billed cost, for the same days of this month, up to the newest whose billing is complete; the difference is billed less estimated. Line items that belong to no model have no estimate.', usd, [
        query.table(promql.orWhy(month(metric.drift.billed_usd) + '\nor sum by (model) (' + besides(unmatched) + ')', 'model', words.short.drift)),
        query.table(month(metric.drift.estimated_usd)),
      ])
      + panel.table.withColumns(
        [['model', 'Model or line item'], ['Value #B', 'Est.'], ['Value #A', 'Billed'], ['Bill - estimate', 'Difference']],
        [transformation.binary('Bill - estimate', 'Value #A', '-', 'Value #B')]
      )
      + panel.table.withSort('Billed')
      + panel.withOverrides([
        override.byRegexp('Est.|Billed|Difference', override.dollars + [override.width(92)]),
        override.byName('Billed', [override.width(98)]),
      ])
      + panel.withNoValue(words.drift),
    driftDay:
      tile('Bill as of', 'The newest day whose billing is complete: estimated and billed cost are compared for the days of its month up to it.', promql.date('max(%s)' % organization(metric.drift.day_timestamp_seconds)), 'time:YYYY-MM-DD', words.short.drift),
    anomaly:
      panel.timeSeries.new('Spend and expected range', 'Estimated cost of the last hour, and the range that is expected from the same hour of the days before. Above it for long, an alert fires.', usd, [
        query.range('sum(%s)' % organization(series.anomalyUpper, 'anomaly="cost"'), 'expected range'),
        query.range('sum(%s)' % organization(series.anomalyLower, 'anomaly="cost"'), 'range, bottom'),
        query.range('sum(%s)' % organization(series.anomalyLevel, 'anomaly="cost"'), 'cost per hour'),
      ])
      + panel.timeSeries.withFill(0)
      + panel.timeSeries.withBand('expected range', 'range, bottom', 'super-light-green')
      + panel.withOverrides([override.byName('cost per hour', [override.color('green')])])
      + panel.withNoValue(words.learning),
    savedByCache:
      tile('From cache', "What this month's cached input tokens would have cost more at the full input price of the invoice for the same model. Needs costs by line item.", |||
        sum(
          sum by (model) (label_replace(%(costs)s, "model", "$1", "line_item", "(.+), (?:input|input_tokens)"))
          * on (model) (
            sum by (model) (%(cached)s)
            / (sum by (model) (%(input)s) - sum by (model) (%(cached)s) > 0)
          )
          - on (model) sum by (model) (label_replace(%(cachedCosts)s, "model", "$1", "line_item", "(.+), cached.+"))
        )
      ||| % {
        costs: billed('line_item=~".+, (input|input_tokens)"'),
        cachedCosts: billed('line_item=~".+, (cached input|cached_input_tokens|input_cached_tokens)"'),
        cached: promql.one(project(usage.input_cached_tokens, 'batch!="true"')),
        input: promql.one(project(usage.input_tokens, 'batch!="true"')),
      }, noValue=words.short.unknown)
      + panel.withThresholds(threshold.plain('green')),
    savedByBatch:
      tile('From batch', 'Batch requests cost half the list price, so they saved as much as they cost. Estimated, month to date.', promql.sum(project(usage.estimated_cost_usd, 'batch="true"')), noValue=words.short.unknown)
      + panel.withThresholds(threshold.plain('green')),
    driftRatio:
      tile('Est./bill', 'The estimated cost of the month by the billed one; 100 % is right.', 'avg(%s)' % organization(series.costDrift), 'percentunit')
      + panel.withDecimals(1)
      + panel.withThresholds(threshold.steps([
        ['orange', null],
        ['green', 1 - config.thresholds.costDrift.share],
        ['orange', 1 + config.thresholds.costDrift.share],
      ])),
    unpriced:
      tile('Unpriced', 'Tokens of this month whose model has no list price; they are missing from the estimate.', promql.orUnmatched('%s or 0 * %s' % [promql.sum(project(usage.unpriced_tokens)), promql.sum(project(usage.requests))]), 'short', words.short.usage)
      + panel.stat.withSelection()
      + panel.withThresholds(threshold.notice(1)),
    skipped:
      tile('Non-USD', 'Billed rows in a currency other than US dollars; they are in no sum.', '%s or 0 * sum(%s)' % [promql.sum(organization(costs.skipped_rows)), organization(series.costMonth)], 'short', words.short.costs)
      + panel.withThresholds(threshold.notice(1)),
  }
