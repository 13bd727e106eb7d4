// SPDX-License-Identifier: Apache-2.0
// What counters grew by, every few minutes and by few labels, so that a page over a month adds up small numbers and
// reads no counter. Each growth is the difference to the reading before: nothing is extrapolated. What grew while a scrape
// or the exporter was missing is in the first evaluation after it, with three limits:
// - of buckets, what an exporter counted between the last evaluation and its end is lost, for they begin at 0 again;
// - where Prometheus misses evaluations, the readings of one step (the one before the stop) are in none;
// - after a gap of more than a day (usage) or an hour (buckets) growth begins anew.
local duration = import '../lib/duration.libsonnet';
local series = import '../lib/series.libsonnet';
local text = import '../lib/text.libsonnet';

function(config)
  local without = text.fill('without (%s)', config.instanceLabels);

  // Buckets begin at 0 with the exporter's process: a fall is a restart, and what appears beside others is new.
  local bucketStep = duration.scaled(config, '5m');
  local buckets(metric, labels, matchers='') =
    local step = bucketStep;
    local now = text.fill('%s{%s%s}', [metric, config.selector, matchers]);
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

  // Usage begins at 0 with the month (UTC). On its first day any fall is a new month, on the second one below half is
  // (nothing could be read before), and later none: that is a correction. Where one replica goes on, nothing fell: another
  // is gone that was ahead of it. That looks back two steps, for replicas turn the month one after the other.
  // They show the same figures, so they are joined with max. The API itself is late by minutes, and bars are an hour at least.
  local usageStep = duration.scaled(config, '10m');
  local usage(metric) =
    local step = usageStep;
    local it = text.fill('%s{%s}', [metric, config.selector]);
    local readings = text.fill('max_over_time(%s[%s])', [it, step]);
    local readingsBefore = text.fill('max_over_time(%s[%s] offset %s)', [it, step, step]);
    local now = text.fill('max %s (%s)', [without, readings]);
    // Of replicas that are gone since long only where there is no other: they may end with the month before.
    local before = text.fill(|||
      max %(without)s (%(readingsBefore)s)
      or
      max %(without)s (last_over_time(%(it)s[%(memory)s] offset %(step)s))
    |||, { without: without, readingsBefore: readingsBefore, it: it, step: step, memory: duration.scaled(config, '1d') });
    // In this order: a month that was seen to begin (0) and has passed the old one already; what was added; a new month;
    // and what a series grew by within the step, where there is no reading before or it is not to be compared with.
    text.fill(|||
      sum by (job, organization, operation, project_id, api_key_id, user_id, model) (
        max %(without)s (
          last_over_time(%(it)s[%(step)s]) == %(readings)s
          and min_over_time(%(it)s[%(step)s]) == 0
          and %(readingsBefore)s > 0
        )
        or
        (
          (
            %(now)s
            - (
              %(before)s
            )
          )
          >= 0
        )
        or
        (
          (
            %(now)s
            < scalar(clamp_min(3 - day_of_month(), 0) / 2) * (
              %(before)s
            )
          )
          unless
          max %(without)s (%(readings)s >= max_over_time(%(it)s[%(twice)s] offset %(step)s))
        )
        or
        max %(without)s (last_over_time(%(it)s[%(step)s]) - min_over_time(%(it)s[%(step)s]))
      )
    |||, {
      now: now,
      before: text.indent(before, 8),
      readings: readings,
      readingsBefore: readingsBefore,
      without: without,
      it: it,
      step: step,
      twice: duration.scaled(config, '20m'),
    });
  // Cached tokens are a part of the input.
  local counters = { input: 'input_tokens', cached: 'input_cached_tokens', output: 'output_tokens' };
  // A group for each counter, since one reads it fifteen times: no burst of them all, and none delays another.
  local grown(name, growth, direction=null) =
    local labels = if direction == null then {} else { labels: { direction: direction } };
    // Read over less than the step, so that what is no longer recorded is not taken again.
    local without(level, absent, of='key_user_model') = {
      local recorded = series.growthOf(of, growth) + (if direction == null then '' else '{direction="' + direction + '"}'),
      record: series.growthOf(level, growth),
      expr: text.fill('sum without (%s) (last_over_time(%s[%s]))', [absent, recorded, duration.scaled(config, '5m')]),
    } + labels;
    {
      name: 'openai-usage-growth-' + std.strReplace(name, '_', '-'),
      interval: usageStep,
      rules: [
        { record: growth, expr: usage('openai_usage_' + name + '_total') } + labels,
        without('key_user', 'model'),
        without('project_model', 'api_key_id, user_id'),
        without('project', 'model', 'project_model'),
        without('model', 'project_id', 'project_model'),
      ],
    };

  [
    {
      name: 'openai-probe-growth',
      interval: bucketStep,
      rules: [
        {
          record: series.latencyGrowth,
          // Of good answers: failures come fast or at the deadline, and would be told as latency.
          expr: buckets('openai_api_latency_seconds_bucket', 'job, target, model, endpoint', ', status_code=~"2.."'),
        },
        {
          record: series.endpointLatencyGrowth,
          // Over less than the step, as of usage.
          expr: text.fill('sum without (model) (last_over_time(%s[%s]))', [series.latencyGrowth, duration.scaled(config, '2m')]),
        },
        {
          record: series.firstTokenGrowth,
          expr: buckets('openai_api_time_to_first_token_seconds_bucket', 'job, target, model'),
        },
      ],
    },
    grown('requests', series.requestsGrowth),
    grown('estimated_cost_usd', series.costGrowth),
  ] + [
    grown(counters[direction], series.tokensGrowth, direction)
    for direction in std.objectFields(counters)
  ]
