// SPDX-License-Identifier: Apache-2.0
// Panels of the probes: how fast and how reliable the API is for us.
local series = import '../../alerting/lib/series.libsonnet';
local g = import '../lib/g.libsonnet';
local metric = import '../lib/metric.libsonnet';
local words = import '../lib/words.libsonnet';

local panel = g.panel;
local query = g.query;
local override = g.override;
local threshold = g.threshold;

function(config, promql)
  local probe = promql.probe;
  local byProbe = 'target, module, model';
  local blues = { p50: 'light-blue', p95: 'blue', p99: 'purple', 'p99.9': 'dark-purple' };
  local percentileColors = panel.withOverrides([override.byName(p, [override.color(blues[p])]) for p in std.objectFields(blues)]);
  local tile(title, description, unit, queries, noValue=words.short.probes) =
    panel.stat.new(title, description, unit, queries)
    + panel.withNoFigure(noValue)
    + panel.withThresholds(threshold.plain('blue'));
  local percentile(q) = promql.quantile(q, metric.api.latency_seconds);
  local overRange(q) = query.instant(promql.quantile(q, metric.api.latency_seconds, range='$__range'), 'p%g' % (100 * q));
  local headroom = config.thresholds.headroom.share;
  // The bound of what no other entry matches.
  local bound(slo) = config.slo[slo].bounds[std.length(config.slo[slo].bounds) - 1].bound;
  local objective(slo) = panel.withThresholds(threshold.rising(0.8 * bound(slo), bound(slo)));
  // A line of windows that are a hundredth of the range: more points would only read each sample more often.
  local rolling = panel.withMaxDataPoints(200);
  local compared = panel.timeSeries.withFill(0) + panel.timeSeries.withLegendTable();
  // Outcomes of probes by who has to act, in the colour of the timelines; what matches none is the API's failure.
  local outcomes = import '../../alerting/lib/outcomes.libsonnet';
  local ours = std.flattenArrays([outcomes.kinds[kind] for kind in std.objectFields(outcomes.kinds) if kind != 'rateLimit']);

  {
    // --- Over the whole time range
    up:
      tile('Up now', 'Probes whose last result was a success, of all that are scraped now.', 'percentunit', [
        query.instant(promql.upOf('max by (%s) (%s)' % [byProbe, probe(metric.probe.success)]), '{{text}}'),
      ], words.short.unknown)
      + panel.stat.withTextMode('name')
      + panel.withThresholds(threshold.falling(0.5, 1)),
    success:
      tile('Success', 'Ratio of valid probes in the time range that succeeded. Probes with client-side errors (key, quota, request) are not valid.', 'percentunit', [
        query.instant(promql.success('$__range'), 'success'),
      ])
      + panel.withDecimals(2)
      + panel.withThresholds(threshold.falling(0.95, 0.99)),
    median:
      tile('p50', 'Latency: median duration of successful probes in the time range.', 's', [overRange(0.5)], words.short.good),
    tail: tile('p95', 'Latency: 95th percentile of the duration of successful probes in the time range. Red: at or over the objective of ' + bound('latency') + ' s.', 's', [overRange(0.95)], words.short.good)
          + objective('latency'),
    firstToken:
      tile('TTFT p95', '95th percentile of the time to the first visible token of streamed probes in the time range. Red: at or over the objective of ' + bound('first_token') + ' s.', 's', [
        query.instant(promql.quantile(0.95, metric.api.time_to_first_token_seconds, range='$__range'), 'p95'),
      ], words.short.good)
      + objective('first_token'),
    failures:
      tile('Failures', 'Probes in the time range that failed, for whatever reason.', 'short', [
        query.instant('round(sum(increase(%s[$__range])) or 0 * sum(increase(%s[$__range])))' % [probe(metric.api.errors), probe(metric.api.requests)], 'failures'),
      ])
      + panel.withDecimals(0)
      + panel.withThresholds(threshold.notice(1)),

    // --- Latency
    percentiles:
      panel.timeSeries.new('Latency', 'Duration of successful probes, from the start of the request to the end of the response, in windows of twenty minutes or more. The dots are single probes with their request id.', 's', [
        query.range(percentile(0.5), 'p50'),
        query.range(percentile(0.95), 'p95'),
        query.range(promql.withExemplarsOf(metric.api.latency_seconds, percentile(0.99)), 'p99') + query.withExemplars,
        query.range(percentile(0.999), 'p99.9'),
      ])
      + percentileColors
      + rolling
      + panel.timeSeries.withFill(0)
      + panel.timeSeries.withLegendTable()
      + panel.timeSeries.withObjective(bound('latency'))
      + panel.withNoValue(words.probes),
    heatmap:
      panel.heatmap.new('Latency, distribution', 'How many successful probes took how long, in windows of twenty minutes or more; a second band shows what percentiles hide.', 's', [
        query.heatmap(promql.orWhyAllTheTime(promql.buckets(metric.api.latency_seconds, 'le', '$window'), probe(metric.api.latency_seconds), 'le', words.short.good)),
      ])
      + panel.withMaxDataPoints(100)
      + panel.withNoValue(words.probes),
    byModel:
      panel.timeSeries.new('Latency by model, p95', '95th percentile of the duration of successful probes by model, in the slowest twenty minutes of each step; of its slowest target.', 's', [
        query.range(promql.models(promql.slowest), '{{model}}'),
      ])
      + compared
      + panel.withNoValue(words.probes),
    byEndpoint:
      panel.timeSeries.new('Latency by endpoint, p95', '95th percentile of the duration of successful probes by endpoint.', 's', [
        query.range(promql.quantile(0.95, metric.api.latency_seconds, by='endpoint'), '{{endpoint}}'),
      ])
      + rolling
      + compared
      + panel.withNoValue(words.probes),
    anomaly:
      panel.timeSeries.new('Latency and expected range', 'Mean duration of successful probes in the last hour, of the slowest probe, and the range that is expected from the same hour of the days before. Above it for long, an alert fires.', 's', [
        query.range('max(%s)' % probe(series.anomalyUpper, 'anomaly="latency"'), 'expected range'),
        query.range('max(%s)' % probe(series.anomalyLower, 'anomaly="latency"'), 'range, bottom'),
        query.range('max(%s)' % probe(series.anomalyLevel, 'anomaly="latency"'), 'slowest probe'),
      ])
      + panel.timeSeries.withFill(0)
      + panel.timeSeries.withBand('expected range', 'range, bottom', 'super-light-blue')
      + panel.withOverrides([override.byName('slowest probe', [override.color('blue')])])
      + panel.withNoValue(words.learning),

    // --- Streams
    firstTokenByModel:
      panel.timeSeries.new('Time to first token', 'Time from the start of the request to the first visible token of streamed probes, by model.', 's', [
        query.range(promql.models(promql.quantile(q, metric.api.time_to_first_token_seconds, by='model'), 6), '{{model}} p%g' % (100 * q))
        for q in [0.5, 0.95]
      ])
      + rolling
      + compared
      + panel.withNoValue(words.streams),
    tokensPerSecond:
      panel.timeSeries.new('Output tokens per second', 'Speed of the stream after its first token, by model.', 'short', [
        query.range(promql.models('avg by (model) (avg_over_time(%s[$__interval]))' % probe(metric.probe.output_tokens_per_second)), '{{model}}'),
      ])
      + compared
      + panel.withNoValue(words.pace),
    gaps:
      panel.timeSeries.new('Inter-token latency', 'Mean and longest gap between visible tokens of a stream; a long one is a stall that people see.', 's', [
        query.range(promql.models('avg by (model) (avg_over_time(%s[$__interval]))' % probe(metric.probe.inter_token_seconds_mean), 6), '{{model}} mean'),
        query.range(promql.models('max by (model) (max_over_time(%s[$__interval]))' % probe(metric.probe.inter_token_seconds_max), 6), '{{model}} longest'),
      ])
      + compared
      + panel.withNoValue(words.pace),

    // --- Where the time goes
    phases:
      panel.timeSeries.new('Phases of a request', 'Mean time in each phase, stacked. Processing runs from the last byte sent to the first byte received; resolve, connect and tls are zero on a reused connection.', 's', [
        query.range('avg by (phase) (avg_over_time(%s[$__interval]))' % probe(metric.probe.http_duration_seconds), '{{phase}}'),
      ])
      + panel.timeSeries.withStacking
      + panel.timeSeries.withFill(60)
      + panel.withOverrides([
        override.byName(phase[0], [override.color(phase[1]), override.lineWidth(0)])
        for phase in [['resolve', 'yellow'], ['connect', 'orange'], ['tls', 'purple'], ['processing', 'blue'], ['transfer', 'green']]
      ])
      + panel.withNoValue(words.probes),
    provider:
      panel.timeSeries.new('Provider and network', "The API's own processing time (header openai-processing-ms), the rest up to the first byte, and the first event of a stream.", 's', [
        query.range('avg(avg_over_time(%s[$__interval]))' % probe(metric.probe.server_processing_seconds), 'API processing'),
        query.range('avg(avg_over_time(%s[$__interval]))' % probe(metric.probe.network_seconds), 'network and edge'),
        query.range('avg(avg_over_time(%s[$__interval]))' % probe(metric.probe.time_to_first_event_seconds), 'first event'),
      ])
      + panel.timeSeries.withFill(0)
      + panel.withOverrides([
        override.byName(line[0], [override.color(line[1])])
        for line in [['API processing', 'blue'], ['network and edge', 'purple'], ['first event', 'light-blue']]
      ])
      + panel.withNoValue(words.probes),

    // --- Errors
    errors:
      panel.timeSeries.bars('Failures by type', 'Probes that failed in each step, by outcome and HTTP status. Red: the API failed; orange: too slow, or no connection; yellow: rate limits; blue: client-side errors. The runbook of an alert says what each outcome means.', 'short', [
        query.range(promql.orNone(
          'label_replace(round(sum by (error_type, status_code) (increase(%s[$__interval]))) > 0, "status_code", "no response", "status_code", "0")' % probe(metric.api.errors),
          'error_type',
          'no failures',
          probe(metric.api.requests)
        ), '{{error_type}} {{status_code}}'),
      ], '5m')
      + panel.timeSeries.withStacking
      + panel.withShades('red')
      + panel.withOverrides([
        override.byRegexp('/^(timeout|connect|dns|tls|truncated)/', [override.color('orange')]),
        override.byRegexp('/^(%s)/' % std.join('|', outcomes.kinds.rateLimit), [override.color('yellow')]),
        override.byRegexp('/^(%s) /' % std.join('|', ours), [override.shades('blue')]),
        override.byRegexp('/^no failures/', [override.color('green')]),
      ])
      + panel.withDecimals(0)
      + panel.withNoValue(words.probes),
    states:
      panel.stateTimeline.new('Each probe', 'Success ratio of each probe: green is 99 % and more, red is less than half. Blue: client-side errors (key, quota, request), which say nothing about the provider.', 'percentunit', [
        query.range(promql.orWhyAllTheTime(promql.shares(byProbe), probe(metric.probe.availability_valid), 'module', words.short.probes), panel.stateTimeline.room + '{{target}} {{module}} {{model}}'),
      ])
      + panel.stateTimeline.withShares
      + panel.withNoValue(words.probes),

    // --- Limits and the provider
    headroom:
      panel.timeSeries.new('Rate limit headroom', 'Remaining ratio of the rate limits, from the headers of the responses; the lowest of all models for each limit.', 'percentunit', [
        query.range('min by (limit_type) (min_over_time(%s[$__interval]))' % probe(series.headroom), '{{limit_type}}'),
      ])
      + panel.withMax(1)
      + panel.timeSeries.withFill(0)
      + panel.timeSeries.withThresholdLine
      + panel.withThresholds(threshold.steps([['red', null], ['transparent', headroom]]))
      + panel.withNoValue(words.rateLimits),
    limits:
      panel.table.new('Rate limits now', 'Limits by the headers of the last responses: what is allowed in the window, what is left, and when the window resets.', 'short', [
        query.table(promql.orWhy('min by (target, model, limit_type) (%s)' % probe(metric.limit.limit), 'model', words.short.rateLimits)),
      ] + [
        query.table('min by (target, model, limit_type) (%s)' % probe(metric.limit[what]))
        for what in ['remaining', 'reset_seconds']
      ])
      + panel.table.withColumns([
        ['target', 'Target'],
        ['model', 'Model'],
        ['limit_type', 'Limit'],
        ['Value #A', 'Allowed'],
        ['Value #B', 'Left'],
        ['Value #C', 'Resets in'],
      ])
      + panel.withOverrides([override.byName('Resets in', [override.unit('s')]), override.byName('Model', [override.width(150)]), override.byName('Limit', [override.width(115)])])
      + panel.withNoValue(words.rateLimits),
    components:
      panel.stateTimeline.new('Provider status', "Components of the provider's status page that matter to the API, with the state that it gives them.", 'none', [
        query.range(
          promql.orWhyAllTheTime(std.join('\nor\n', [
            '%d * (max by (component) (max_over_time(%s[$__interval])) == 1)' % [
              state[0],
              promql.own(metric.status.component, 'state="%s",component=~"%s"' % [state[1], config.statusComponents]),
            ]
            for state in [[4, 'major_outage'], [3, 'partial_outage'], [2, 'degraded_performance'], [1, 'under_maintenance'], [0, 'operational']]
          ]), promql.own(metric.status.component, 'component=~"%s"' % config.statusComponents), 'component', 'No status page is read'),
          '{{component}}'
        ),
      ])
      + panel.withMappings([g.mapping.values({
        '0': ['Operational', 'green'],
        '1': ['Maintenance', 'blue'],
        '2': ['Degraded', 'yellow'],
        '3': ['Partial outage', 'orange'],
        '4': ['Major outage', 'red'],
      })])
      + panel.withNoValue(words.status),
    ownView:
      panel.timeSeries.new('Measured availability', 'Ratio of valid probes that succeeded, by target.', 'percentunit', [
        query.range('sum by (target) (sum_over_time(%s[$__interval])) / sum by (target) (sum_over_time(%s[$__interval]))' % [
          probe(metric.probe.availability_good),
          probe(metric.probe.availability_valid),
        ], '{{target}}'),
      ])
      + panel.withMax(1)
      + panel.timeSeries.withFill(0)
      + panel.withNoValue(words.probes),

    // --- The last probe of each
    last:
      panel.table.new('Latest results', "What each probe found last, and how much of its deadline it took. The exporter's own page shows its log and request id.", 'none', [
        query.table(promql.orWhy('max by (%s, outcome) (%s == 1)' % [byProbe, probe(metric.probe.outcome)], 'model', words.short.probes)),
        query.table('max by (%s) (%s)' % [byProbe, probe(metric.probe.duration_seconds)]),
        query.table('max by (%s) (%s)' % [byProbe, probe(metric.probe.http_status_code)]),
        query.table('max by (%s) (%s / %s)' % [byProbe, probe(metric.probe.duration_seconds), probe(metric.probe.timeout_seconds)]),
        query.table('max by (%s) (%s)' % [byProbe, probe(metric.probe.cached_age_seconds)]),
        query.table('max by (%s) (%s)' % [byProbe, probe(metric.probe.backoff_seconds)]),
        query.table('(min by (%s) (%s) - time()) / 86400' % [byProbe, probe(metric.probe.ssl_earliest_cert_expiry)]),
      ])
      + panel.table.withColumns([
        ['target', 'Target'],
        ['module', 'Module'],
        ['model', 'Model'],
        ['outcome', 'Outcome'],
        ['Value #C', 'HTTP'],
        ['Value #B', 'Duration'],
        ['Value #D', 'Deadline'],
        ['Value #E', 'Age'],
        ['Value #F', 'Backoff'],
        ['Value #G', 'Certificate'],
      ])
      + panel.withOverrides([
        override.byName('Module', [override.width(115)]),
        override.byName('Model', [override.width(185)]),
        override.byName('Outcome', [override.width(145), override.cell('color-text'), override.mappings([g.mapping.values({ success: ['success', 'green'] })]), override.thresholds(threshold.plain('orange'))]),
        override.byRegexp('Duration|Age|Backoff', [override.unit('s')]),
        override.byName('HTTP', [override.width(60), override.mappings([g.mapping.values({ '0': ['–', 'text'] })])]),
        override.byName('Certificate', [override.width(95), override.unit('suffix: days'), override.decimals(0)]),
        override.byName('Deadline', [
          override.width(120),
          override.unit('percentunit'),
          override.max(1),
          override.cell('gauge'),
          override.thresholds(threshold.rising(config.thresholds.nearDeadline.share, 1)),
        ]),
      ])
      + panel.withNoValue(words.probes),
  }
