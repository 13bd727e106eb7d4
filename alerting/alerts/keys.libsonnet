// SPDX-License-Identifier: Apache-2.0
// Hygiene of API keys: those that expire and those that nobody uses.
local alert = import '../lib/alert.libsonnet';
local names = import '../lib/names.libsonnet';
local text = import '../lib/text.libsonnet';

function(config)
  local new(fields) = alert.new(config, { category: 'keys', dashboard: 'models', variables: ['organization'] } + fields);
  local labels = 'job, organization, api_key_id, kind';
  local expires = text.fill('min by (%s) (openai_api_key_expires_timestamp_seconds{%s}) - time()', [labels, config.selector]);
  local since(metric) = text.fill('time() - max by (%s) (%s{%s})', [labels, metric, config.selector]);
  local unusedSeconds = config.thresholds.keyUnusedDays * 86400;
  local unused = text.fill(|||
    %(used)s > %(seconds)s
    or
    (
      %(created)s > %(seconds)s
      unless on (job, organization, api_key_id)
      openai_api_key_last_used_timestamp_seconds{%(selector)s}
    )
  |||, {
    used: since('openai_api_key_last_used_timestamp_seconds'),
    created: since('openai_api_key_created_timestamp_seconds'),
    seconds: unusedSeconds,
    selector: config.selector,
  });

  [
    new({
      name: 'OpenAIKeyExpiring',
      panel: 'Keys',
      // An expired key has no more to warn of; if it was in use, its probes say so.
      expr: names.key(config, text.fill('%s < %s * 86400 and %s > 0', [expires, row.days, expires])),
      'for': '1h',
      severity: row.severity,
      labels: { threshold: text.fill('%sd', row.days) },
      summary: 'An API key expires soon.',
      description: 'Key ' + names.keyWords + ' ({{ $labels.kind }}) of organization {{ $labels.organization }} expires in {{ $value | humanizeDuration }}.',
    })
    for row in config.thresholds.keyExpires
  ] + [
    new({
      name: 'OpenAIKeyUnused',
      panel: 'Keys',
      expr: names.key(config, std.stripChars(unused, '\n')),
      'for': '1h',
      severity: 'info',
      summary: 'An API key has not been used for a long time.',
      description: 'Key ' + names.keyWords + ' ({{ $labels.kind }}) of organization {{ $labels.organization }} has not been used for {{ $value | humanizeDuration }}; a key that nobody needs can only leak.',
    }),
  ]
