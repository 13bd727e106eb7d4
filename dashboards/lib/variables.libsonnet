// SPDX-License-Identifier: Apache-2.0
// The variables that pages offer. Projects, keys and users are chosen by name; the query then uses their ids.
local metric = import 'metric.libsonnet';
local variable = import 'variable.libsonnet';

function(config, promql)
  local values(label, selectors) =
    local name = if std.length(selectors) == 1 then selectors[0] else '{__name__=~"%s"}' % std.join('|', selectors);
    'label_values(%s, %s)' % [std.strReplace('%s{%s}' % [name, config.selector], '}{', ','), label];
  // Ids with a name where one is known. `among` are matchers of the variables to the left.
  local choices(id, name, info, among) =
    local select(metricName) = promql.select(metricName, among);
    {
      query: 'query_result(max by (%(id)s, %(name)s) (%(info)s) or on (%(id)s) %(ids)s)' % {
        id: id,
        name: name,
        info: select(info),
        ids: promql.idsAsNames(id, name, select(metric.usage.requests)),
      },
      // Labels come in alphabetical order.
      regex: if id < name then
        '/%s="(?<value>[^"]+)".*%s="(?<text>[^"]+)"/' % [id, name]
      else
        '/%s="(?<text>[^"]+)".*%s="(?<value>[^"]+)"/' % [name, id],
    };
  local byName(variableName, label, id, name, info, among) =
    local found = choices(id, name, info, among);
    variable.query(variableName, label, found.query, found.regex);
  local ofOrganization = 'organization=~"$organization"';
  local ofProject = 'project_id=~"$project"';

  {
    datasource: variable.datasource,
    // Percentiles need some probes each; one a minute makes twenty.
    window: variable.window('window', '20m'),
    target: variable.query('target', 'Target', values('target', [metric.probe.success])),
    // Models that are probed or used.
    model: variable.query('model', 'Model', values('model', [metric.probe.success, metric.usage.requests])),
    organization: variable.query('organization', 'Organization', values('organization', [metric.refresh.up])),
    project: byName('project', 'Project', 'project_id', 'project', metric.project.info, [ofOrganization]),
    key: byName('key', 'API key', 'api_key_id', 'api_key', metric.key.info, [ofOrganization, ofProject]),
    user: byName('user', 'User', 'user_id', 'user', metric.user.info, [ofOrganization]),
    slo: variable.custom('slo', 'Service level', [
      ['Availability', 'availability'],
      ['Latency', 'latency'],
      ['First token', 'first_token'],
    ]),
  }
