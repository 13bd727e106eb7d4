// SPDX-License-Identifier: Apache-2.0
// Usage and spend by few labels. Long ranges read these series, never the many of the exporter's pages.
// Two replicas show the same figures, so replicas are joined with max before anything is summed.
local duration = import '../lib/duration.libsonnet';
local series = import '../lib/series.libsonnet';
local text = import '../lib/text.libsonnet';

function(config)
  local without = text.fill('without (%s)', config.instanceLabels);
  local one(metric) = text.fill('max %s (%s{%s})', [without, metric, config.selector]);
  local perHour(metric, labels) = text.fill(|||
    sum by (%s) (
      max %s (increase(%s{%s}[%s]))
    )
  |||, [labels, without, metric, config.selector, duration.scaled(config, '1h')]);

  local inUse = text.fill(|||
    group by (model) (max_over_time(%(requests)s[7d]) > 0)
    or
    group by (model) (openai_probe_model_info{%(selector)s})
    or
    group by (model) (
      label_replace(
        group by (served_model) (openai_probe_model_info{%(selector)s, served_model!=""}),
        "model", "$1", "served_model", "(.+)"
      )
    )
  |||, { requests: series.modelRequests, selector: config.selector });

  local input = perHour('openai_usage_input_tokens_total', 'job, organization');
  local output = text.indent(perHour('openai_usage_output_tokens_total', 'job, organization'), 2);

  [
    {
      name: 'openai-usage',
      rules: [
        {
          record: series.inputTokens,
          expr: input,
        },
        {
          // An organization that only embeds has no output tokens.
          record: series.tokens,
          expr: text.fill(|||
            %(input)s
            + (
              %(output)s
              or
              0 * %(input)s
            )
          |||, { input: series.inputTokens, output: output }),
        },
        {
          record: series.estimatedCost,
          expr: perHour('openai_usage_estimated_cost_usd_total', 'job, organization'),
        },
        {
          record: series.keyCost,
          expr: perHour('openai_usage_estimated_cost_usd_total', 'job, organization, project_id, api_key_id'),
        },
        {
          record: series.operationRequests,
          expr: perHour('openai_usage_requests_total', 'job, organization, operation'),
        },
        {
          record: series.modelRequests,
          expr: perHour('openai_usage_requests_total', 'model'),
        },
        {
          record: series.modelInUse,
          expr: inUse,
        },
      ],
    },
    {
      name: 'openai-budgets',
      rules: [
        {
          // The basis (billed or estimated) that says more counts.
          record: series.budgetRatio,
          expr: text.fill(|||
            max without (basis) (%s)
            / (%s > 0)
          |||, [one('openai_budget_spent_usd'), one('openai_budget_limit_usd')]),
        },
        {
          record: series.monthElapsed,
          expr: '(day_of_month() - 1 + hour() / 24 + minute() / 1440) / days_in_month()',
        },
        {
          record: series.monthRemainingDays,
          expr: text.fill('(1 - %s) * days_in_month()', series.monthElapsed),
        },
        {
          // At the pace of the month so far; silent while little of it is over.
          record: series.budgetForecast,
          expr: text.fill(|||
            %s{period="month"}
            / on () group_left () (%s > %s)
          |||, [series.budgetRatio, series.monthElapsed, text.number(config.thresholds.forecast.minElapsed)]),
        },
      ],
    },
  ]
