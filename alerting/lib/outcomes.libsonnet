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
    exporter: ['exporter_busy', 'exporter_error'],
    costLimit: ['cost_limited'],
    // Told to one scrape about its own timeout; it says nothing about the API, and alerts nobody.
    scrape: ['deadline_too_short'],
  },

  // The matcher of a kind: outcome=~"auth|permission|...".
  matcher(kind):: match.matcher('outcome', std.join('|', lib.kinds[kind])),

  // The matcher of outcomes that are events of availability, those of no kind.
  valid:: 'outcome!~"' + std.join('|', std.flattenArrays(std.objectValues(lib.kinds))) + '"',

  // Outcomes that each of the last results of a probe had: a lasting state, not one failure. Answers from the cache
  // repeat an outcome while the probe backs off; only real results count.
  lasting(config)::
    local minFresh = config.thresholds.outcome.minFresh;
    duration.anyWindow(config, minFresh, function(window) text.fill(|||
      (sum_over_time(%(fresh)s{outcome!="success"}[%(window)s]) >= %(minFresh)s)
      == ignoring (outcome) group_left ()
      sum without (%(instance)s) (sum_over_time(%(new)s[%(window)s]))
    |||, {
      fresh: series.freshOutcome,
      new: series.newResult,
      instance: config.instanceLabels,
      window: window,
      minFresh: minFresh,
    })),

  // How many probes are in such a state of a kind, by labels.
  count(kind, labels):: text.fill('count by (%s) (%s{%s} > 0)', [labels, series.lastingOutcome, lib.matcher(kind)]),
}
