// SPDX-License-Identifier: Apache-2.0
// How far we are from limits: live rate-limit headers, and usage against the limits of projects.
local duration = import '../lib/duration.libsonnet';
local series = import '../lib/series.libsonnet';
local text = import '../lib/text.libsonnet';

local labels = 'job, organization, project_id, model';

function(config)
  local without = text.fill('without (%s)', config.instanceLabels);

  // Per second, by project and model. Usage names dated snapshots (x-2026-01-31), limits name their alias (x);
  // label snapshot keeps the series apart until they are summed.
  local rate(metric) = text.fill(|||
    sum by (%(labels)s) (
      label_replace(
        label_replace(
          max %(without)s (rate(%(metric)s{%(selector)s}[%(range)s])),
          "snapshot", "$1", "model", "(.*)"
        ),
        "model", "$1", "model", "(.+)-[0-9]{4}-[0-9]{2}-[0-9]{2}"
      )
    )
  |||, {
    labels: labels,
    without: without,
    metric: metric,
    selector: config.selector,
    range: duration.scaled(config, '10m'),
  });

  local used(recorded, metric, kind) = {
    record: series.projectLimitUsed,
    expr: text.fill(|||
      60 * %s
      / max by (%s) (%s{%s} > 0)
    |||, [recorded, labels, metric, config.selector]),
    labels: { limit_type: kind },
  };

  [{
    name: 'openai-limits',
    interval: duration.scaled(config, '3m'),
    rules: [
      {
        record: series.headroom,
        expr: text.fill(|||
          min %s (
            openai_api_rate_limit_remaining{%s}
            / (openai_api_rate_limit_limit{%s} > 0)
          )
        |||, [without, config.selector, config.selector]),
      },
      {
        record: series.projectRequests,
        expr: rate('openai_usage_requests_total'),
      },
      {
        record: series.projectInputTokens,
        expr: rate('openai_usage_input_tokens_total'),
      },
      {
        // Embeddings have no output tokens.
        record: series.projectTokens,
        expr: text.fill(|||
          %(input)s
          + (
            %(output)s
            or
            0 * %(input)s
          )
        |||, { input: series.projectInputTokens, output: text.indent(rate('openai_usage_output_tokens_total'), 2) }),
      },
      used(series.projectRequests, 'openai_project_rate_limit_requests_per_minute', 'requests'),
      used(series.projectTokens, 'openai_project_rate_limit_tokens_per_minute', 'tokens'),
    ],
  }]
