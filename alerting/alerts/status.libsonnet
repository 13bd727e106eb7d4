// SPDX-License-Identifier: Apache-2.0
// What the provider's public status page says.
local alert = import '../lib/alert.libsonnet';
local text = import '../lib/text.libsonnet';

function(config)
  local new(fields) = alert.new(config, { category: 'status', severity: 'warning', dashboard: 'overview' } + fields);
  local without = text.fill('without (%s)', config.instanceLabels);

  [
    new({
      name: 'OpenAIStatusIncident',
      expr: text.fill(|||
        max %s (openai_status_incident{%s, impact=~"major|critical"}) > 0
      |||, [without, config.selector]),
      'for': '2m',
      summary: 'The provider reports a serious incident.',
      description: 'The status page lists ' + alert.count('unresolved incident', 'unresolved incidents') + ' of impact {{ $labels.impact }}.',
    }),
    new({
      name: 'OpenAIStatusComponentDown',
      expr: text.fill(|||
        max %s (
          openai_status_component{%s, component=~"%s", state=~"partial_outage|major_outage|full_outage"}
        ) == 1
      |||, [without, config.selector, config.statusComponents]),
      'for': '5m',
      summary: 'The provider reports an outage of a part of its API.',
      description: 'The status page says {{ $labels.state }} for {{ $labels.component }}.',
    }),
    new({
      name: 'OpenAIStatusPageUnreadable',
      expr: text.fill(|||
        max %s (openai_status_up{%s}) == 0
      |||, [without, config.selector]),
      'for': '3h',
      summary: 'The status page cannot be read.',
      description: 'The status page has not been readable for three hours; incidents that the provider reports go unseen.',
      dashboard: 'exporter',
    }),
  ]
