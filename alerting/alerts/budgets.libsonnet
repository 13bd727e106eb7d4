// SPDX-License-Identifier: Apache-2.0
// Budgets of the configuration and spend limits of the API: what is spent of them, and where the month will end.
local alert = import '../lib/alert.libsonnet';
local duration = import '../lib/duration.libsonnet';
local series = import '../lib/series.libsonnet';
local text = import '../lib/text.libsonnet';

function(config)
  local t = config.thresholds;
  local new(fields) = alert.new(config, { category: 'cost', severity: 'warning', dashboard: 'costs', variables: ['organization'] } + fields);
  local without = text.fill('without (%s)', config.instanceLabels);

  // Nobody pages for a budget: what must be stopped at once is a spike, whatever the month has cost so far.
  local budgets = [
    {
      name: 'OpenAIBudgetSpent',
      match: 'scope!~"user|key"',
      steps: [{ at: 'half', severity: 'info' }, { at: 'warn_ratio', severity: 'warning' }, { at: 'full', severity: 'warning' }],
      summary: 'Budget usage crossed a threshold.',
    },
    {
      name: 'OpenAIUserBudgetSpent',
      match: 'scope="user"',
      steps: [{ at: 'warn_ratio', severity: 'info' }, { at: 'full', severity: 'warning' }],
      summary: 'Budget usage of a user crossed a threshold.',
    },
    {
      name: 'OpenAIKeyBudgetSpent',
      match: 'scope="key"',
      steps: [{ at: 'warn_ratio', severity: 'info' }, { at: 'full', severity: 'warning' }],
      summary: 'Budget usage of an API key crossed a threshold.',
    },
  ];
  local theBudget = 'Budget {{ $labels.budget }}{{ with $labels.id }} ({{ . }}){{ end }}';
  local ofLimit(factor, arguments, render) = alert.ask(
    config,
    factor + 'max(openai_budget_limit_usd{job=%q, organization=%q, budget=%q, scope=%q, id=%q, period=%q})',
    arguments + ['$labels.' + label for label in ['job', 'organization', 'budget', 'scope', 'id', 'period']],
    render,
  );
  local dollars =
    ofLimit('%f * ', ['$value'], function(value) ': ' + alert.usd(value)) + ofLimit('', [], function(value) ' of ' + alert.usd(value));
  // A monthly budget of a project or of the organization becomes its spend limit; the API has none for others.
  local capped(budget) =
    if budget.name != 'OpenAIBudgetSpent' then alert.limits('show')
    else
      alert.limits(
        '{{ if and (eq $labels.period "month") (or (eq $labels.scope "project") (eq $labels.scope "organization")) }}set'
        + '{{ if eq $labels.scope "project" }} --project ' + alert.word('$labels.id') + '{{ end }} --spend-limit '
        + ofLimit('', [], function(value) '{{ %s | printf "%%.2f" }}' % value)
        + '{{ else }}show{{ end }}'
      );
  local threshold(step) =
    if step.at == 'warn_ratio'
    then text.fill('max %s (openai_budget_warn_ratio{%s})', [without, config.selector])
    else text.number(t.budget[step.at]);
  local budgetAlert(budget, step) = new({
    name: budget.name,
    panel: 'Budgets',
    expr: text.fill('max_over_time(%s{%s}[%s])\n>= %s\n', [
      series.budgetRatio,
      budget.match,
      duration.scaled(config, t.budget.memory),
      threshold(step),
    ]),
    'for': t.budget['for'],
    severity: step.severity,
    labels: { threshold: step.at },
    command: capped(budget),
    summary: budget.summary,
    description: theBudget + ' has reached ' + alert.share('$value') + ' of its limit in this {{ $labels.period }}' + dollars + '.',
  });

  local month = 'sum by (%(labels)s) (max ' + without + ' (openai_costs_month_to_date_usd{' + config.selector + '}))';
  local limit = 'max by (%(labels)s) (openai_spend_limit_usd{' + config.selector + ', scope="%(scope)s"} > 0)';
  local spendLimitNear(scope, labels, who) = new({
    name: 'OpenAISpendLimitNear',
    panel: 'Spend limits at the API',
    expr: text.fill(month + '\n/ ' + limit + '\n> ' + text.number(t.spendLimit.share) + '\n', { labels: labels, scope: scope }),
    'for': t.spendLimit['for'],
    labels: { scope: scope },
    command: alert.limits('show' + (if scope == 'project' then ' --project ' + alert.word('$labels.project_id') else '')),
    summary: 'A hard spend limit is close; the API rejects requests once it is reached.',
    description:
      who + ' has spent ' + alert.share('$value') + ' of its hard monthly limit'
      + alert.ask(
        config,
        'max(openai_spend_limit_usd{scope="' + scope + '", ' + std.join(', ', [label + '=%q' for label in std.split(labels, ', ')]) + '})',
        ['$labels.' + label for label in std.split(labels, ', ')],
        function(value) ' of ' + alert.usd(value)
      ) + '.',
  });
  local credit(severity, days) = new({
    name: 'OpenAIPrepaidCreditLow',
    panel: 'Credit',
    expr: text.fill('min %s (openai_credit_exhausted_timestamp_seconds{%s}) - time()\n< %s\n', [
      without,
      config.selector,
      text.number(days * 86400),
    ]),
    'for': t.credit['for'],
    severity: severity,
    summary: 'Prepaid credit runs out; then the API rejects all requests.',
    description:
      'The prepaid credit of organization {{ $labels.organization }} is exhausted {{ if gt $value 0.0 }}in ' + alert.duration('$value') + '{{ else }}now{{ end }}'
      + alert.ask(
        config,
        'min(openai_credit_balance_usd{organization=%q})',
        ['$labels.organization'],
        function(value) '; ' + alert.usd(value) + ' are left (computed)'
      ) + '.',
  });
  [budgetAlert(budget, step) for budget in budgets for step in budget.steps] + [
    new({
      name: 'OpenAIBudgetForecastExceeded',
      panel: 'Budgets in detail',
      // In the first days of a month only what lies beyond the band.
      expr: text.fill(|||
        (
          %(forecast)s > 1 and on () day_of_month() > %(days)s
          or
          %(forecast)s > 1 and %(lower)s > 1
        )
        and %(ratio)s < 1
      |||, { forecast: series.budgetForecast, lower: series.budgetForecastLower, ratio: series.budgetRatio, days: t.forecast.quietDays }),
      'for': t.forecast['for'],
      summary: 'At the current run rate a budget will be exceeded.',
      description: theBudget + ' will end the month at ' + alert.share('$value') + ' of its limit' + dollars + '.',
    }),
    new({
      name: 'OpenAISpendLimitEnforcing',
      panel: 'Spend limits at the API',
      expr: text.fill('max %s (openai_spend_limit_enforcing{%s}) == 1\n', [without, config.selector]),
      'for': '2m',
      severity: 'critical',
      command: alert.limits('show{{ with $labels.project_id }} --project ' + alert.word('.') + '{{ end }}'),
      summary: 'A hard spend limit is reached: the API rejects requests.',
      description: 'The spend limit of {{ $labels.scope }} {{ with $labels.project_id }}{{ . }}{{ else }}{{ $labels.organization }}{{ end }} is enforcing.',
    }),
    credit('warning', t.credit.days),
    credit('critical', t.credit.pageDays),
    spendLimitNear('organization', 'job, organization', 'Organization {{ $labels.organization }}'),
    spendLimitNear('project', 'job, organization, project_id', 'Project {{ $labels.project_id }}'),
  ]
