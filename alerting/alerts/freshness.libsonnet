// SPDX-License-Identifier: Apache-2.0
// How old the figures on usage and cost are; alerts on spend are worth no more than that.
local alert = import '../lib/alert.libsonnet';
local burnAlerts = import '../lib/burn_alerts.libsonnet';
local duration = import '../lib/duration.libsonnet';
local series = import '../lib/series.libsonnet';
local text = import '../lib/text.libsonnet';

function(config)
  local t = config.thresholds;
  local without = text.fill('without (%s)', config.instanceLabels);
  local new(fields) = alert.new(config, { category: 'freshness', severity: 'warning', dashboard: 'exporter', variables: ['organization'] } + fields);
  local labels = 'job, organization, operation';
  local refreshes = text.fill('max %s (openai_usage_up{%s})', [without, config.selector]);
  local most = text.fill('(avg by (job, organization) (%s) < 0.5)', refreshes);

  burnAlerts.new(config, 'freshness', 'dataset', {
    name: 'OpenAIFreshnessBudgetBurn',
    category: 'freshness',
    summary: 'Usage data is stale too much of the time.',
    description: '{{ $labels.dataset }} of organization {{ $labels.organization }} was older than its limit in {{ $value | humanizePercentage }} of the time.',
    variables: ['organization'],
    told: [{ names: ['OpenAIUsageDataStale', 'OpenAIUsageRefreshFailing'], labels: 'job, organization' }],
    labelsOfSeries: ['job', 'organization', 'dataset'],
  }) + [
    new({
      name: 'OpenAIUsageDataStale',
      panel: 'Data age',
      expr: text.fill(|||
        (%s or %s) > %s
      |||, [series.dataAge, series.dataUnreadAge, series.dataAgeBound]),
      'for': '5m',
      summary: 'Usage or cost data is stale, or was never read.',
      description: '{{ $labels.dataset }} of organization {{ $labels.organization }} has not been read for {{ $value | humanizeDuration }}; alerts on spend see nothing newer.',
    }),
    new({
      name: 'OpenAIUsageRefreshFailing',
      // Most datasets of an organization are one matter, such as its key; else each is one.
      expr: text.fill(|||
        %(most)s
        or
        %(up)s == 0
        unless on (job, organization) %(most)s
      |||, { most: text.indent(most, 0), up: refreshes }),
      'for': t.refreshFailing,
      summary: 'Reading usage or cost fails.',
      description: 'The last refreshes of {{ with $labels.dataset }}{{ . }}{{ else }}most datasets{{ end }} of organization {{ $labels.organization }} failed.',
    }),
    new({
      name: 'OpenAIUsageReadDoubted',
      expr: text.fill(|||
        max %s (openai_usage_loss_ratio{%s}) > 0
      |||, [without, config.selector]),
      'for': '5m',
      summary: 'A refresh lacks most of the known usage, or moves it to other labels; the last values are kept until a second one agrees.',
      description: '{{ $value | humanizePercentage }} of the known usage of {{ $labels.operation }} in organization {{ $labels.organization }} is missing or under other labels.',
    }),
    new({
      name: 'OpenAIUsageBucketsLate',
      panel: 'Age of the newest usage',
      expr: text.fill(|||
        time() - max by (%(labels)s) (openai_usage_newest_bucket_timestamp_seconds{%(selector)s}) > %(hours)s * 3600
        and
        max_over_time(%(requests)s[%(hours)sh] offset %(rest)sh) > 0
        and
        max_over_time(%(requests)s[%(hours)sh] offset %(week)sh) > 0
      |||, {
        labels: labels,
        selector: config.selector,
        hours: t.bucketsLate.hours,
        rest: 24 - t.bucketsLate.hours,
        week: 7 * 24 - t.bucketsLate.hours,
        requests: series.operationRequests,
      }),
      'for': t.bucketsLate['for'],
      summary: 'The usage API reports no new usage, though a day and a week ago there was some at this time.',
      description: 'The newest usage of {{ $labels.operation }} in organization {{ $labels.organization }} is {{ $value | humanizeDuration }} old.',
    }),
    new({
      name: 'OpenAIUsageSeriesDropped',
      panel: 'Usage series',
      expr: text.fill(|||
        max %s (openai_usage_series_dropped{%s}) > 0
      |||, [without, config.selector]),
      'for': '30m',
      severity: 'info',
      summary: 'Usage series are aggregated into `other` by the series limit.',
      description: 'The series limit aggregates {{ $value }} series of {{ $labels.operation }} in organization {{ $labels.organization }} into other.',
    }),
  ]
