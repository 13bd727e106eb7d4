// SPDX-License-Identifier: Apache-2.0
// The monitoring itself: exporter, scrapes, rules, delivery, and the dead man's switch.
local alert = import '../lib/alert.libsonnet';
local duration = import '../lib/duration.libsonnet';
local outcomes = import '../lib/outcomes.libsonnet';
local text = import '../lib/text.libsonnet';

function(config)
  local t = config.thresholds;
  local new(fields) = alert.new(config, { category: 'exporter', severity: 'warning', dashboard: 'exporter' } + fields);
  local without = text.fill('without (%s)', config.instanceLabels);
  local up = text.fill('up{%s}', config.selector);
  local window = duration.scaled(config, t.upstream.window);

  local own = [
    new({
      name: 'OpenAIExporterDown',
      panel: 'Targets up',
      // The last part: one of several clusters is gone.
      expr: text.fill(|||
        max by () (%(up)s) == 0
        or
        absent(%(up)s)
        or
        (
          max by () (last_over_time(%(up)s[%(memory)s]))
          unless
          max by () (%(up)s)
        )
      |||, { up: up, memory: duration.scaled(config, '6h') }),
      'for': '3m',
      severity: 'critical',
      summary: 'No exporter can be scraped: nothing is known of the API, usage or cost.',
      description: 'No target of the exporter has answered Prometheus for 3 minutes.',
    }),
    new({
      name: 'OpenAIExporterReplicaDown',
      panel: 'Targets up',
      expr: text.fill(|||
        max by (%s) (%s) == 0
      |||, [config.instanceLabels, up]),
      'for': '5m',
      summary: 'A replica of the exporter cannot be scraped.',
      description: 'No target of {{ $labels.instance }} has answered Prometheus for 5 minutes.',
    }),
    new({
      name: 'OpenAIScrapeFailing',
      panel: 'Slowest scrapes',
      expr: text.fill(|||
        %(up)s == 0
        and on (%(instance)s) max by (%(instance)s) (%(up)s) == 1
      |||, { up: up, instance: config.instanceLabels }),
      'for': '10m',
      summary: 'One target of the exporter cannot be scraped, while others can.',
      description: 'The scrape of{{ with $labels.module }} probe {{ . }} {{ $labels.target }} {{ $labels.model }}{{ end }}{{ with $labels.organization }} organization {{ . }}{{ end }} on {{ $labels.instance }} fails; it may take longer than scrape_timeout.',
    }),
    new({
      name: 'OpenAIExporterConfigReloadFailed',
      panel: 'Config',
      expr: text.fill(|||
        openai_exporter_config_last_reload_successful{%s} == 0
      |||, config.selector),
      'for': '5m',
      summary: 'The exporter refused its new configuration and runs on the old one.',
      description: 'The last reload on {{ $labels.instance }} failed.',
    }),
    new({
      name: 'OpenAIExporterUpstreamFailing',
      panel: 'Failed calls',
      expr: text.fill(|||
        sum by (job, organization, api) (rate(openai_exporter_upstream_failures_total{%(selector)s}[%(window)s]))
        / (sum by (job, organization, api) (rate(openai_exporter_upstream_calls_total{%(selector)s}[%(window)s])) > 0)
        > %(share)s
        and
        sum by (job, organization, api) (increase(openai_exporter_upstream_calls_total{%(selector)s}[%(window)s])) >= %(calls)s
      |||, { selector: config.selector, window: window, share: text.number(t.upstream.share), calls: t.upstream.minCalls }),
      'for': t.upstream['for'],
      summary: 'Most calls to an organization or status API fail.',
      description: text.fill('{{ $value | humanizePercentage }} of the calls to {{ $labels.api }}{{ with $labels.organization }} of organization {{ . }}{{ end }} failed in the last %s.', t.upstream.window),
    }),
    new({
      name: 'OpenAIExporterRestarting',
      panel: 'Uptime',
      expr: text.fill(|||
        changes(process_start_time_seconds{%s}[1h]) >= %s
      |||, [config.selector, t.restarts]),
      'for': '5m',
      summary: 'The exporter restarts again and again.',
      description: '{{ $labels.instance }} started {{ $value }} times in the last hour.',
    }),
    new({
      name: 'OpenAIProbeCostLimited',
      panel: 'Cost of probing',
      expr: text.fill(|||
        max %s (openai_probe_cost_limited{%s}) == 1
      |||, [without, config.selector]),
      'for': '5m',
      summary: 'A probe stands still because its daily cost limit is used up.',
      description: alert.probe + ' does not call the API again before midnight UTC.',
      variables: ['target', 'model'],
    }),
    new({
      name: 'OpenAIProbeNotRun',
      panel: 'Probes not sent',
      expr: outcomes.lasting(config, 'exporter', 'job, target, provider'),
      'for': t.outcome['for'],
      summary: 'The exporter does not get to probe.',
      description: '{{ $value }} of the probes of {{ $labels.target }} do not leave the exporter: too many are in flight, or it fails itself.',
      variables: ['target'],
    }),
    new({
      name: 'OpenAIClockSkew',
      panel: 'Clock offset',
      expr: text.fill(|||
        abs(max %s (openai_usage_clock_offset_seconds{%s})) > %s
      |||, [without, config.selector, t.clockSkewSeconds]),
      'for': '15m',
      summary: 'The clock of the exporter differs from that of the API.',
      description: 'The clocks differ by {{ $value | humanizeDuration }}; days and months begin at the wrong moment.',
    }),
    new({
      name: 'Watchdog',
      expr: 'vector(1)\n',
      'for': '0s',
      severity: 'none',
      summary: 'Always fires, to prove that alerts are delivered.',
      description: 'When this stops arriving, Prometheus, Alertmanager or the way between them is broken.',
      dashboard: 'overview',
    }),
  ];

  local probes = [
    new({
      name: 'OpenAIProbesMissing',
      expr: text.fill(|||
        absent(up{%s, module!=""})
      |||, config.selector),
      'for': '15m',
      summary: 'Nothing is probed.',
      description: 'Prometheus knows no probe of the exporter; set expectProbes: false if that is meant.',
    }),
  ];

  local prometheus = [
    new({
      name: 'OpenAIRuleEvaluationFailing',
      expr: text.fill(|||
        sum by (instance, rule_group) (increase(prometheus_rule_evaluation_failures_total{%s, rule_group=~".*;openai-.+"}[15m])) > 0
      |||, config.prometheusSelector),
      'for': '5m',
      summary: 'Prometheus cannot evaluate rules of this bundle.',
      description: '{{ $value | humanize }} evaluations of {{ $labels.rule_group }} failed on {{ $labels.instance }} in 15 minutes; alerts may be blind.',
    }),
  ];

  local alertmanager = [
    new({
      name: 'OpenAIAlertDeliveryFailing',
      expr: text.fill(|||
        sum by (instance, integration) (increase(alertmanager_notifications_failed_total{%s}[15m])) > 0
      |||, config.alertmanagerSelector),
      'for': '10m',
      severity: 'critical',
      summary: 'Alertmanager cannot deliver notifications.',
      description: '{{ $value | humanize }} notifications by {{ $labels.integration }} failed on {{ $labels.instance }} in 15 minutes.',
    }),
  ];

  own
  + (if config.expectProbes then probes else [])
  + (if config.prometheusSelector != '' then prometheus else [])
  + (if config.alertmanagerSelector != '' then alertmanager else [])
