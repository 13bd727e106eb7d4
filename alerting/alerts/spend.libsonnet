// SPDX-License-Identifier: Apache-2.0
// What it costs: budgets, spend limits, anomalies, and how far the estimate can be trusted.
local alert = import '../lib/alert.libsonnet';
local duration = import '../lib/duration.libsonnet';
local names = import '../lib/names.libsonnet';
local series = import '../lib/series.libsonnet';
local steady = import '../lib/steady.libsonnet';
local text = import '../lib/text.libsonnet';

function(config)
  local t = config.thresholds;
  local new(fields) = alert.new(config, { category: 'cost', severity: 'warning', dashboard: 'costs', variables: ['organization'] } + fields);
  local without = text.fill('without (%s)', config.instanceLabels);

  // Budgets of users and keys concern their owners; they warn but do not page.
  local budgets = [
    {
      name: 'OpenAIBudgetSpent',
      match: 'scope!~"user|key"',
      steps: [{ at: 'half', severity: 'info' }, { at: 'warn_ratio', severity: 'warning' }, { at: 'full', severity: 'critical' }],
      summary: 'A budget is spent to a share that asks for attention.',
    },
    {
      name: 'OpenAIUserBudgetSpent',
      match: 'scope="user"',
      steps: [{ at: 'warn_ratio', severity: 'info' }, { at: 'full', severity: 'warning' }],
      summary: 'The budget of a user is spent to a share that asks for attention.',
    },
    {
      name: 'OpenAIKeyBudgetSpent',
      match: 'scope="key"',
      steps: [{ at: 'warn_ratio', severity: 'info' }, { at: 'full', severity: 'warning' }],
      summary: 'The budget of an API key is spent to a share that asks for attention.',
    },
  ];
  local threshold(step) =
    if step.at == 'warn_ratio'
    then text.fill('max %s (openai_budget_warn_ratio{%s})', [without, config.selector])
    else text.number(t.budget[step.at]);
  local budgetAlert(budget, step) = new({
    name: budget.name,
    expr: text.fill('max_over_time(%s{%s}[%s])\n>= %s\n', [
      series.budgetRatio,
      budget.match,
      duration.scaled(config, t.budget.memory),
      threshold(step),
    ]),
    'for': t.budget['for'],
    severity: step.severity,
    labels: { threshold: step.at },
    summary: budget.summary,
    description: 'Budget {{ $labels.budget }}{{ with $labels.id }} ({{ . }}){{ end }} is spent to {{ $value | humanizePercentage }} in this {{ $labels.period }}.',
  });

  local anomaly(fields, signal, operator, band) = new({
    expr: text.fill('%s{anomaly="%s"} %s %s\n', [series.anomalyLevel, signal, operator, band]),
    'for': config.anomaly['for'],
    labels: { anomaly: signal },
  } + fields);
  local sameHour = ' the band of this hour on such days.';
  local month = 'sum by (%(labels)s) (max ' + without + ' (openai_costs_month_to_date_usd{' + config.selector + '}))';
  local limit = 'max by (%(labels)s) (openai_spend_limit_usd{' + config.selector + ', scope="%(scope)s"} > 0)';
  local spendLimitNear(scope, labels, who) = new({
    name: 'OpenAISpendLimitNear',
    expr: text.fill(month + '\n/ ' + limit + '\n> ' + text.number(t.spendLimit.share) + '\n', { labels: labels, scope: scope }),
    'for': t.spendLimit['for'],
    labels: { scope: scope },
    summary: 'A hard spend limit is close; when it is reached the API refuses requests.',
    description: who + ' has spent {{ $value | humanizePercentage }} of its hard monthly limit.',
  });
  local keySpike = text.fill(|||
    %(cost)s > %(factor)s * avg_over_time(%(cost)s[1d] offset 1h)
    and %(cost)s > %(min)s
    unless %(cost)s <= %(peak)s * max_over_time(%(cost)s[7d] offset 1d)
    and on (job, organization) %(steady)s
  |||, {
    cost: series.keyCost,
    factor: text.number(t.keySpike.factor),
    min: text.number(t.keySpike.minUsd),
    peak: text.number(t.keySpike.peak),
    steady: steady.usage(config),
  });

  [budgetAlert(budget, step) for budget in budgets for step in budget.steps] + [
    new({
      name: 'OpenAIBudgetForecastExceeded',
      expr: text.fill(|||
        %s > 1
        and %s < 1
      |||, [series.budgetForecast, series.budgetRatio]),
      'for': t.forecast['for'],
      summary: 'At the pace of this month a budget will be exceeded.',
      description: 'Budget {{ $labels.budget }}{{ with $labels.id }} ({{ . }}){{ end }} will end the month at {{ $value | humanizePercentage }} of its limit.',
    }),
    new({
      name: 'OpenAISpendLimitEnforcing',
      expr: text.fill('max %s (openai_spend_limit_enforcing{%s}) == 1\n', [without, config.selector]),
      'for': '2m',
      severity: 'critical',
      summary: 'A hard spend limit is reached and the API refuses requests now.',
      description: 'The spend limit of {{ $labels.scope }} {{ with $labels.project_id }}{{ . }}{{ else }}{{ $labels.organization }}{{ end }} is enforcing.',
    }),
    spendLimitNear('organization', 'job, organization', 'Organization {{ $labels.organization }}'),
    spendLimitNear('project', 'job, organization, project_id', 'Project {{ $labels.project_id }}'),
    anomaly({
      name: 'OpenAICostAnomaly',
      summary: 'Spend is unusually high for this hour of the day.',
      description: 'Organization {{ $labels.organization }} spent an estimated {{ $value | humanize }} USD in the last hour, above' + sameHour,
    }, 'cost', '>', series.anomalyUpper),
    anomaly({
      name: 'OpenAITokenUsageAnomaly',
      summary: 'Token usage is unusually high for this hour of the day.',
      description: 'Organization {{ $labels.organization }} used {{ $value | humanize }} tokens in the last hour, above' + sameHour,
      dashboard: 'usage',
    }, 'tokens', '>', series.anomalyUpper),
    anomaly({
      name: 'OpenAITokenUsageDrop',
      summary: 'Token usage is unusually low for this hour of the day.',
      description: 'Organization {{ $labels.organization }} used {{ $value | humanize }} tokens in the last hour, below' + sameHour,
      dashboard: 'usage',
    }, 'tokens', '<', series.anomalyLower),
    new({
      name: 'OpenAIKeySpendSpike',
      expr: names.key(config, std.stripChars(keySpike, '\n')),
      'for': t.keySpike['for'],
      summary: 'An API key spends far more than it did the day before.',
      description: 'Key ' + names.keyWords + text.fill(' of project {{ $labels.project_id }} spent an estimated {{ $value | humanize }} USD in the last hour, more than %s times its mean hour of the last day, and than any hour of the week before.', text.number(t.keySpike.factor)),
    }),
    new({
      name: 'OpenAIUnpricedModel',
      // Images are left out: no list has a price per image.
      expr: std.join('or\n', [
        text.fill(|||
          label_replace(
            sum by (job, organization, model) (max %(without)s (increase(openai_usage_unpriced_%(unit)s_total{%(selector)s}[1h]))) > 0,
            "unit", "%(words)s", "", ""
          )
        |||, { without: without, selector: config.selector, unit: unit, words: std.strReplace(unit, '_', ' ') })
        for unit in ['tokens', 'characters', 'audio_seconds']
      ]),
      'for': '15m',
      keep: '1d',
      summary: 'A model without a price is used; the estimated cost is too low.',
      description: '{{ $value | humanize }} {{ $labels.unit }} of {{ $labels.model }} were used in the last hour in organization {{ $labels.organization }}, and its price is unknown.',
    }),
    new({
      name: 'OpenAICostDrift',
      expr: text.fill(|||
        (
          abs(%(model)s - 1) > %(share)s
          and %(billed)s > %(min)s
        )
        or
        (
          abs(%(drift)s - 1) > %(share)s
          and %(month)s > %(min)s
          and on () %(elapsed)s > %(minElapsed)s
          unless on (job, organization) %(billed)s
        )
      |||, {
        model: series.modelDrift,
        billed: series.modelBilled,
        drift: series.costDrift,
        month: series.costMonth,
        share: text.number(t.costDrift.share),
        min: text.number(t.costDrift.minUsd),
        elapsed: series.monthElapsed,
        minElapsed: text.number(t.costDrift.minElapsed),
      }),
      'for': t.costDrift['for'],
      summary: 'Estimated and billed cost of the month disagree.',
      description: 'For {{ with $labels.model }}{{ . }} in {{ end }}organization {{ $labels.organization }} the estimate differs from the bill by {{ $value | humanizePercentage }}.',
    }),
    new({
      name: 'OpenAIProbeSpendHigh',
      expr: text.fill(|||
        sum by (job, target) (increase(openai_probe_cost_usd_total{%s}[1d])) > %s
      |||, [config.selector, text.number(t.probeSpendUsd)]),
      'for': '15m',
      summary: 'The probes themselves cost more than planned.',
      description: 'The probes of {{ $labels.target }} cost an estimated {{ $value | humanize }} USD in the last day.',
      dashboard: 'exporter',
      variables: ['target'],
    }),
  ]
