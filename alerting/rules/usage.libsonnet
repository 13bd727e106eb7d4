// SPDX-License-Identifier: Apache-2.0
// Usage and spend by few labels. Long ranges read these series, never the many of the exporter's pages.
// Two replicas show the same figures, so replicas are joined with max before anything is summed.
local duration = import '../lib/duration.libsonnet';
local series = import '../lib/series.libsonnet';
local spike = import '../lib/spike.libsonnet';
local steady = import '../lib/steady.libsonnet';
local text = import '../lib/text.libsonnet';

function(config)
  local without = text.fill('without (%s)', config.instanceLabels);
  local perHour(metric, labels) = text.fill(|||
    sum by (%s) (
      max %s (
        %s
      )
    )
  |||, [
    labels,
    without,
    text.indent(steady.increase(text.fill('%s{%s}', [metric, config.selector]), duration.scaled(config, '1h')), 4),
  ]);

  // The history of a key leaves out the last day, and is not moved by what OpenAIKeySpendSpike has reported for less than a
  // week: a runaway does not become usual while it lasts. Where an organization is known and its key is not, the key spent 0.
  local key = {
    cost: series.keyCost,
    total: series.estimatedCost,
    week: duration.scaled(config, '7d'),
    step: duration.scaled(config, '20m'),
    offset: duration.scaled(config, '20h'),
  };
  local history(name, expr) = {
    record: name,
    expr: text.fill(|||
      (
        last_over_time(%(name)s[%(memory)s])
        and on (job, organization, project_id, api_key_id) %(alerted)s
      )
      or
      %(expr)sor
      0 * %(cost)s
    |||, { name: name, memory: duration.scaled(config, '1h'), alerted: spike.alerted(config), expr: expr, cost: series.keyCost }),
  };

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
      // The most expensive rules: an hour of every usage series. Not slower than the five minutes of Prometheus' lookback.
      interval: duration.scaled(config, '4m'),
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
          record: series.keyCost,
          expr: perHour('openai_usage_estimated_cost_usd_total', 'job, organization, project_id, api_key_id'),
        },
        {
          record: series.estimatedCost,
          expr: text.fill('sum by (job, organization) (%s)', series.keyCost),
        },
        {
          record: series.operationModelRequests,
          expr: perHour('openai_usage_requests_total', 'job, organization, operation, model'),
        },
        {
          record: series.operationRequests,
          expr: text.fill('sum by (job, organization, operation) (%s)', series.operationModelRequests),
        },
        {
          record: series.modelRequests,
          expr: text.fill('sum by (model) (%s)', series.operationModelRequests),
        },
        {
          record: series.modelInUse,
          expr: inUse,
        },
      ],
    },
    {
      name: 'openai-key-history',
      interval: duration.scaled(config, '3m'),
      rules: [
        history(series.keyUsual, text.fill(|||
          sum_over_time(%(cost)s[%(week)s:%(step)s] offset %(offset)s)
          / on (job, organization) group_left ()
          (count_over_time(%(total)s[%(week)s:%(step)s] offset %(offset)s) > 0)
        |||, key)),
        history(series.keyPeak, text.fill('max_over_time(%(cost)s[%(week)s:%(step)s] offset %(offset)s)\n', key)),
      ],
    },
  ]
