// SPDX-License-Identifier: Apache-2.0
// When the spend of a key is a spike: against its own history, or against the budgets that it belongs to.
local duration = import 'duration.libsonnet';
local series = import 'series.libsonnet';
local steady = import 'steady.libsonnet';
local text = import 'text.libsonnet';

local labels = 'job, organization, project_id, api_key_id';

{
  local lib = self,
  alert:: 'OpenAIKeySpendSpike',

  // The keys that the alert has reported for some minutes, but not for a week.
  alerted(config):: text.fill(|||
    (
      last_over_time(%(alerts)s[%(memory)s])
      unless on (%(labels)s)
      last_over_time(%(alerts)s[%(memory)s] offset %(week)s)
    )
  |||, {
    alerts: text.fill('ALERTS{alertname="%s", alertstate="firing"}', lib.alert),
    labels: labels,
    memory: duration.scaled(config, '1h'),
    week: duration.scaled(config, '7d'),
  }),

  // Share of a monthly budget that was spent within the hour: of the organization, of the key's project, of the key.
  ofBudget(config, share)::
    local above(scope, label) =
      local limit = text.fill('openai_budget_limit_usd{%s, scope="%s", period="month"} > 0', [config.selector, scope]);
      text.fill(|||
        %(cost)s > on (%(on)s) group_left () %(share)s * min by (%(on)s) (%(limit)s)
      |||, {
        cost: series.keyCost,
        on: std.join(', ', ['job', 'organization'] + if label == null then [] else [label]),
        share: text.number(share),
        limit: if label == null then limit else text.fill('label_replace(%s, "%s", "$1", "id", "(.+)")', [limit, label]),
      });
    std.join('or\n', [above('organization', null), above('project', 'project_id'), above('key', 'api_key_id')]),

  // More than `minUsd` in the hour and `factor` times the mean hour; a key without history has spent 0.
  ofHistory(factor, minUsd):: text.fill('%(cost)s > %(min)s unless %(cost)s <= %(factor)s * %(usual)s\n', {
    cost: series.keyCost,
    min: text.number(minUsd),
    factor: text.number(factor),
    usual: series.keyUsual,
  }),

  // The condition, as far as the figures can be trusted: fresh, above every hour of the week before, and not the first
  // hours of an installation. A key that appears once its organization is known is new.
  new(config, condition):: text.fill(|||
    (
      %(condition)s
    )
    and %(cost)s > %(min)s
    unless %(cost)s <= %(peak)s * %(peakHour)s
    and on (job, organization) %(steady)s
    and
    (
      %(cost)s and on (job, organization) last_over_time(%(total)s[%(hour)s] offset %(day)s)
      or
      %(cost)s and on (job, organization) last_over_time(%(total)s[%(hour)s] offset %(hours)s)
      unless last_over_time(%(cost)s[%(hour)s] offset %(hours)s)
      or
      %(cost)s and on (%(labels)s) %(alerted)s
    )
  |||, {
    condition: text.indent(condition, 2),
    cost: series.keyCost,
    total: series.estimatedCost,
    min: text.number(config.thresholds.keySpike.minUsd),
    peak: text.number(config.thresholds.keySpike.peak),
    peakHour: series.keyPeak,
    steady: steady.usage(config),
    labels: labels,
    alerted: text.indent(std.rstripChars(lib.alerted(config), '\n'), 2),
    hour: duration.scaled(config, '1h'),
    hours: duration.scaled(config, '3h'),
    day: duration.scaled(config, '20h'),
  }),
}
