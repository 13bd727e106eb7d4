// SPDX-License-Identifier: Apache-2.0
// Rules and routing of the mixin as resources of the Prometheus Operator.
//   (import 'deploy/kubernetes/operator.libsonnet')(mixin) -> { prometheusRules: {name: ...}, alertmanagerConfig: ... }
local labels = { 'app.kubernetes.io/name': 'openai-exporter', 'app.kubernetes.io/part-of': 'openai-monitoring' };

// The Secret that holds what alertmanager.yml reads from files; a file's name is its key there.
local secrets = 'openai-alertmanager';
local secret(path) =
  local parts = std.split(path, '/');
  { name: secrets, key: parts[std.length(parts) - 1] };

local camel(name) =
  local upper = { url: 'URL', tls: 'TLS' };
  local parts = std.split(name, '_');
  local capital(word) = std.get(upper, word, std.asciiUpper(word[0]) + word[1:]);
  parts[0] + std.join('', [capital(word) for word in parts[1:]]);

// 'severity!="critical"' -> { name: 'severity', matchType: '!=', value: 'critical' }
// An equality becomes a pattern: kustomize writes a lone `=` without quotes, which many YAML readers (PyYAML) reject.
local escaped(text) = std.join('', [(if std.member('\\.+*?()|[]{}^$', char) then '\\' else '') + char for char in std.stringChars(text)]);
local matcher(text) =
  local at = std.findSubstr('"', text)[0];
  local left = text[:at];
  local operator = [each for each in ['!=', '!~', '=~', '='] if std.endsWith(left, each)][0];
  local value = text[at + 1:std.length(text) - 1];
  {
    name: left[:std.length(left) - std.length(operator)],
    matchType: if operator == '=' then '=~' else operator,
    value: if operator == '=' then escaped(value) else value,
  };
local matchers(list) = [matcher(each) for each in list];

local route(source) = {
  [camel(key)]:
    if key == 'matchers' then matchers(source[key])
    else if key == 'routes' then [route(each) for each in source[key]]
    else source[key]
  for key in std.objectFields(source)
};

local inhibition(source) = {
  sourceMatch: matchers(source.source_matchers),
  targetMatch: matchers(source.target_matchers),
  equal: source.equal,
};

// Objects that the operator takes as lists of pairs.
local pairs(object) = [{ key: key, value: object[key] } for key in std.objectFields(object)];
local setting(key, value) =
  if key == 'url_file' then { urlSecret: secret(value) }
  else if key == 'credentials_file' then { credentials: secret(value) }
  else if std.endsWith(key, '_file') then { [camel(std.strReplace(key, '_file', ''))]: secret(value) }
  else if key == 'headers' || key == 'details' then { [key]: pairs(value) }
  else if key == 'links' then { pagerDutyLinkConfigs: [{ href: each.href, alt: each.text } for each in value] }
  else if std.isObject(value) then { [camel(key)]: std.foldl(function(all, name) all + setting(name, value[name]), std.objectFields(value), {}) }
  else { [camel(key)]: value };
local receiver(source) = { name: source.name } + {
  [camel(kind)]: [
    std.foldl(function(all, key) all + setting(key, entry[key]), std.objectFields(entry), {})
    for entry in source[kind]
  ]
  for kind in std.objectFields(source)
  if kind != 'name'
};

local days(text) =
  local parts = std.split(text, ':');
  { start: std.parseInt(parts[0]), end: std.parseInt(parts[std.length(parts) - 1]) };
local interval(source) =
  assert std.get(source, 'location', 'UTC') == 'UTC' :
         'alertmanager: an AlertmanagerConfig knows no time zones; give the hours in UTC (location is %s)' % source.location;
  {
    [camel(key)]:
      if key == 'times' then [{ startTime: each.start_time, endTime: each.end_time } for each in source.times]
      else if key == 'days_of_month' then [days(each) for each in source.days_of_month]
      else source[key]
    for key in std.objectFields(source)
    if key != 'location'
  };

function(mixin) {
  // One resource per rule file, each small enough for client-side apply.
  prometheusRules: {
    [file]: {
      apiVersion: 'monitoring.coreos.com/v1',
      kind: 'PrometheusRule',
      metadata: { name: 'openai-' + std.strReplace(file, '.yml', ''), labels: labels },
      spec: mixin.prometheusRuleFiles[file],
    }
    for file in std.objectFields(mixin.prometheusRuleFiles)
  },

  alertmanagerConfig: {
    local source = mixin.alertmanagerConfig,
    apiVersion: 'monitoring.coreos.com/v1alpha1',
    kind: 'AlertmanagerConfig',
    metadata: { name: 'openai', labels: labels },
    spec: {
      route: route(source.route),
      receivers: [receiver(each) for each in source.receivers],
      inhibitRules: [inhibition(each) for each in source.inhibit_rules],
      muteTimeIntervals: [
        { name: each.name, timeIntervals: [interval(one) for one in each.time_intervals] }
        for each in source.time_intervals
      ],
    },
  },
}
