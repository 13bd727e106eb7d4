// SPDX-License-Identifier: Apache-2.0
// The monitoring itself: exporter, scrapes, rules, delivery, and the dead man's switch.
local alert = import '../lib/alert.libsonnet';
local duration = import '../lib/duration.libsonnet';
local outcomes = import '../lib/outcomes.libsonnet';
local series = import '../lib/series.libsonnet';
local text = import '../lib/text.libsonnet';

function(config)
  local t = config.thresholds;
  local new(fields) = alert.new(config, { category: 'exporter', severity: 'warning', dashboard: 'exporter' } + fields);
  local without = text.fill('without (%s)', config.instanceLabels);
  local up = text.fill('up{%s}', config.selector);
  local window(w) = duration.scaled(config, w);
  // The last scrapes of all targets failed: as many as it takes, at any pace.
  local allFail(selector, scrapes) = duration.anyWindow(config, scrapes, function(w) text.fill(|||
    max by (job) (max_over_time(%(up)s[%(w)s])) == 0 and max by (job) (count_over_time(%(up)s[%(w)s])) >= %(scrapes)s
  |||, { up: selector, w: w, scrapes: scrapes }));
  // Scrapes that are further apart than five minutes leave gaps, which say nothing until one is missed.
  local rare(selector) = text.fill(
    '(max by () (max_over_time((count_over_time(%s[%s]))[%s:%s])) < 3)',
    [selector, window('9m'), window('6h'), window('3m')]
  );
  local probed = text.fill('up{%s, module!=""}', config.selector);

  local own = [
    new({
      name: 'OpenAIExporterDown',
      panel: 'Targets up',
      // What is gone keeps its job for some hours, by which the alert inhibits others.
      expr: allFail(up, 2) + text.fill(|||
        or
        0 * max by (job) (last_over_time(%(up)s[%(memory)s]))
        unless ignoring (job) max by () (%(up)s)
        unless ignoring (job) %(rare)s
        or
        absent(last_over_time(%(up)s[%(memory)s]))
      |||, { up: up, memory: window('6h'), rare: rare(up) }),
      'for': '2m',
      severity: 'critical',
      summary: 'All exporter targets are down; API, usage and cost are not monitored.',
      description: 'No target of the exporter has answered Prometheus for 3 minutes.',
    }),
    new({
      name: 'OpenAIExporterReplicaDown',
      panel: 'Targets up',
      expr: text.fill(|||
        max by (job, %s) (%s) == 0
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
      name: 'OpenAIScrapeFailing',
      expr: text.fill(|||
        (
          %s
        )
        and ignoring (job) max by () (%s) == 1
      |||, [text.indent(allFail(probed, 5), 2), up]),
      'for': '5m',
      severity: 'critical',
      summary: 'Scrapes of all probes fail: an API outage would not be detected.',
      description: 'Every scrape of a probe of job {{ $labels.job }} fails; each may take longer than scrape_timeout.',
    }),
    new({
      name: 'OpenAIExporterConfigReloadFailed',
      panel: 'Config',
      expr: text.fill(|||
        openai_exporter_config_last_reload_successful{%s} == 0
      |||, config.selector),
      'for': '5m',
      summary: 'The exporter rejected its new configuration and keeps the previous one.',
      description: 'The last reload on {{ $labels.instance }} failed.',
    }),
    new({
      name: 'OpenAIStackSettingsKept',
      panel: 'Config',
      expr: text.fill(|||
        max by (job, %s) (openai_exporter_stack_problems{%s}) > 0
      |||, [config.instanceLabels, config.selector]),
      'for': '5m',
      summary: 'The stack has errors in its files or variables and runs on what it accepted before.',
      description: alert.count('error keeps', 'errors keep') + ' a change of the stack on {{ $labels.instance }} from taking effect; the landing page of the exporter lists them.',
    }),
    new({
      name: 'OpenAISimulatedWithRealKey',
      expr: text.fill(|||
        max by (job, %s) (openai_exporter_simulated_with_real_key{%s}) > 0
      |||, [config.instanceLabels, config.selector]),
      'for': '5m',
      summary: 'A real key is configured, but the API is simulated: the real API is not monitored.',
      description: '{{ $labels.instance }} has ' + alert.count('real key', 'real keys') + ', and values from a simulator.',
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
      |||, { selector: config.selector, window: window(t.upstream.window), share: text.number(t.upstream.share), calls: t.upstream.minCalls }),
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
      summary: 'A probe is paused because its daily cost limit is reached.',
      description: alert.probe + ' does not call the API again before midnight UTC.',
      variables: ['target', 'model'],
    }),
    new({
      name: 'OpenAIProbeNotRun',
      panel: 'Probes not sent',
      expr: outcomes.count('exporter', 'job, target, provider'),
      'for': t.outcome['for'],
      summary: 'The exporter is not sending probes.',
      description: alert.count('probe', 'probes') + ' of {{ $labels.target }} cannot leave the exporter: too many are in flight, or it fails itself.',
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
        max by () (%(up)s) == 1
        unless max by () (%(probed)s)
        unless %(rare)s
        or
        0 * max by (job) (%(probed)s == 1)
        and on (job) max by (job) (last_over_time(%(probed)s[10m] offset %(memory)s)) >= 0
        unless on (job) sum by (job) (sum_over_time(%(fresh)s{outcome!~"exporter_busy|exporter_error|cost_limited"}[%(memory)s])) > 0
        unless on (job) max by (job) (openai_probe_cost_limited{%(selector)s}) == 1
        or
        count by (job) (%(lasting)s) >= on (job) count by (job) (%(probed)s)
      |||, {
        probed: probed,
        up: up,
        rare: rare(probed),
        memory: window('130m'),
        fresh: series.freshOutcome,
        selector: config.selector,
        lasting: text.fill('group by (job, target, module, model) (%s{%s})', [series.lastingOutcome, outcomes.matcher('exporter')]),
      }),
      'for': '5m',
      severity: 'critical',
      summary: 'No probes are running: an API outage would not be detected.',
      description: 'Prometheus has no new result of any probe{{ with $labels.job }} of job {{ . }}{{ end }}: it has no probe targets, or the probes send no requests. If nothing is to be probed, set expectProbes: false.',
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
      description: alert.count('evaluation', 'evaluations') + ' of {{ $labels.rule_group }} failed on {{ $labels.instance }} in 15 minutes; alerts may be blind.',
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
      description: alert.count('notification', 'notifications') + ' by {{ $labels.integration }} failed on {{ $labels.instance }} in 15 minutes.',
    }),
  ];

  own
  + (if config.expectProbes then probes else [])
  + (if config.prometheusSelector != '' then prometheus else [])
  + (if config.alertmanagerSelector != '' then alertmanager else [])
