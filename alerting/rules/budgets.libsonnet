// SPDX-License-Identifier: Apache-2.0
// Budgets: what is spent of them, and what the rest of the month adds if each day is like the same day of the last week.
local duration = import '../lib/duration.libsonnet';
local series = import '../lib/series.libsonnet';
local text = import '../lib/text.libsonnet';

// Days of a week, as slots; a day above this many times the usual one is a single event.
local slots = std.range(1, 7);
local unusualDay = 1.5;

function(config)
  local without = text.fill('without (%s)', config.instanceLabels);
  local one(metric) = text.fill('max %s (%s{%s})', [without, metric, config.selector]);

  // A budget as it was some days ago.
  local ratioBefore(days) =
    local it = series.budgetRatio + '{period="month"}';
    if days == 0 then it
    else text.fill('last_over_time(%s[%s] offset %s)', [it, duration.scaled(config, '1h'), duration.scaled(config, days + 'd')]);
  local budget = {
    ratio: series.budgetRatio + '{period="month"}',
    rest: series.budgetRest,
    forecast: series.budgetForecast,
    day: series.budgetDay,
    elapsed: series.monthElapsed,
    days: series.monthRemainingDays,
  };

  [
    {
      name: 'openai-budgets',
      rules: [
        {
          // The basis (billed or estimated) that says more counts.
          record: series.budgetRatio,
          expr: text.fill(|||
            max without (basis) (%s)
            / (%s > 0)
          |||, [one('openai_budget_spent_usd'), one('openai_budget_limit_usd')]),
        },
        {
          record: series.monthElapsed,
          expr: '(day_of_month() - 1 + hour() / 24 + minute() / 1440) / days_in_month()',
        },
        {
          record: series.monthRemainingDays,
          expr: text.fill('(1 - %s) * days_in_month()', series.monthElapsed),
        },
      ],
    },
    {
      name: 'openai-budget-forecasts',
      interval: duration.scaled(config, '2m'),
      rules: [
        {
          // Slot 1 returns in six days, slot 7 at once, and each after a week again; a part of a day counts as a part.
          record: series.slotReturns,
          expr: text.fill(|||
            floor(%(days)s / 7)
            + clamp_max(%(days)s - 7 * floor(%(days)s / 7), 1)
          |||, { days: text.fill('clamp_min(%s - %s, 0)', [series.monthRemainingDays, 7 - slot]) }),
          labels: { slot: '' + slot },
        }
        for slot in slots
      ] + [
        {
          record: series.budgetDay,
          expr: text.fill(|||
            (%(now)s - %(before)s) >= 0
            or
            %(now)s < 0.5 * %(before)s
            or
            0 * (%(now)s - %(before)s)
          |||, { now: ratioBefore(slot - 1), before: ratioBefore(slot) }),
          labels: { slot: '' + slot },
        }
        for slot in slots
      ] + [
        {
          // What the days of the last week bring when they return. A day far above the others counts as one of them,
          // unless the same day of the week before was like it.
          record: series.budgetRest,
          expr: text.fill(|||
            sum without (slot) (
              (
                %(day)s <= ignoring (slot) group_left () (%(usual)s)
                or
                %(day)s <= %(factor)s * last_over_time(%(day)s[1h] offset 7d)
                or
                (0 * %(day)s + ignoring (slot) group_left () (%(usual)s))
              )
              * on (slot) group_left () %(returns)s
            )
            and count without (slot) (%(day)s) == %(week)s
          |||, {
            day: series.budgetDay,
            usual: text.fill('%s * quantile without (slot) (0.6, %s)', [text.number(unusualDay), series.budgetDay]),
            factor: text.number(unusualDay),
            returns: series.slotReturns,
            week: std.length(slots),
          }),
        },
        {
          // Without a week of history: the pace of the month so far, from its second week on.
          record: series.budgetForecast,
          expr: text.fill(|||
            (%(ratio)s + %(rest)s)
            or
            %(ratio)s
            / on () group_left () (%(elapsed)s * days_in_month() > 7) * on () group_left () days_in_month()
          |||, budget),
        },
        {
          // Two standard deviations of the days below, at least a tenth of what is still to come.
          record: series.budgetForecastLower,
          expr: text.fill(|||
            %(ratio)s
            + clamp_min(
              %(rest)s
              - (
                2 * stddev without (slot) (%(day)s) * on () group_left () sqrt(%(days)s)
                > 0.1 * %(rest)s
                or
                0.1 * %(rest)s
              ),
              0
            )
            or
            %(ratio)s
            + 5 / 7 * (%(forecast)s - %(ratio)s)
          |||, budget),
        },
      ],
    },
  ]
