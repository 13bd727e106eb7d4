// SPDX-License-Identifier: Apache-2.0
// What it costs: anomalies, spikes of keys, and how far the estimate can be trusted.
local alert = import '../lib/alert.libsonnet';
local burnAlerts = import '../lib/burn_alerts.libsonnet';
local names = import '../lib/names.libsonnet';
local series = import '../lib/series.libsonnet';
local spike = import '../lib/spike.libsonnet';
local steady = import '../lib/steady.libsonnet';
local text = import '../lib/text.libsonnet';

function(config)
  local t = config.thresholds;
  local new(fields) = alert.new(config, { category: 'cost', severity: 'warning', dashboard: 'costs', variables: ['organization'] } + fields);
  local without = text.fill('without (%s)', config.instanceLabels);

  // The hour that these alerts look back to holds what a page was about for some time after its end.
  local notPaged(alerts, labels) =
    local firing(within) = burnAlerts.firing(config, alerts, labels, within, ', severity="critical"');
    text.fill('unless on (%s) (\n  %s\n  unless on (%s) %s\n)\n', [labels, firing('2h'), labels, firing(null)]);
  local ofOrganization = notPaged([spike.alert, 'OpenAICostAnomaly'], 'job, organization');
  local anomaly(fields, signal, operator, band) = new({
    expr: text.fill('%s{anomaly="%s"} %s %s\n', [series.anomalyLevel, signal, operator, std.rstripChars(band, '\n')]),
    'for': config.anomaly['for'],
    labels: { anomaly: signal },
  } + fields);
  // Below the floor of the band: nothing at all, where each of the days compared had something at this hour.
  local stopped = text.fill(|||
    or
    %(level)s{anomaly="tokens"} == 0
    and count without (lookback) (%(days)s) >= %(least)s
    and min without (lookback) (%(days)s{anomaly="tokens"}) >= %(tokens)s
  |||, { level: series.anomalyLevel, days: series.anomalyLookback, least: config.anomaly.minDays, tokens: t.stoppedTokens });
  local sameHour = ' the expected range for this hour of the day.';
  local costAnomaly = {
    name: 'OpenAICostAnomaly',
    panel: 'Spend and expected range',
    command: alert.limits('show'),
    summary: 'Spend is unusually high for this hour of the day.',
    description: 'Organization {{ $labels.organization }} spent an estimated ' + alert.usd('$value') + ' in the last hour, above' + sameHour,
  };
  local runaway = t.keySpike.page;
  local keySpike(severity, hold, condition) = new({
    name: spike.alert,
    panel: 'Top spenders',
    expr: names.key(config, std.stripChars(spike.new(config, condition), '\n')),
    'for': hold,
    severity: severity,
    command: alert.limits('freeze --project ' + alert.word('$labels.project_id')),
    summary: 'An API key spends far more than it did in the week before.',
    description:
      'Key ' + names.keyWords + ' of project {{ $labels.project_id }} spent an estimated ' + alert.usd('$value')
      + ' in the last hour' + alert.ask(config, '24 * %f', ['$value'], function(value) ', ' + alert.usd(value) + ' a day at this rate')
      + alert.ask(
        config,
        series.keyUsual + '{organization=%q, project_id=%q, api_key_id=%q}',
        ['$labels.organization', '$labels.project_id', '$labels.api_key_id'],
        function(value) '; its hourly average in the week before: ' + alert.usd(value)
      ) + '.',
  });

  [
    // What pages comes first: warnings read whether it fires.
    keySpike('critical', runaway['for'], spike.ofBudget(config, runaway.budgetShare) + 'or\n' + spike.ofHistory(runaway.factor, runaway.minUsd)),
    keySpike(
      'warning',
      t.keySpike['for'],
      spike.ofHistory(t.keySpike.factor, t.keySpike.minUsd) + notPaged([spike.alert], 'job, organization, project_id, api_key_id'),
    ),
    // Spend that no single key explains.
    anomaly(costAnomaly { severity: 'critical', 'for': runaway['for'] }, 'cost', '>', text.fill(|||
      %(upper)s
      and (
        %(level)s{anomaly="cost"} > on (job, organization) group_left () %(share)s * min by (job, organization) (openai_budget_limit_usd{%(selector)s, scope="organization", period="month"} > 0)
        or
        %(level)s{anomaly="cost"} > %(factor)s * %(baseline)s and %(level)s > %(min)s
      )
    |||, {
      upper: series.anomalyUpper,
      level: series.anomalyLevel,
      baseline: series.anomalyBaseline,
      selector: config.selector,
      share: text.number(runaway.budgetShare),
      factor: text.number(runaway.factor),
      min: text.number(runaway.minUsd),
    })),
    anomaly(costAnomaly, 'cost', '>', series.anomalyUpper + '\n' + ofOrganization),
    anomaly({
      name: 'OpenAITokenUsageAnomaly',
      summary: 'Token usage is unusually high for this hour of the day.',
      description: 'Organization {{ $labels.organization }} used {{ $value | humanize }} tokens in the last hour, above' + sameHour,
      dashboard: 'usage',
    }, 'tokens', '>', series.anomalyUpper + '\n' + ofOrganization),
    anomaly({
      name: 'OpenAITokenUsageDrop',
      summary: 'Token usage is unusually low for this hour of the day.',
      description: 'Organization {{ $labels.organization }} used {{ $value | humanize }} tokens in the last hour, below' + sameHour,
      dashboard: 'usage',
      // Traffic that stops is an outage of the application, whatever it saves.
      category: 'usage',
    }, 'tokens', '<', series.anomalyLower + '\n' + stopped),
    new({
      name: 'OpenAIUnpricedModel',
      panel: 'Estimated against billed',
      // Images are left out: no list has a price per image.
      expr: std.join('or\n', [
        text.fill(|||
          label_replace(
            sum by (job, organization, model) (
              max %(without)s (
                %(used)s
              )
            ) > 0,
            "unit", "%(words)s", "", ""
          )
        |||, {
          without: without,
          used: text.indent(steady.increase(text.fill('openai_usage_unpriced_%s_total{%s}', [unit, config.selector]), '1h'), 8),
          words: std.strReplace(unit, '_', ' '),
        })
        for unit in ['tokens', 'characters', 'audio_seconds']
      ]),
      'for': '15m',
      keep: '1d',
      summary: 'A model without a price is used; the estimated cost is too low.',
      description: '{{ $value | humanize }} {{ $labels.unit }} of {{ $labels.model }} were used in the last hour in organization {{ $labels.organization }}, and its price is unknown.',
    }),
    new({
      name: 'OpenAICostDrift',
      panel: 'Estimated against billed',
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
      description: 'For {{ with $labels.model }}{{ . }} in {{ end }}organization {{ $labels.organization }} the estimate differs from the bill by ' + alert.share('$value') + '.',
    }),
    new({
      name: 'OpenAIProbeSpendHigh',
      panel: 'Cost of probing',
      expr: text.fill(|||
        sum by (job, target) (increase(openai_probe_cost_usd_total{%s}[1d])) > %s
      |||, [config.selector, text.number(t.probeSpendUsd)]),
      'for': '15m',
      summary: 'Probes cost more than planned.',
      description: 'The probes of {{ $labels.target }} cost an estimated ' + alert.usd('$value') + ' in the last day.',
      dashboard: 'exporter',
      variables: ['target'],
    }),
  ]
