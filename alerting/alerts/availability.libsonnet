// SPDX-License-Identifier: Apache-2.0
// Is the API up for us: service level, total outage, and outcomes that are ours to repair.
local alert = import '../lib/alert.libsonnet';
local burn = import '../lib/burn.libsonnet';
local burnAlerts = import '../lib/burn_alerts.libsonnet';
local duration = import '../lib/duration.libsonnet';
local outcomes = import '../lib/outcomes.libsonnet';
local series = import '../lib/series.libsonnet';
local text = import '../lib/text.libsonnet';

function(config)
  local t = config.thresholds;
  local new(fields) = alert.new(config, { category: 'availability', dashboard: 'probes' } + fields);
  local range(text) = duration.scaled(config, text);
  local target = 'job, target, provider';
  local probe = 'job, target, provider, module, endpoint, model';

  local shortest = burn.longWindows(config.slo)[0];
  local longest = std.reverse(burn.longWindows(config.slo))[0];
  local outcome(fields) = new({ 'for': t.outcome['for'], keep: t.outcome.keep, variables: ['target'] } + fields);

  burnAlerts.new(config, 'availability', 'probe', {
    name: 'OpenAIAvailabilityBudgetBurn',
    category: 'availability',
    summary: 'Probes of the OpenAI API fail too often.',
    description: '{{ $value | humanizePercentage }} of the valid probes of ' + alert.probe + ' failed in the last %s.',
    variables: ['target', 'model'],
  }) + [
    new({
      name: 'OpenAITargetDown',
      expr: text.fill(|||
        max by (%(labels)s) (max_over_time(openai_probe_availability_good{%(selector)s}[%(window)s])) == 0
        and
        sum by (%(labels)s) (sum_over_time(openai_probe_availability_valid{%(selector)s}[%(memory)s]))
        - sum by (%(labels)s) (sum_over_time(openai_probe_availability_good{%(selector)s}[%(memory)s]))
        >= %(minBad)s
      |||, {
        labels: target,
        selector: config.selector,
        window: range(burn.downWindow(config)),
        memory: range(t.targetDown.memory),
        minBad: t.targetDown.minBad,
      }),
      'for': t.targetDown['for'],
      keep: t.targetDown.keep,
      severity: 'critical',
      summary: 'Every probe of a target fails.',
      description: text.fill('No probe of {{ $labels.target }} ({{ $labels.provider }}) has succeeded for %s.', t.targetDown.window),
      variables: ['target'],
    }),
    new({
      name: 'OpenAISLOMetricAbsent',
      expr: text.fill(|||
        max without (%(instance)s) (up{%(selector)s, module!=""})
        unless ignoring (slo)
        %(events)s{slo="availability"} > 0
        unless ignoring (slo)
        (
          %(rare)s{slo="availability"} > 0
          and ignoring (slo)
          max without (%(instance)s) (openai_probe_cached_age_seconds{%(selector)s}) > 0
        )
      |||, {
        instance: config.instanceLabels,
        selector: config.selector,
        events: series.events('probe', shortest),
        // A probe with a long min_interval is answered from the cache most of the time.
        rare: series.events('probe', longest),
      }),
      'for': '15m',
      severity: 'warning',
      summary: 'A probe has no valid event, so its service level says nothing.',
      description: alert.probe + text.fill(' is scraped, yet gave no valid event in the last %s; an outage would go unseen.', shortest),
      variables: ['target', 'model'],
    }),
    new({
      name: 'OpenAIErrorBudgetExhausted',
      expr: text.fill(|||
        %(remaining)s <= 0
        and %(bad)s >= %(minBad)s
      |||, {
        remaining: series.budgetRemaining('probe'),
        bad: series.badEvents('probe', config.slo.period),
        minBad: config.slo.burn[std.length(config.slo.burn) - 1].minBad,
      }),
      'for': '1h',
      severity: 'info',
      summary: 'An error budget is used up.',
      description: 'The budget of {{ $labels.slo }} of ' + alert.probe + text.fill(' for %s is used up; what is left: {{ $value | humanizePercentage }}.', config.slo.period),
      dashboard: 'slo',
      variables: ['target', 'model'],
    }),
    outcome({
      name: 'OpenAICredentialsRejected',
      expr: outcomes.lasting(config, 'credentials', target),
      severity: 'critical',
      summary: 'The API refuses our credentials.',
      description: '{{ $labels.target }} refuses {{ $value }} of our probes: a wrong, revoked or unreadable key, a missing permission, or a region that is not served.',
    }),
    outcome({
      name: 'OpenAIQuotaExhausted',
      expr: outcomes.lasting(config, 'quota', target),
      severity: 'critical',
      summary: 'The quota is exhausted: the API refuses every paid request.',
      description: '{{ $labels.target }} refuses {{ $value }} of our probes, because credit or quota is used up, or the account is not active; waiting does not help.',
    }),
    outcome({
      name: 'OpenAISpendLimitReached',
      expr: outcomes.lasting(config, 'spendLimit', target),
      severity: 'critical',
      summary: 'A hard spend limit blocks requests.',
      description: '{{ $labels.target }} refuses {{ $value }} of our probes, because a spend limit is reached.',
    }),
    outcome({
      name: 'OpenAIModelUnavailable',
      expr: outcomes.lasting(config, 'model', probe),
      severity: 'critical',
      summary: 'A model that is probed does not exist for us any more.',
      description: 'The API answers model_not_found to ' + alert.probe + '.',
      dashboard: 'models',
      variables: ['target', 'model'],
    }),
    outcome({
      name: 'OpenAIProbeInvalid',
      expr: outcomes.lasting(config, 'invalid', probe),
      severity: 'warning',
      summary: 'A probe gets an answer that it does not expect, or sends what the API does not accept.',
      description: alert.probe + ' is refused, redirected, filtered or answered otherwise than expected; look at the probe before the API.',
      variables: ['target', 'model'],
    }),
    new({
      name: 'OpenAICertificateExpiring',
      expr: text.fill(|||
        min by (%(labels)s) (probe_ssl_earliest_cert_expiry{%(selector)s}) - time() < %(days)s * 86400
      |||, { labels: target, selector: config.selector, days: t.certificateDays }),
      'for': '1h',
      severity: 'warning',
      summary: 'The certificate of an API endpoint expires soon.',
      description: 'The certificate of {{ $labels.target }} expires in {{ $value | humanizeDuration }}.',
      variables: ['target'],
    }),
  ]
