// SPDX-License-Identifier: Apache-2.0
// Is the API fast for us: share of good probes within their bound, deadlines, and unusual latency.
local alert = import '../lib/alert.libsonnet';
local burnAlerts = import '../lib/burn_alerts.libsonnet';
local duration = import '../lib/duration.libsonnet';
local series = import '../lib/series.libsonnet';
local text = import '../lib/text.libsonnet';

function(config)
  local labels = ['job', 'target', 'provider', 'module', 'endpoint', 'model'];
  local deadline = config.thresholds.nearDeadline;
  local new(fields) = alert.new(config, { category: 'latency', dashboard: 'probes', variables: ['target', 'model'] } + fields);

  burnAlerts.new(config, 'latency', 'probe', {
    name: 'OpenAILatencyBudgetBurn',
    category: 'latency',
    summary: 'Too many successful probes are slow.',
    description: '{{ $value | humanizePercentage }} of the successful probes of ' + alert.probe + ' took longer than their limit.',
    variables: ['target', 'model'],
    labelsOfSeries: labels,
  }) + burnAlerts.new(config, 'first_token', 'probe', {
    name: 'OpenAIFirstTokenBudgetBurn',
    category: 'latency',
    summary: 'Too many streams start late.',
    description: 'In {{ $value | humanizePercentage }} of the successful probes of ' + alert.probe + ' the first token came later than its limit.',
    variables: ['target', 'model'],
    labelsOfSeries: labels,
  }) + [
    new({
      name: 'OpenAIProbeNearDeadline',
      panel: 'Latency by model, p95',
      expr: text.fill(|||
        avg_over_time(%(good)s[%(window)s])
        / (max without (%(instance)s) (probe_timeout_seconds{%(selector)s}) > 0)
        > %(share)s
      |||, {
        good: series.goodDuration,
        window: duration.scaled(config, deadline.window),
        instance: config.instanceLabels,
        selector: config.selector,
        share: text.number(deadline.share),
      }),
      'for': deadline['for'],
      severity: 'warning',
      summary: 'Successful probes come close to their deadline.',
      description: 'The successful probes of ' + alert.probe + ' use {{ $value | humanizePercentage }} of their deadline; slower ones would count as failed.',
    }),
    new({
      name: 'OpenAILatencyAnomaly',
      panel: 'Latency and expected range',
      expr: text.fill(|||
        %(level)s{anomaly="latency"} > %(upper)s
      |||, { level: series.anomalyLevel, upper: series.anomalyUpper }),
      'for': config.anomaly['for'],
      severity: 'warning',
      labels: { anomaly: 'latency' },
      summary: 'Latency is unusual for this hour of the day.',
      description: 'The successful probes of ' + alert.probe + ' took {{ $value | humanizeDuration }} on average in the last hour, above the expected range for this hour of the day.',
    }),
  ]
