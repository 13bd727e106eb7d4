// SPDX-License-Identifier: Apache-2.0
// Links that keep the time range and the variables of the page they are on.
{
  // From the head of a page to all pages with a tag, as a menu.
  dashboards(tag, title, tooltip): {
    type: 'dashboards',
    title: title,
    tooltip: tooltip,
    url: '',
    icon: 'external link',
    keepTime: true,
    includeVars: true,
    asDropdown: true,
    targetBlank: false,
    tags: [tag],
  },

  // From the head of a page to the exporter's API, with the time range. `parameters` maps its parameters to variables.
  api(url, title, tooltip, parameters): self.panel('', title) + {
    local pairs = ['%s=${%s:csv}' % [name, parameters[name]] for name in std.objectFields(parameters)],
    url: url + std.join('&', ['from=${__from}', 'to=${__to}'] + pairs),
    tooltip: tooltip,
    icon: 'doc',
    targetBlank: true,
  },

  // From a panel's head to the page that explains it.
  panel(uid, title): {
    type: 'link',
    title: title,
    tooltip: '',
    url: '/d/' + uid + '?${__url_time_range}&${__all_variables}',
    icon: '',
    keepTime: false,
    includeVars: false,
    asDropdown: false,
    targetBlank: false,
    tags: [],
  },

  // From a value to another page. `variables` maps its variables to fields of the value's row or labels of its series,
  // `kept` are those that it gets from this page; without any, it gets all.
  data(uid, title, variables={}, kept=[]): {
    // Grafana would leave the & and + of a value as they are.
    local pairs = ['var-' + name + '=${' + variables[name] + ':percentencode}' for name in std.objectFields(variables)]
                  + ['${' + name + ':queryparam}' for name in kept if !std.objectHas(variables, name)],
    title: title,
    url: std.join('&', ['/d/' + uid + '?${__url_time_range}'] + (if pairs == [] then ['${__all_variables}'] else pairs)),
    targetBlank: false,
  },

  // To the page whose uid is in a field of the value's row; of this page's variables only the data source fits there.
  pageOf(field, title): { title: title, url: '/d/${__data.fields.' + field + '}?${__url_time_range}&${datasource:queryparam}', targetBlank: false },

  url(title, url): { title: title, url: url, targetBlank: true },
}
