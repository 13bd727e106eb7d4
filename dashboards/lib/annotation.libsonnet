// SPDX-License-Identifier: Apache-2.0
// Events drawn over every chart of a page.
{
  // A region wherever the query has a sample.
  prometheus(name, expr, title, text, color): {
    name: name,
    datasource: { type: 'prometheus', uid: '${datasource}' },
    enable: true,
    hide: false,
    iconColor: color,
    expr: expr,
    step: '2m',
    titleFormat: title,
    textFormat: text,
    tagKeys: '',
    useValueForTime: false,
  },

  // Grafana's own, which every page has.
  grafana: {
    name: 'Annotations & Alerts',
    datasource: { type: 'grafana', uid: '-- Grafana --' },
    builtIn: 1,
    enable: true,
    hide: true,
    iconColor: 'blue',
    type: 'dashboard',
  },
}
