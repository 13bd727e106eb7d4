// SPDX-License-Identifier: Apache-2.0
// What counters grew by, every few minutes and by few labels, so that a page over a month adds up small numbers and
// reads no counter. Each growth is the difference to the reading before: nothing is extrapolated, and nothing is lost
// while a scrape, the exporter or Prometheus is missing; the first evaluation after it has it all.
local duration = import '../lib/duration.libsonnet';
local series = import '../lib/series.libsonnet';
local text = import '../lib/text.libsonnet';

function(config)
  local without = text.fill('without (%s)', config.instanceLabels);

  // Buckets begin at 0 with the exporter's process: a fall is a restart, and what appears beside others is new.
  local bucketStep = duration.scaled(config, '5m');
  local buckets(metric, labels) =
    local step = bucketStep;
    local now = text.fill('%s{%s}', [metric, config.selector]);
    local before = text.fill('last_over_time(%s[%s] offset %s)', [now, duration.scaled(config, '1h'), step]);
    text.fill(|||
      sum by (%(labels)s, le) (
        (
          %(now)s
          - (%(before)s <= %(now)s)
        )
        or
        %(now)s < %(before)s
        or
        %(now)s and on (job, %(instance)s) %(now)s offset %(step)s
        or
        %(now)s - min_over_time(%(now)s[%(step)s])
      )
    |||, { labels: labels, now: now, before: before, instance: config.instanceLabels, step: step });

  // Usage begins at 0 with the month (UTC): what is below half of the reading before is a new month, and what is a little
  // below it (a replica that is gone, a correction) is not. Replicas show the same figures, so they are joined with max.
  // Where there was no reading before, growth begins with the first one: 0 of what is new, the month's sum of the others.
  // The API itself is late by minutes, and bars are an hour at least.
  local usageStep = duration.scaled(config, '10m');
  local usage(metric) =
    local step = usageStep;
    local it = text.fill('%s{%s}', [metric, config.selector]);
    local now = text.fill('max %s (max_over_time(%s[%s]))', [without, it, step]);
    // Of replicas that are gone since long only where there is no other: they may end with the month before.
    local before = text.fill(|||
      max %(without)s (max_over_time(%(it)s[%(step)s] offset %(step)s))
      or
      max %(without)s (last_over_time(%(it)s[%(memory)s] offset %(step)s))
    |||, { without: without, it: it, step: step, memory: duration.scaled(config, '1d') });
    text.fill(|||
      sum by (job, organization, operation, project_id, api_key_id, user_id, model) (
        (
          %(now)s
          - (
            (
              %(before)s
            )
            <= %(now)s
          )
        )
        or
        (
          %(now)s
          < 0.5 * (
            %(half)s
          )
        )
        or
        (
          %(now)s
          - min %(without)s (min_over_time(%(it)s[%(step)s]))
        )
      )
    |||, { now: now, before: text.indent(before, 8), half: text.indent(before, 6), without: without, it: it, step: step });
  // Cached tokens are a part of the input.
  local counters = { input: 'input_tokens', cached: 'input_cached_tokens', output: 'output_tokens' };
  local tokens(direction) = {
    record: series.tokensGrowth,
    expr: usage('openai_usage_' + counters[direction] + '_total'),
    labels: { direction: direction },
  };

  [
    {
      name: 'openai-probe-growth',
      interval: bucketStep,
      rules: [
        {
          record: series.latencyGrowth,
          expr: buckets('openai_api_latency_seconds_bucket', 'job, target, model, endpoint'),
        },
        {
          record: series.firstTokenGrowth,
          expr: buckets('openai_api_time_to_first_token_seconds_bucket', 'job, target, model'),
        },
      ],
    },
    {
      name: 'openai-usage-growth',
      interval: usageStep,
      rules: [
        tokens(direction)
        for direction in std.objectFields(counters)
      ] + [
        {
          record: series.requestsGrowth,
          expr: usage('openai_usage_requests_total'),
        },
        {
          record: series.costGrowth,
          expr: usage('openai_usage_estimated_cost_usd_total'),
        },
      ],
    },
  ]
