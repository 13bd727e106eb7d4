// SPDX-License-Identifier: Apache-2.0
// Billed cost, its drift from the estimate, and the forecast to the end of the month with a band.
local series = import '../lib/series.libsonnet';
local text = import '../lib/text.libsonnet';

// Two standard deviations: the band holds the result in about 19 of 20 months if days are independent.
local bandDeviations = 2;
// A band is never narrower than this share of what is still to come.
local minSpread = 0.1;

function(config)
  local sum(metric) = text.fill(|||
    sum by (job, organization) (
      max without (%s) (%s{%s})
    )
  |||, [config.instanceLabels, metric, config.selector]);

  local compared(labels, metric) = text.fill(|||
    sum by (%s) (
      max without (%s) (%s{%s, window="month"})
    )
  |||, [labels, config.instanceLabels, metric, config.selector]);

  [{
    name: 'openai-costs',
    rules: [
      {
        record: series.costMonth,
        expr: sum('openai_costs_month_to_date_usd'),
      },
      {
        record: series.modelBilled,
        expr: compared('job, organization, model', 'openai_cost_drift_billed_usd'),
      },
      {
        record: series.modelDrift,
        expr: text.fill('%s/ (%s > 0)', [
          compared('job, organization, model', 'openai_cost_drift_estimated_usd'),
          series.modelBilled,
        ]),
      },
      {
        // Like against like where the exporter compares: settled days, and line items of models only.
        record: series.costDrift,
        expr: text.fill('%s/ (%s > 0)\nor\n%s/ (%s > 0)', [
          compared('job, organization', 'openai_cost_drift_estimated_usd'),
          // A model without a price has no estimate: what it cost is no drift.
          text.fill('sum by (job, organization) (%s and %s)', [series.modelBilled, series.modelDrift]),
          sum('openai_usage_estimated_cost_usd_total'),
          series.costMonth,
        ]),
      },
      {
        record: series.costYesterday,
        expr: text.fill('sum by (job, organization) (\n  max without (%s) (openai_costs_day_usd{%s, window="yesterday"})\n)\n', [config.instanceLabels, config.selector]),
      },
      {
        record: series.costDaily,
        expr: text.fill('avg_over_time(%s[7d])', series.costYesterday),
      },
      {
        // What is still to come: the mean of the last seven whole days times the days that are left.
        record: series.costRest,
        expr: text.fill('%s * on () group_left () %s', [series.costDaily, series.monthRemainingDays]),
      },
      {
        // Half the height of the band: what the days varied by, or the least share, whichever is wider.
        record: series.forecastSpread,
        expr: text.fill(|||
          %(deviations)s * stddev_over_time(%(yesterday)s[14d])
          * on () group_left () sqrt(%(days)s)
          > %(minSpread)s * %(rest)s
          or
          %(minSpread)s * %(rest)s
        |||, {
          deviations: bandDeviations,
          yesterday: series.costYesterday,
          days: series.monthRemainingDays,
          minSpread: text.number(minSpread),
          rest: series.costRest,
        }),
      },
      {
        record: series.forecast,
        expr: text.fill('%s + %s', [series.costMonth, series.costRest]),
      },
      {
        record: series.forecastUpper,
        expr: text.fill('%s + %s', [series.forecast, series.forecastSpread]),
      },
      {
        // Never below what is billed already.
        record: series.forecastLower,
        expr: text.fill(|||
          (%(forecast)s - %(spread)s) > %(month)s
          or
          %(month)s
        |||, { forecast: series.forecast, spread: series.forecastSpread, month: series.costMonth }),
      },
    ],
  }]
