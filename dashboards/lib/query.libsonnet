// SPDX-License-Identifier: Apache-2.0
// A query of a panel to Prometheus. Panels add refId.
local base(expr) = {
  datasource: { type: 'prometheus', uid: '${datasource}' },
  editorMode: 'code',
  expr: std.stripChars(expr, '\n '),
};

{
  // Values over time; `legend` is a template of labels.
  range(expr, legend): base(expr) + { range: true, instant: false, format: 'time_series', legendFormat: legend },
  // The value at the end of the time range.
  instant(expr, legend): base(expr) + { range: false, instant: true, format: 'time_series', legendFormat: legend },
  // Like instant, one row for each series with its labels as columns.
  table(expr): base(expr) + { range: false, instant: true, format: 'table', legendFormat: '' },
  // Buckets of a histogram over time.
  heatmap(expr): base(expr) + { range: true, instant: false, format: 'heatmap', legendFormat: '{{le}}' },

  // Of the step that begins at each point, not of the one that ends there: stamped with its start, the running one with it.
  fromStart(query): query { expr: std.strReplace(super.expr, '[$__interval]', '[$__interval] offset -$__interval') },
  // Least step; $__rate_interval becomes at least four of them.
  withMinStep(step): { interval: step },
  // Shows the request id of single probes.
  withExemplars: { exemplar: true },
}
