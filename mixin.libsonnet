// SPDX-License-Identifier: Apache-2.0
// The monitoring mixin: import it and override `_config+::`.
local alertmanager = import 'alerting/alertmanager/main.libsonnet';
local alerts = import 'alerting/alerts/main.libsonnet';
local rules = import 'alerting/rules/main.libsonnet';
local dashboards = import 'dashboards/main.libsonnet';

local groups(files) = { groups+: std.flattenArrays([files[name] for name in std.objectFields(files)]) };

(import 'alerting/config.libsonnet') + {
  local config = self._config,

  prometheusRules+:: groups(rules(config)),
  prometheusAlerts+:: groups(alerts(config)),
  // File name -> dashboard.
  grafanaDashboards+:: dashboards(config),

  // File name -> content, as prometheus/rules/ holds them.
  prometheusRuleFiles:: std.mapWithKey(function(name, groups) { groups: groups }, rules(config) + alerts(config)),
  alertmanagerConfig:: alertmanager(config.alertmanager),
}
