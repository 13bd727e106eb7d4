// SPDX-License-Identifier: Apache-2.0
// One burn alert per row of windows, for a service level of probes or of datasets.
local alert = import 'alert.libsonnet';
local burn = import 'burn.libsonnet';
local series = import 'series.libsonnet';
local text = import 'text.libsonnet';

{
  // new(config, slo, level, fields): `fields` are those of an alert; its description is completed with the pace.
  new(config, slo, level, fields):: [
    alert.new(config, fields {
      expr: text.fill(|||
        (
          %(long)s{slo="%(slo)s"} > %(factor)s * %(budget)s
          and
          %(short)s{slo="%(slo)s"} > %(factor)s * %(budget)s
        )
        and %(bad)s{slo="%(slo)s"} >= %(minBad)s
      |||, {
        slo: slo,
        long: series.errorRatio(level, row.long),
        short: series.errorRatio(level, row.short),
        bad: series.badEvents(level, row.long),
        budget: series.errorBudget(level),
        factor: text.number(row.factor),
        minBad: row.minBad,
      }),
      'for': row['for'],
      keep: std.get(row, 'keep'),
      severity: row.severity,
      dashboard: 'slo',
      labels+: { slo: slo, long_window: row.long, short_window: row.short },
      description: fields.description % row.long,
    })
    for row in burn.rows(config, slo)
  ],
}
