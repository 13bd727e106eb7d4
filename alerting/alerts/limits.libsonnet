// SPDX-License-Identifier: Apache-2.0
// How far we are from rate limits: live headers, lasting 429s, and the limits of projects.
local alert = import '../lib/alert.libsonnet';
local duration = import '../lib/duration.libsonnet';
local outcomes = import '../lib/outcomes.libsonnet';
local series = import '../lib/series.libsonnet';
local text = import '../lib/text.libsonnet';

function(config)
  local t = config.thresholds;
  local new(fields) = alert.new(config, { category: 'limits', severity: 'warning', dashboard: 'models' } + fields);
  local limited = outcomes.matcher('rateLimit');

  [
    new({
      name: 'OpenAIRateLimited',
      expr: text.fill(|||
        avg without (%(instance)s) (sum without (outcome) (avg_over_time(openai_probe_outcome{%(selector)s, %(limited)s}[%(window)s]))) > %(share)s
        and
        sum without (outcome) (sum_over_time(%(fresh)s{%(limited)s}[%(memory)s])) >= %(minFresh)s
      |||, {
        instance: config.instanceLabels,
        limited: limited,
        selector: config.selector,
        window: duration.scaled(config, t.rateLimited.window),
        share: text.number(t.rateLimited.share),
        fresh: series.freshOutcome,
        memory: duration.scaled(config, t.rateLimited.memory),
        minFresh: t.rateLimited.minFresh,
      }),
      'for': t.rateLimited['for'],
      keep: t.rateLimited.keep,
      summary: 'Probes run into a rate limit most of the time.',
      description: alert.probe + text.fill(' was rate limited in {{ $value | humanizePercentage }} of the last %s; other traffic of the project is probably rejected, too.', t.rateLimited.window),
      dashboard: 'probes',
      variables: ['target', 'model'],
    }),
    new({
      name: 'OpenAIRateLimitHeadroomLow',
      panel: 'Rate limit headroom',
      expr: text.fill(|||
        max_over_time(%(headroom)s[%(window)s]) < %(share)s
      |||, { headroom: series.headroom, window: duration.scaled(config, t.headroom.window), share: text.number(t.headroom.share) }),
      'for': t.headroom['for'],
      keep: t.headroom.keep,
      summary: 'Rate limit headroom is low.',
      description: 'At best {{ $value | humanizePercentage }} of the limit on {{ $labels.limit_type }} was left for ' + alert.probe + text.fill(' within %s.', t.headroom.window),
      dashboard: 'probes',
      variables: ['target', 'model'],
    }),
    new({
      name: 'OpenAIProjectLimitNear',
      panel: 'Project limits used',
      expr: text.fill(|||
        %(used)s > %(share)s
      |||, { used: series.projectLimitUsed, share: text.number(t.projectLimit.share) }),
      'for': t.projectLimit['for'],
      keep: t.projectLimit.keep,
      summary: 'A project comes close to its configured rate limit.',
      description: 'Project {{ $labels.project_id }} uses {{ $value | humanizePercentage }} of its {{ $labels.limit_type }} per minute for {{ $labels.model }}.',
      variables: ['organization', 'model'],
    }),
  ] + [
    new({
      name: 'OpenAIProjectPeakNearLimit',
      panel: 'Project limits used',
      expr: text.fill(|||
        max by (%(labels)s) (openai_project_peak_%(kind)s_per_minute{%(selector)s})
        / max by (%(labels)s) (openai_project_rate_limit_%(kind)s_per_minute{%(selector)s} > 0)
        > %(share)s
      |||, { labels: 'job, organization, project_id, model', kind: kind, selector: config.selector, share: text.number(t.projectPeak.share) }),
      'for': t.projectPeak['for'],
      severity: 'info',
      labels: { limit_type: kind },
      summary: 'A single minute of a project came close to its rate limit.',
      description: 'The busiest minute of project {{ $labels.project_id }} took {{ $value | humanizePercentage }} of its ' + kind + ' per minute for {{ $labels.model }}.',
      variables: ['organization', 'model'],
    })
    for kind in ['requests', 'tokens']
  ]
