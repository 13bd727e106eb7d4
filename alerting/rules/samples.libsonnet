// SPDX-License-Identifier: Apache-2.0
// Samples of probes and datasets, one per probe interval: each evaluation counts as one event of its service level.
// A probe that is answered from the cache has no availability sample, hence is no event.
local duration = import '../lib/duration.libsonnet';
local match = import '../lib/match.libsonnet';
local series = import '../lib/series.libsonnet';
local text = import '../lib/text.libsonnet';

function(config)
  local without = text.fill('without (%s)', config.instanceLabels);
  local good = 'openai_probe_availability_good{%s} == 1';

  // Events and good ones of a share of good probes that keep a bound in seconds.
  local underBound(slo, metric) = [
    {
      record: series.sampleEvents('probe', slo),
      expr: text.fill('count %s (%s{%s} and %s)', [without, metric, config.selector, good % config.selector]),
    },
    {
      record: series.sampleGood('probe', slo),
      expr: text.fill('sum %s (\n%s\n)', [without, match.first(
        'slo.' + slo + '.bounds',
        config.slo[slo].bounds,
        function(matchers, entry)
          text.fill('  (%s{%s} and %s) <= bool %s', [
            metric,
            match.selector(config.selector, matchers),
            good % config.selector,
            text.number(entry.bound),
          ])
      )]),
    },
  ];

  // The datasets that usage counters come from.
  local usage = 'dataset!~"costs|names|limits|peak_minute|cost_drift"';
  local up(selector) = text.fill('max %s (openai_usage_up{%s})', [without, selector]);
  local unreadSince(selector) = text.fill('max %s (openai_usage_unread_since_timestamp_seconds{%s})', [without, selector]);
  local freshness = [
    {
      record: series.dataAge,
      expr: text.fill('min %s (time() - openai_usage_last_success_timestamp_seconds{%s})', [without, config.selector]),
    },
    {
      record: series.dataAgeBound,
      expr: match.first('slo.freshness.bounds', config.slo.freshness.bounds, function(matchers, entry)
        local selector = match.selector(config.selector, matchers);
        text.fill('0 * (%s or %s) + %s', [up(selector), unreadSince(selector), text.number(entry.bound)])),
    },
    {
      // Only of what no replica has read: the time since it was first asked for.
      record: series.dataUnreadAge,
      expr: text.fill('(time() - %s) unless %s', [unreadSince(config.selector), series.dataAge]),
    },
    {
      // A first refresh may take its time: until the bound has passed it is no event.
      record: series.sampleEvents('dataset', 'freshness'),
      expr: text.fill('0 * (%s or %s > %s) + 1', [up(config.selector), series.dataUnreadAge, series.dataAgeBound]),
    },
    {
      // A dataset that was never read has no age, and is not fresh.
      record: series.sampleGood('dataset', 'freshness'),
      expr: text.fill('%s <= bool %s\nor\n0 * %s', [series.dataAge, series.dataAgeBound, series.sampleEvents('dataset', 'freshness')]),
    },
    {
      record: series.usageFresh,
      expr: text.fill(|||
        min by (job, organization) (%(age)s{%(usage)s} <= bool %(bound)s)
        or
        0 * group by (job, organization) (last_over_time(%(age)s{%(usage)s}[%(memory)s]))
      |||, { age: series.dataAge, bound: series.dataAgeBound, usage: usage, memory: duration.scaled(config, '1h') }),
    },
  ];

  [{
    name: 'openai-samples',
    interval: duration.scaled(config, config.probeInterval),
    rules:
      underBound('latency', 'probe_duration_seconds')
      + underBound('first_token', 'openai_probe_time_to_first_token_seconds')
      + freshness
      + [
        {
          record: series.freshOutcome,
          expr: text.fill(|||
            sum %(without)s (
              openai_probe_outcome{%(selector)s} == 1
              and ignoring (outcome) openai_probe_availability_valid{%(selector)s}
            )
          |||, { without: without, selector: config.selector }),
        },
        {
          record: series.goodDuration,
          expr: text.fill('avg %s (probe_duration_seconds{%s} and %s)', [without, config.selector, good % config.selector]),
        },
      ],
  }, {
    name: 'openai-latency',
    rules: [{
      // Long ranges read this series, never the many buckets.
      record: series.modelLatency,
      expr: text.fill(|||
        histogram_quantile(
          0.95,
          sum by (job, target, model, le) (rate(openai_api_latency_seconds_bucket{%s, model!="", status_code=~"2.."}[%s]))
        )
      |||, [config.selector, duration.scaled(config, '20m')]),
    }],
  }]
