// SPDX-License-Identifier: Apache-2.0
// Variables of a page.
{
  datasource: {
    type: 'datasource',
    name: 'datasource',
    label: 'Data source',
    query: 'prometheus',
    regex: '',
    // The first that there is.
    current: { selected: false, text: '', value: '' },
    hide: 0,
    refresh: 1,
    multi: false,
    includeAll: false,
    options: [],
    skipUrlSync: false,
  },

  // A query variable with several values, All at first. Its All also matches series that lack the label.
  query(name, label, query, regex=''): {
    type: 'query',
    name: name,
    label: label,
    datasource: { type: 'prometheus', uid: '${datasource}' },
    query: query,
    regex: regex,
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    allValue: '.*',
    current: { selected: true, text: ['All'], value: ['$__all'] },
    hide: 0,
    options: [],
    skipUrlSync: false,
  },

  // A window that grows with the time range, `least` and a hundredth of it; people do not see it.
  window(name, least): {
    type: 'interval',
    name: name,
    label: 'Window',
    query: least,
    auto: true,
    auto_count: 100,
    auto_min: least,
    current: { selected: false, text: 'auto', value: '$__auto_interval_' + name },
    options: [],
    refresh: 2,
    hide: 2,
    skipUrlSync: true,
  },

  // One of a fixed list of [text, value]; the first at first.
  custom(name, label, choices): {
    local options = [{ text: choice[0], value: choice[1], selected: choice == choices[0] } for choice in choices],
    type: 'custom',
    name: name,
    label: label,
    query: std.join(', ', ['%s : %s' % choice for choice in choices]),
    current: options[0],
    options: options,
    hide: 0,
    multi: false,
    includeAll: false,
    skipUrlSync: false,
  },
}
