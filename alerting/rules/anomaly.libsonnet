// SPDX-License-Identifier: Apache-2.0
// Anomalies: the last hour against the same hour of the days before, as a level, a baseline and a band to draw.
local duration = import '../lib/duration.libsonnet';
local series = import '../lib/series.libsonnet';
local steady = import '../lib/steady.libsonnet';
local text = import '../lib/text.libsonnet';

// Standard deviations between the quartiles of a normal distribution.
local quartiles = 1.349;

function(config)
  local anomaly = config.anomaly;
  assert duration.seconds('1d') * (anomaly.days + 1) <= duration.seconds(config.retention) :
         text.fill('anomaly.days %s: the comparison needs one day more than that, but retention is %s', [anomaly.days, config.retention]);
  assert anomaly.minDays >= 2 && anomaly.minDays <= anomaly.days :
         text.fill('anomaly.minDays %s: needs at least 2, and at most anomaly.days (%s)', [anomaly.minDays, anomaly.days]);

  local ofUsage(recorded) = text.fill('%s\nand on (job, organization) %s', [recorded, steady.usage(config)]);
  local levels = {
    tokens: ofUsage(series.tokens),
    cost: ofUsage(series.estimatedCost),
    latency: text.fill('avg_over_time(%s[1h])', series.goodDuration),
  };
  local signals = std.objectFields(levels);
  // The level at the same hour of a day that is of the same kind as this one.
  local lookback(day) = text.fill(
    'label_replace(%(level)s offset %(day)sd, "lookback", "%(day)sd", "", "") and on () %(weekend)s == %(weekend)s offset %(day)sd',
    { level: series.anomalyLevel, weekend: series.weekend, day: day }
  );
  // Median and quartiles rather than mean and deviation: one broken day must not widen the band of the days after it.
  local quantile(share) = text.fill('quantile without (lookback) (%s, %s)', [share, series.anomalyLookback]);
  local enough = text.fill('and count without (lookback) (%s) >= %s', [series.anomalyLookback, anomaly.minDays]);

  // Half the height of the band, by signal, for its floor differs.
  local margin(signal) = text.fill('clamp_min(%s * %s{anomaly="%s"}, %s)', [
    text.number(anomaly.deviations),
    series.anomalySpread,
    signal,
    text.number(anomaly.floors[signal]),
  ]);

  [{
    name: 'openai-anomalies',
    interval: duration.scaled(config, '1m'),
    rules: [
      {
        record: series.anomalyLevel,
        expr: levels[signal],
        labels: { anomaly: signal },
      }
      for signal in signals
    ] + [
      {
        // 1 on days of the weekend, else 0.
        record: series.weekend,
        expr: std.join(' + ', [text.fill('(day_of_week() == bool %s)', day) for day in anomaly.weekend] + ['vector(0)']),
      },
      {
        record: series.anomalyLookback,
        expr: std.join('\nor\n', [lookback(day) for day in std.range(1, anomaly.days)]),
      },
      {
        record: series.anomalyBaseline,
        expr: text.fill('%s\n%s', [quantile('0.5'), enough]),
      },
      {
        record: series.anomalySpread,
        expr: text.fill(|||
          (
            %(high)s
            - %(low)s
          ) / %(deviations)s > %(share)s * %(baseline)s
          or
          %(share)s * %(baseline)s
        |||, {
          high: quantile('0.75'),
          low: quantile('0.25'),
          deviations: text.number(quartiles),
          share: text.number(anomaly.minSpread),
          baseline: series.anomalyBaseline,
        }),
      },
    ] + std.flatMap(function(signal) [
      {
        record: series.anomalyUpper,
        expr: text.fill('%s{anomaly="%s"}\n+ %s', [series.anomalyBaseline, signal, margin(signal)]),
        labels: { anomaly: signal },
      },
      {
        record: series.anomalyLower,
        expr: text.fill('clamp_min(\n  %s{anomaly="%s"}\n  - %s,\n  0\n)', [series.anomalyBaseline, signal, margin(signal)]),
        labels: { anomaly: signal },
      },
    ], signals),
  }]
