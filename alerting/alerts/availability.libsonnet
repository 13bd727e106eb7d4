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
  local target = 'job, target, provider';
  local probe = 'job, target, provider, module, endpoint, model';

  local shortest = burn.longWindows(config.slo)[0];
  local outcome(fields) = new({ 'for': t.outcome['for'], keep: t.outcome.keep, variables: ['target'] } + fields);

  burnAlerts.new(config, 'availability', 'probe', {
    name: 'OpenAIAvailabilityBudgetBurn',
    category: 'availability',
    summary: 'Probes of the OpenAI API fail too often.',
    description: '{{ $value | humanizePercentage }} of the valid probes of ' + alert.probe + ' failed.',
    variables: ['target', 'model'],
    told: [{ names: ['OpenAITargetDown'], labels: target }],
    labelsOfSeries: std.split(probe, ', '),
  }) + [
    new({
      name: 'OpenAITargetDown',
      // Several results of one probe, for a moment in which all probes fail is no outage.
      expr: duration.anyWindow(config, burn.minDown(config), function(window) text.fill(|||
              sum by (%(labels)s) (%(valid)s) >= %(minBad)s
              and max by (%(labels)s) (%(valid)s) >= 2
              and sum by (%(labels)s) (%(good)s) == 0
            |||, {
              labels: target,
              valid: burn.valid(config, window),
              good: burn.good(config, window),
              minBad: t.targetDown.minBad,
            }))
            + 'or\n' + burnAlerts.recurring(config, { names: ['OpenAITargetDown'], labels: target }, 'target', 'availability'),
      'for': t.targetDown['for'],
      keep: t.targetDown.keep,
      severity: 'critical',
      summary: 'Every probe of a target fails.',
      description: 'The last probes of {{ $labels.target }} ({{ $labels.provider }}) all failed.',
      variables: ['target'],
    }),
    new({
      name: 'OpenAISLOMetricAbsent',
      expr: text.fill(|||
        max without (%(instance)s) (up{%(selector)s, module!=""})
        unless ignoring (slo)
        %(events)s{slo="availability"} > 0
      |||, {
        instance: config.instanceLabels,
        selector: config.selector,
        events: series.events('probe', shortest),
      }),
      'for': '15m',
      severity: 'warning',
      summary: 'A probe has no valid events, so its SLI is unknown.',
      description: alert.probe + text.fill(' is scraped, yet gave no valid event in the last %s; an outage would go unseen. Alerts need a result per hour (min_interval).', shortest),
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
      summary: 'An error budget is exhausted.',
      description: 'The budget of {{ $labels.slo }} of ' + alert.probe + text.fill(' for %s is exhausted; remaining: {{ $value | humanizePercentage }}.', config.slo.period),
      dashboard: 'slo',
      variables: ['target', 'model'],
    }),
    outcome({
      name: 'OpenAICredentialsRejected',
      // One probe alone may lack a permission; what it says explains nothing about others.
      expr: text.fill(|||
        %(refused)s >= on (job, target) group_left () %(probes)s
        or
        label_replace(%(refused)s < on (job, target) group_left () %(probes)s, "scope", "probe", "", "")
      |||, {
        refused: outcomes.count('credentials', target),
        probes: text.fill('count by (job, target) (group without (outcome, %s) (openai_probe_outcome{%s}))', [
          config.instanceLabels,
          config.selector,
        ]),
      }),
      severity: 'critical',
      summary: 'The API rejects our credentials.',
      description: '{{ $labels.target }} rejects {{ $value }} of our probes: a wrong, revoked or unreadable key, a missing permission, or a region that is not served.',
    }),
    outcome({
      name: 'OpenAIQuotaExhausted',
      expr: outcomes.count('quota', target),
      severity: 'critical',
      summary: 'The quota is exhausted: the API rejects every paid request.',
      description: '{{ $labels.target }} rejects {{ $value }} of our probes, because credit or quota is exhausted, or the account is not active; waiting does not help.',
    }),
    outcome({
      name: 'OpenAISpendLimitReached',
      expr: outcomes.count('spendLimit', target),
      severity: 'critical',
      summary: 'A hard spend limit blocks requests.',
      description: '{{ $labels.target }} rejects {{ $value }} of our probes, because a spend limit is reached.',
    }),
    outcome({
      name: 'OpenAIModelUnavailable',
      expr: outcomes.count('model', probe),
      severity: 'critical',
      summary: 'A probed model is no longer available to this key.',
      description: 'The API answers model_not_found to ' + alert.probe + '.',
      dashboard: 'models',
      variables: ['target', 'model'],
    }),
    outcome({
      name: 'OpenAIProbeInvalid',
      expr: outcomes.count('invalid', probe) + '\n' + text.fill(|||
        or
        sum without (outcome) (sum_over_time(%(fresh)s{%(invalid)s}[%(window)s])) >= %(minBad)s
        and
        sum without (outcome) (sum_over_time(%(fresh)s{%(invalid)s}[%(window)s]))
        / (sum without (%(instance)s) (sum_over_time(%(new)s[%(window)s])) > 0)
        >= %(share)s
      |||, {
        fresh: series.freshOutcome,
        new: series.newResult,
        instance: config.instanceLabels,
        invalid: outcomes.matcher('invalid'),
        window: duration.scaled(config, t.invalid.window),
        minBad: t.invalid.minBad,
        share: text.number(t.invalid.share),
      }),
      severity: 'warning',
      summary: 'A probe gets an unexpected response, or the API rejects its request.',
      description: alert.probe + ' is rejected, redirected, filtered or gets an unexpected response; check the probe before the API.',
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
