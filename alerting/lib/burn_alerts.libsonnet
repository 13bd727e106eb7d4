// SPDX-License-Identifier: Apache-2.0
// Burn alerts of a service level: one per severity, which joins the rows of windows of that severity.
local alert = import 'alert.libsonnet';
local burn = import 'burn.libsonnet';
local duration = import 'duration.libsonnet';
local match = import 'match.libsonnet';
local series = import 'series.libsonnet';
local text = import 'text.libsonnet';

// Share of the results of ten minutes.
local burst = 0.2;

{
  // ALERTS of some names by labels that were firing within a time, or (null) are.
  firing(config, names, labels, within, more='')::
    local selector = text.fill('ALERTS{%s, alertstate="firing"%s}', [match.matcher('alertname', std.join('|', names)), more]);
    text.fill('group by (%s) (%s)', [
      labels,
      if within == null then selector else text.fill('max_over_time(%s[%s])', [selector, duration.scaled(config, within)]),
    ]),

  // Of an alert that fires for the second time within `told`: what failed in bursts within half an hour, by labels. An
  // outage that comes and goes is one, and a failure here and there does not prolong it.
  recurring(config, it, level, slo):: text.fill(|||
    max by (%(labels)s) (
      max_over_time(%(bad)s{slo="%(slo)s"}[%(span)s]) >= %(share)s * %(events)s{slo="%(slo)s"}
    ) > 0
    and on (%(labels)s) %(firing)s
    and on (%(labels)s) max by (%(labels)s) (changes(ALERTS_FOR_STATE{%(name)s}[%(memory)s])) > 0
  |||, {
    labels: it.labels,
    bad: series.badEvents(level, config.slo.recovered.window),
    events: series.events(level, config.slo.recovered.window),
    slo: slo,
    span: duration.scaled(config, '20m'),
    share: text.number(burst),
    firing: $.firing(config, it.names, it.labels, null, std.get(it, 'more', '')),
    name: match.matcher('alertname', std.join('|', it.names)) + std.get(it, 'more', ''),
    memory: duration.scaled(config, config.slo.told.critical),
  }),

  // new(config, slo, level, fields): `fields` are those of an alert, and told: [{ names, labels }], other alerts that
  // have said it before, by the labels that they share.
  new(config, slo, level, fields)::
    local rows = burn.rows(config, slo);
    local told = std.get(fields, 'told', []);
    local seconds(w) = duration.seconds(w);
    local fill(template, values) = text.fill(template, { slo: slo, budget: series.errorBudget(level) } + values);
    local recovered = config.slo.recovered;

    // A row ends at once where its short window is longer than it takes to see that nothing fails any more, and stays
    // over while that window lasts.
    local over(row) = if seconds(row.short) <= seconds(recovered.window) then '' else fill(|||
      unless (
        %(recent)s{slo="%(slo)s"} == 0
        and max_over_time(%(short)s{slo="%(slo)s"}[%(span)s]) * %(events)s{slo="%(slo)s"} >= %(due)s
      )
    |||, {
      recent: series.badEvents(level, recovered.window),
      events: series.events(level, recovered.window),
      short: series.errorRatio(level, row.short),
      span: duration.scaled(config, row.short),
      due: text.number(recovered.due),
    });
    local burning(row) = fill(|||
      (
        %(long)s{slo="%(slo)s"} > %(factor)s * %(budget)s
        and
        %(short)s{slo="%(slo)s"} > %(factor)s * %(budget)s
      )
      and %(bad)s{slo="%(slo)s"} >= %(minBad)s
    |||, {
      long: series.errorRatio(level, row.long),
      short: series.errorRatio(level, row.short),
      bad: series.badEvents(level, row.long),
      factor: text.number(row.factor),
      minBad: row.minBad,
    }) + over(row);
    // Results that come rarely: enough of them in a window, and all bad, where the row's window holds few.
    local first = rows[0];
    local windows = std.filter(
      function(w) seconds(w) >= seconds('30m') && seconds(w) <= seconds('6h'), burn.windows(config.slo)
    );
    local allBad = [
      fill(|||
        %(ratio)s{slo="%(slo)s"} == 1
        and %(bad)s{slo="%(slo)s"} >= %(minBad)s
        unless %(usual)s{slo="%(slo)s"} >= %(many)s
      |||, {
        ratio: series.errorRatio(level, w),
        bad: series.badEvents(level, w),
        usual: series.events(level, first.long),
        minBad: first.minBad,
        many: 4 * first.minBad,
      })
      for w in windows
    ];
    local pages = {
      names: [fields.name],
      labels: std.join(', ', ['slo'] + fields.labelsOfSeries),
      more: ', severity="critical"',
    };
    local firing(it, within) = $.firing(config, it.names, it.labels, within, std.get(it, 'more', ''));
    local unless(it, within) = text.fill('unless on (%s) %s', [it.labels, firing(it, within)]);
    local recurs = fill('%(ratio)s{slo="%(slo)s"} and on (%(labels)s) (\n  %(since)s\n)\n', {
      ratio: series.errorRatio(level, first.long),
      labels: pages.labels,
      since: text.indent($.recurring(config, pages, level, slo), 2),
    });
    local any = fill('%(any)s{slo="%(slo)s"}', { any: series.events(level, config.slo.period) });
    local goesOn = text.fill('%s and on (%s) %s', [any, pages.labels, firing(pages, null)]);
    // What was paged is no news, be it the outage or the same budget, for long windows still hold its failures. It takes
    // new ones: some in a short window, or enough in one that began after the page was over.
    local anew(it) = fill(|||
      and (
        %(any)s %(notTold)s
        or
        %(long)s{slo="%(slo)s"} >= %(minBad)s %(over)s
        or
        %(short)s{slo="%(slo)s"} >= %(least)s%(now)s
      )
    |||, {
      any: any,
      long: series.badEvents(level, first.long),
      short: series.badEvents(level, first.short),
      minBad: first.minBad,
      least: config.thresholds.targetDown.minBad,
      notTold: unless(it, config.slo.told.critical),
      over: unless(it, first.long),
      now: if it == pages then '\n  or\n  ' + goesOn else ' ' + unless(it, null),
    });
    local news(severity) = std.join('', if severity == 'critical' then [anew(it) for it in told + [pages]] else [
      unless(it, config.slo.told.warning) + '\n'
      for it in told + (if config.slo[slo].pages then [pages] else [])
    ]);
    [
      local mine = std.filter(function(row) row.severity == severity, rows);
      local parts = [burning(row) for row in mine] + (if severity == 'critical' then allBad + [recurs] else []);
      local keeps = [row.keep for row in mine if std.objectHas(row, 'keep')];
      alert.new(config, fields {
        'for': std.sort([row['for'] for row in mine], duration.seconds)[0],
        keep: if keeps == [] then null else std.sort(keeps, duration.seconds)[std.length(keeps) - 1],
        expr: '(\n  ' + text.indent(std.join('or\n', parts), 2) + '\n)\n' + news(severity),
        severity: severity,
        dashboard: 'slo',
        labels+: { slo: slo },
      })
      for severity in ['critical', 'warning']
      if std.length(std.filter(function(row) row.severity == severity, rows)) > 0
    ],
}
