// SPDX-License-Identifier: Apache-2.0
// The vocabulary of pages, in grafonnet's words: what a page, a panel, a query and a variable are made of.
{
  dashboard: import 'dashboard.libsonnet',
  row: import 'row.libsonnet',
  link: import 'link.libsonnet',
  annotation: import 'annotation.libsonnet',
  variable: import 'variable.libsonnet',
  query: import 'query.libsonnet',
  override: import 'override.libsonnet',
  transformation: import 'transformation.libsonnet',
  threshold: import 'threshold.libsonnet',
  mapping: import 'mapping.libsonnet',
  panel: (import 'panel/common.libsonnet') + {
    timeSeries: import 'panel/time_series.libsonnet',
    stat: import 'panel/stat.libsonnet',
    barGauge: import 'panel/bar_gauge.libsonnet',
    table: import 'panel/table.libsonnet',
    stateTimeline: import 'panel/state_timeline.libsonnet',
    heatmap: import 'panel/heatmap.libsonnet',
    barChart: import 'panel/bar_chart.libsonnet',
    pieChart: import 'panel/pie_chart.libsonnet',
    text: import 'panel/text.libsonnet',
  },
}
