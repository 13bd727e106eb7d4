// SPDX-License-Identifier: Apache-2.0
// Samples of probes and datasets: each result of a probe, and each evaluation of a dataset, is one event of its service
// level. A result counts once, whatever the pace of scrapes: each has its own time, which answers from the cache repeat.
local duration = import '../lib/duration.libsonnet';
local match = import '../lib/match.libsonnet';
local outcomes = import '../lib/outcomes.libsonnet';
local series = import '../lib/series.libsonnet';
local text = import '../lib/text.libsonnet';

function(config)
  local without = text.fill('without (%s)', config.instanceLabels);
  local with = { without: without, selector: config.selector };
  local interval = duration.seconds(duration.scaled(config, config.probeInterval));
  local fill(template, more={}) = text.fill(template, with + more);
  local time = text.fill('openai_probe_last_result_timestamp_seconds{%s}', config.selector);
  // The time of the result before, across scrapes that are far apart.
  local earlier = text.fill('last_over_time(%s[%s] offset 1s)', [series.resultTime, duration.scaled(config, '1h')]);
  local results = [
    {
      record: series.resultTime,
      // Answers that do not say whose they are come from an exporter that does not say when either; an age that grows is
      // that of a result which is known already.
      expr: fill(|||
        %(time)s
        or
        (
          timestamp(openai_probe_availability_valid{%(selector)s})
          or
          timestamp(openai_probe_cached_age_seconds{%(selector)s}) - openai_probe_cached_age_seconds{%(selector)s}
          unless openai_probe_cached_age_seconds{%(selector)s}
            > openai_probe_cached_age_seconds{%(selector)s} offset %(interval)s
        )
        unless ignoring (result_source) openai_probe_result_source{%(selector)s, result_source="own"}
      |||, { time: time, interval: duration.text(interval) }),
    },
    {
      record: series.newResult,
      expr: fill(|||
        0 * %(result)s + 1 and %(result)s != %(earlier)s
        or
        0 * openai_probe_availability_valid{%(selector)s} + 1 unless %(earlier)s
      |||, { result: series.resultTime, earlier: earlier }),
    },
    {
      record: series.newGood,
      expr: fill(|||
        %(new)s and openai_probe_availability_good{%(selector)s} == 1
        or
        %(new)s and probe_success{%(selector)s} == 1 unless openai_probe_availability_valid{%(selector)s}
      |||, { new: series.newResult }),
    },
    // Results that come to this Prometheus from the cache alone, since another asks; all others are counted from the
    // probes' gauges, and so may be one that a cached answer has followed since.
    {
      record: series.sampleEvents('probe', 'availability'),
      expr: fill(|||
        sum without (outcome, %(instance)s) (
          openai_probe_outcome{%(selector)s, %(valid)s} == 1
          and ignoring (outcome) %(new)s
          unless ignoring (outcome) openai_probe_availability_valid{%(selector)s}
          unless ignoring (outcome)
            %(time)s == max_over_time((%(time)s and openai_probe_availability_valid{%(selector)s})[%(recent)s])
        )
      |||, {
        instance: config.instanceLabels,
        valid: outcomes.valid,
        new: series.newResult,
        time: time,
        recent: duration.text(2 * interval) + ':' + duration.text(interval / 6),
      }),
    },
    {
      record: series.sampleGood('probe', 'availability'),
      expr: fill(|||
        0 * %(events)s
        + sum %(without)s (%(good)s unless openai_probe_availability_valid{%(selector)s})
        or
        0 * %(events)s
      |||, { events: series.sampleEvents('probe', 'availability'), good: series.newGood }),
    },
  ];

  // Events and good ones of a share of good probes that keep a bound in seconds.
  local underBound(slo, metric) = [
    {
      record: series.sampleEvents('probe', slo),
      expr: text.fill('count %s (%s{%s} and %s)', [without, metric, config.selector, series.newGood]),
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
            series.newGood,
            text.number(entry.bound),
          ])
      )]),
    },
  ];

  // The datasets that usage counters come from.
  local usage = 'dataset!~"costs|names|limits|peak_usage|cost_drift"';
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
      results
      + underBound('latency', 'probe_duration_seconds')
      + underBound('first_token', 'openai_probe_time_to_first_token_seconds')
      + freshness
      + [
        {
          record: series.freshOutcome,
          expr: fill(|||
            sum %(without)s (openai_probe_outcome{%(selector)s} == 1 and ignoring (outcome) %(new)s)
          |||, { new: series.newResult }),
        },
        {
          // While a probe backs off, its cached answer goes on saying what the API last said.
          record: series.lastingOutcome,
          expr: outcomes.lasting(config) + text.fill(|||
            or
            last_over_time(%s[%s] offset 1s)
            and max %s (min_over_time(openai_probe_outcome{%s}[%s]) == 1)
          |||, [
            series.lastingOutcome,
            duration.scaled(config, '10m'),
            without,
            config.selector,
            duration.scaled(config, '3m'),
          ]),
        },
        {
          record: series.goodDuration,
          expr: text.fill('avg %s (probe_duration_seconds{%s} and %s)', [without, config.selector, series.newGood]),
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
