// SPDX-License-Identifier: Apache-2.0
// Service levels: events, bad events and error ratio per window, then objectives, budgets and burn rates.
local burn = import '../lib/burn.libsonnet';
local duration = import '../lib/duration.libsonnet';
local match = import '../lib/match.libsonnet';
local series = import '../lib/series.libsonnet';
local text = import '../lib/text.libsonnet';

local targetLabels = 'slo, job, target, provider';
local levels = ['probe', 'dataset', 'target'];

function(config)
  local slo = config.slo;
  local windows = burn.windows(slo);
  local longs = burn.longWindows(slo);
  local longest = longs[std.length(longs) - 1];
  // The pace now, and a steadier one to project from.
  local paceWindow = longs[0];
  local paging = std.set([row.long for row in slo.burn if row.severity == 'critical'], duration.seconds);
  local projectionWindow = (paging + longs)[std.min(1, std.length(paging + longs) - 1)];
  local day = duration.seconds('1d');
  local isShort(w) = duration.seconds(w) < day;
  local range(w) = duration.scaled(config, w);

  // Events of a service level within a window: counted from the probes' own 0/1 gauges, or from samples of them.
  local availability(w) = [
    {
      record: series.events('probe', w),
      expr: burn.valid(config, range(w)),
      labels: { slo: 'availability' },
    },
    {
      record: series.badEvents('probe', w),
      expr: burn.valid(config, range(w)) + '\n- ' + burn.good(config, range(w)),
      labels: { slo: 'availability' },
    },
  ];
  local samples(recorded, w) = 'sum_over_time(' + recorded + '[' + range(w) + '])';
  local sampled(level, name, w) = [
    {
      record: series.events(level, w),
      expr: samples(series.sampleEvents(level, name), w),
      labels: { slo: name },
    },
    {
      record: series.badEvents(level, w),
      expr: samples(series.sampleEvents(level, name), w) + '\n- ' + samples(series.sampleGood(level, name), w),
      labels: { slo: name },
    },
  ];
  local ofTarget(w) = [
    {
      record: name('target', w),
      expr: 'sum by (' + targetLabels + ') (' + name('probe', w) + ')',
    }
    for name in [series.events, series.badEvents]
  ];
  local ratio(level, w) = {
    record: series.errorRatio(level, w),
    expr: series.badEvents(level, w) + ' / (' + series.events(level, w) + ' > 0)',
  };
  local ofWindow(w) =
    availability(w)
    + sampled('probe', 'latency', w)
    + sampled('probe', 'first_token', w)
    + sampled('dataset', 'freshness', w)
    + ofTarget(w)
    // The window of recovery needs no ratio.
    + [
      ratio(level, w)
      for level in levels
      if w != slo.recovered.window || std.member([row.short for row in slo.burn] + longs, w)
    ];

  // The objective of each series that has events, by the patterns of the configuration.
  local objective(level, name) = {
    record: series.objective(level),
    expr: match.first(text.fill('slo.%s.objectives', name), slo[name].objectives, function(matchers, entry)
      text.fill('0 * %s{%s} + %s', [
        series.events(level, longest),
        match.selector('slo="' + name + '"', matchers),
        text.number(entry.objective),
      ])),
    labels: { slo: name },
  };
  // The budget of a target is the mean of its probes' budgets, weighted by their events.
  local targetObjective = {
    record: series.objective('target'),
    expr: text.fill(|||
      sum by (%(labels)s) (%(objective)s * %(events)s)
      / (sum by (%(labels)s) (%(events)s) > 0)
    |||, {
      labels: targetLabels,
      objective: series.objective('probe'),
      events: series.events('probe', longest),
    }),
  };
  local budget(level) = [
    {
      record: series.errorBudget(level),
      expr: text.fill('1 - %s', series.objective(level)),
    },
    {
      record: series.currentBurnRate(level),
      expr: series.errorRatio(level, paceWindow) + ' / ' + series.errorBudget(level),
    },
    {
      record: series.periodBurnRate(level),
      expr: series.errorRatio(level, slo.period) + ' / ' + series.errorBudget(level),
    },
    {
      record: series.budgetRemaining(level),
      expr: text.fill('1 - %s', series.periodBurnRate(level)),
    },
    {
      record: series.budgetRemainingEvents(level),
      expr: text.fill('%s * %s - %s', [
        series.errorBudget(level),
        series.events(level, slo.period),
        series.badEvents(level, slo.period),
      ]),
    },
    {
      record: series.budgetExhaustion(level),
      expr: text.fill(|||
        time() + clamp_min(%(remaining)s, 0) * %(period)s
        / (%(ratio)s / %(budget)s > 0)
      |||, {
        remaining: series.budgetRemaining(level),
        period: duration.seconds(slo.period),
        ratio: series.errorRatio(level, projectionWindow),
        budget: series.errorBudget(level),
      }),
    },
  ];

  [
    {
      name: 'openai-slo-short',
      rules: std.flatMap(ofWindow, std.filter(isShort, windows)),
    },
    {
      // Long windows read many samples and change slowly.
      name: 'openai-slo-long',
      interval: duration.scaled(config, '3m'),
      rules: std.flatMap(ofWindow, std.filter(function(w) !isShort(w), windows)),
    },
    {
      name: 'openai-slo-budget',
      rules:
        [objective('probe', name) for name in ['availability', 'latency', 'first_token']]
        + [objective('dataset', 'freshness'), targetObjective]
        + std.flatMap(budget, levels),
    },
  ]
