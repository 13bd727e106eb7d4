// SPDX-License-Identifier: Apache-2.0
// Outcomes of probes that do not count against availability, because they are ours to repair, by what repairs them.
local duration = import 'duration.libsonnet';
local match = import 'match.libsonnet';
local series = import 'series.libsonnet';
local text = import 'text.libsonnet';

{
  local lib = self,

  kinds:: {
    credentials: ['auth', 'permission', 'region_unsupported', 'no_credentials'],
    quota: ['quota_exhausted', 'billing_inactive'],
    spendLimit: ['spend_limit', 'usage_limit'],
    rateLimit: ['rate_limited', 'rate_limited_requests', 'rate_limited_tokens', 'slow_down'],
    model: ['model_not_found'],
    invalid: ['bad_request', 'not_found', 'redirect', 'proxy', 'content_mismatch', 'content_filtered', 'status_mismatch'],
    exporter: ['exporter_busy', 'internal'],
    costLimit: ['cost_limited'],
    // Told to one scrape about its own timeout; it says nothing about the API, and alerts nobody.
    scrape: ['deadline_too_short'],
  },

  // The matcher of a kind: outcome=~"auth|permission|...".
  matcher(kind):: match.matcher('outcome', std.join('|', lib.kinds[kind])),

  // An outcome of the kind throughout a window, seen in real calls more than once: a lasting state, not one failure.
  // The window must be full, one missed scrape apart: after a restart a single sample would fill it.
  // Answers from the cache repeat an outcome while the probe backs off; only real calls count.
  lasting(config, kind, labels):: text.fill(|||
    count by (%(labels)s) (
      min_over_time(openai_probe_outcome{%(selector)s, %(matcher)s}[%(window)s]) == 1
      and
      count_over_time(openai_probe_outcome{%(selector)s, %(matcher)s}[%(window)s]) >= %(full)s
    )
    > 0
    and
    sum by (%(labels)s) (sum_over_time(%(fresh)s{%(matcher)s}[%(memory)s])) >= %(minFresh)s
  |||, {
    labels: labels,
    selector: config.selector,
    matcher: lib.matcher(kind),
    window: duration.scaled(config, config.thresholds.outcome.window),
    full: std.max(1, std.floor(duration.seconds(config.thresholds.outcome.window) / duration.seconds(config.probeInterval)) - 1),
    fresh: series.freshOutcome,
    memory: duration.scaled(config, config.thresholds.outcome.memory),
    minFresh: config.thresholds.outcome.minFresh,
  }),
}
