// SPDX-License-Identifier: Apache-2.0
// Makes alerting rules: every one has severity, category, team, summary, description, runbook and dashboard.
local duration = import 'duration.libsonnet';
local series = import 'series.libsonnet';

local severities = ['critical', 'warning', 'info', 'none'];

{
  local lib = self,

  // How descriptions name a probe; the model is absent for endpoint models.
  probe: '{{ $labels.module }} on {{ $labels.target }}{{ with $labels.model }} ({{ . }}){{ end }}',

  // --- Values in texts, and how amounts are rounded. `ask` renders the first result of a query, or nothing; its
  // arguments take the place of printf's verbs in the query.
  ask(config, expr, arguments, render)::
    local parts = std.split(expr, '{');
    local first = std.length(std.split(parts[0], '%')) - 1;
    local labels = if config.clusterLabels == '' || std.length(parts) == 1 then [] else std.split(config.clusterLabels, ', ');
    local all = arguments[:first] + ['$labels.' + label for label in labels] + arguments[first:];
    local query = std.join('{' + std.join('', [label + '=%q, ' for label in labels]), parts);
    '{{ with %s | query }}%s{{ end }}' % [std.join(' ', ['printf', '`' + query + '`'] + all), render('. | first | value')],
  usd(value):: '{{ %s | printf "%%.2f" }} USD' % value,
  // humanizePercentage writes 5.5e+05% from 10,000 % on; templates cannot multiply, so that whole hundreds are written.
  share(value):: '{{ if ge (%(it)s) 100.0 }}{{ %(it)s | printf "%%.0f00%%%%" }}{{ else }}{{ %(it)s | humanizePercentage | reReplaceAll `([0-9]{2,})[.][0-9]+%%` `$1%%` | reReplaceAll `([.][0-9])[0-9]+%%` `$1%%` }}{{ end }}' % { it: value },
  // '1 key' or '3 keys'; what an increase extrapolates is rounded.
  count(one, many):: '{{ $value }} {{ if lt $value 1.5 }}' + one + '{{ else }}' + many + '{{ end }}',
  // The two largest units.
  duration(value):: '{{ %s | humanizeDuration | reReplaceAll `^(-?[0-9]+[dhm] [0-9]+[hms]).*` `$1` | reReplaceAll ` 0[hms]$` `` }}' % value,

  // How every description shows its value, whatever wrote it.
  rounded(text):: std.foldl(function(text, pair) std.strReplace(text, pair[0], pair[1]), [
    ['{{ $value | humanizePercentage }}', lib.share('$value')],
    ['{{ $value | humanizeDuration }}', lib.duration('$value')],
    ['{{ $value }}', '{{ printf "%.0f" $value }}'],
  ], text),

  // What a burn alert adds: how long the whole budget lasts at the ratio that it reports.
  exhaustion(config, slo)::
    local labels = if slo == 'freshness' then ['organization', 'dataset'] else ['target', 'module', 'model'];
    local level = if slo == 'freshness' then 'dataset' else 'probe';
    lib.ask(
      config,
      '%d * max(%s{slo="%s", %s}) / %%f' % [
        duration.seconds(config.slo.period),
        series.errorBudget(level),
        slo,
        std.join(', ', [label + '=%q' for label in labels]),
      ],
      ['$labels.' + label for label in labels] + ['$value'],
      function(value) ' At this rate the error budget of %s lasts %s.' % [config.slo.period, lib.duration(value)]
    ),

  // A call of `openai-exporter limits` for the alert's organization, with values of labels as words of a shell.
  limits(words):: 'openai-exporter limits ' + words + ' --organization ' + lib.word('$labels.organization'),
  word(value):: '{{ %s | reReplaceAll `[^A-Za-z0-9_.:@/-]` `` }}' % value,

  // What fails now: the most frequent outcome, its status code, of how many probes, since when, and what the provider says.
  cause(config, labels)::
    local values = ['$labels.' + label for label in labels];
    local probes = std.join(', ', [label + '=%q' for label in labels]);
    local ask(expr, render) = lib.ask(config, expr % probes, values, render);
    '{{ range printf `topk(1, count by (outcome) (group without (%s) (openai_probe_outcome{%s, outcome!="success"} == 1)))` %s | query }}'
    % [config.instanceLabels, probes, std.join(' ', values)]
    + ' Now: {{ .Labels.outcome }}'
    + ask('max(probe_http_status_code{%s} >= 300)', function(code) ' (HTTP {{ %s | printf "%%.0f" }})' % code)
    + ', {{ printf "%.0f" .Value }}'
    + ask('count(group without (outcome, ' + config.instanceLabels + ') (openai_probe_outcome{%s}))', function(count) ' of {{ %s | printf "%%.0f" }}' % count)
    + ' probes'
    + ask(
      'max(max_over_time(timestamp(openai_probe_availability_good{%s} == 1)[6h:1m]))',
      function(time) ', last success at {{ %s | humanizeTimestamp | reReplaceAll `^[^ ]* ([0-9]+:[0-9]+):.*$` `$1` }} UTC' % time
    )
    + '{{ with query `count(openai_status_incident{%s} > 0)` }}; the provider reports an incident{{ end }}.{{ end }}' % config.selector,

  // The panel that shows an alert best, by dashboard, where the alert names no other.
  panels:: {
    overview: 'Firing alerts',
    probes: 'Failures by type',
    usage: 'Tokens and expected range',
    costs: 'Month to date and forecast',
    slo: 'Error budget left',
    models: 'Shutdown dates',
    exporter: 'Refresh duration',
  },

  // Labels that an alert lacks make no empty variable. mixin.libsonnet puts the panel's id in place of its title.
  dashboardUrl(config, dashboard, variables, panel)::
    local pairs = ['{{ with $labels.%s }}&var-%s={{ . | urlquery }}{{ end }}' % [name, name] for name in variables];
    '%s/d/%s?from=now-6h&to=now&viewPanel=<%s>' % [config.grafanaUrl, config.dashboards[dashboard], if panel == null then lib.panels[dashboard] else panel]
    + std.join('', pairs),

  // new(config, fields): fields as below; `variables` are labels handed to the dashboard, `labels` are added to the alert.
  new(config, fields)::
    local it = {
      name: error 'an alert needs a name',
      expr: error '%s: expr is missing' % it.name,
      'for': error '%s: for is missing' % it.name,
      severity: error '%s: severity is missing' % it.name,
      category: error '%s: category is missing' % it.name,
      summary: error '%s: summary is missing' % it.name,
      description: error '%s: description is missing' % it.name,
      dashboard: error '%s: dashboard is missing' % it.name,
      keep: null,  // how long it goes on firing once its cause is gone, for causes that come and go
      variables: [],
      panel: null,  // title of a panel of the dashboard
      command: '',  // what to paste into a terminal to act at once; empty where nothing is to be changed
      labels: {},
    } + fields;
    assert std.member(severities, it.severity) :
           '%s: severity "%s" is unknown; allowed: %s' % [it.name, it.severity, std.join(', ', severities)];
    {
      alert: it.name,
      expr: it.expr,
      [if it['for'] != '0s' then 'for']: duration.scaled(config, it['for']),
      [if it.keep != null then 'keep_firing_for']: duration.scaled(config, it.keep),
      labels: it.labels {
        severity: it.severity,
        category: it.category,
        team: config.teams[it.category],
      },
      annotations: {
        summary: it.summary,
        description:
          lib.rounded(it.description)
          + (if std.endsWith(it.name, 'BudgetBurn') then lib.exhaustion(config, it.labels.slo) else '')
          + (if it.name == 'OpenAITargetDown' then lib.cause(config, ['target'])
             else if it.name == 'OpenAIAvailabilityBudgetBurn' then lib.cause(config, ['target', 'module', 'model'])
             else ''),
        runbook_url: std.strReplace(config.runbookUrlPattern, '%s', it.name),
        dashboard_url: lib.dashboardUrl(config, it.dashboard, it.variables, it.panel),
        [if it.command != '' then 'command']: it.command,
      },
    },
}
