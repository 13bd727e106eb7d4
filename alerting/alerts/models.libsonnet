// SPDX-License-Identifier: Apache-2.0
// Models in use that retire, vanish from the list, or are served by another snapshot.
local alert = import '../lib/alert.libsonnet';
local series = import '../lib/series.libsonnet';
local text = import '../lib/text.libsonnet';

function(config)
  local new(fields) = alert.new(config, { category: 'models', dashboard: 'models', variables: ['target', 'model'] } + fields);
  local target = 'job, target, provider';
  local probe = 'job, target, provider, module, model';

  [
    new({
      name: 'OpenAIModelRetiring',
      // A day after the shutdown there is no more to warn of; probes say what fails.
      expr: text.fill(|||
        (
          min by (%(labels)s, model) (openai_model_shutdown_timestamp_seconds{%(selector)s}) - time() < %(days)s * 86400
          and
          min by (%(labels)s, model) (openai_model_shutdown_timestamp_seconds{%(selector)s}) - time() > -86400
        )
        and on (model) %(inUse)s
      |||, { labels: target, selector: config.selector, days: row.days, inUse: series.modelInUse }),
      'for': '1h',
      severity: row.severity,
      labels: { threshold: text.fill('%sd', row.days) },
      summary: 'A model that is in use will be shut down.',
      description: '{{ $labels.model }} on {{ $labels.target }} is used or probed, and the API {{ if gt $value 0.0 }}shuts it down in {{ $value | humanizeDuration }}{{ else }}has shut it down{{ end }}.',
    })
    for row in config.thresholds.modelRetires
  ] + [
    new({
      name: 'OpenAIModelNotListed',
      panel: 'Probed models that are listed',
      expr: text.fill(|||
        max by (%s, listed_model) (openai_probe_model_listed{%s}) == 0
      |||, [target, config.selector]),
      'for': '15m',
      severity: 'warning',
      summary: 'A probed model is no longer in the list of models.',
      description: 'GET /models of {{ $labels.target }} does not list {{ $labels.listed_model }}, which is configured for probing.',
      variables: ['target'],
    }),
    new({
      name: 'OpenAIServedModelChanged',
      panel: 'Served and requested',
      expr: text.fill(|||
        group by (%(labels)s, served_model) (openai_probe_model_info{%(selector)s, served_model!=""}) > 0
        unless
        group by (%(labels)s, served_model) (max_over_time(openai_probe_model_info{%(selector)s}[1d] offset 1h))
        and on (%(labels)s)
        group by (%(labels)s) (max_over_time(openai_probe_model_info{%(selector)s, served_model!=""}[1d] offset 1h))
      |||, { labels: probe, selector: config.selector }),
      'for': '5m',
      severity: 'info',
      summary: 'The served model changed.',
      description: '{{ $labels.model }} on {{ $labels.target }} is now served by {{ $labels.served_model }}, which did not serve it on the day before.',
    }),
  ]
