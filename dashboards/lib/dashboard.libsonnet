// SPDX-License-Identifier: Apache-2.0
// A page: classic JSON with the content of schema version 37, which Grafana 11 to 13 read and migrate.
local row = import 'row.libsonnet';

{
  new(uid, title, description): {
    id: null,
    uid: uid,
    title: title,
    description: description,
    tags: [],
    schemaVersion: 37,
    version: 1,
    editable: false,
    graphTooltip: 1,
    fiscalYearStartMonth: 0,
    liveNow: false,
    weekStart: '',
    time: { from: 'now-6h', to: 'now' },
    timepicker: {},
    timezone: 'browser',
    refresh: '1m',
    templating: { list: [] },
    annotations: { list: [] },
    links: [],
    panels: [],
  },

  withTime(from, to='now'): { time: { from: from, to: to } },
  // What is billed by the day is billed by the day in UTC.
  withTimezone(timezone): { timezone: timezone },
  withRefresh(refresh): { refresh: refresh },
  withTags(tags): { tags: tags },
  withVariables(variables): { templating: { list: variables } },
  withAnnotations(annotations): { annotations: { list: annotations } },
  withLinks(links): { links: links },

  // Rows top down, each as high as its panels; ids follow the order.
  withRows(rows):
    local heights = [row.height for row in rows];
    local tops = [std.foldl(function(sum, h) sum + h, heights[:i], 0) for i in std.range(0, std.length(rows) - 1)];
    local panels = std.flattenArrays([rows[i].at(tops[i]) for i in std.range(0, std.length(rows) - 1)]);
    { panels: row.numbered(panels) },
}
