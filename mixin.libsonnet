// SPDX-License-Identifier: Apache-2.0
// The monitoring mixin: import it and override `_config+::`.
local alertmanager = import 'alerting/alertmanager/main.libsonnet';
local alerts = import 'alerting/alerts/main.libsonnet';
local settings = import 'alerting/lib/settings.libsonnet';
local rules = import 'alerting/rules/main.libsonnet';
local dashboards = import 'dashboards/main.libsonnet';

local groups(files) = { groups+: std.flattenArrays([files[name] for name in std.objectFields(files)]) };

local defaults = import 'alerting/config.libsonnet';

defaults {
  local config = settings.checked(defaults._config, self._config),
  local ruleFiles = settings.apply(config, rules(config)),
  local pages = self.grafanaDashboards,
  local panels = {
    [pages[name].uid]: { [panel.title]: panel.id for row in pages[name].panels for panel in [row] + std.get(row, 'panels', []) if panel.type != 'row' && std.get(panel, 'title', '') != '' }
    for name in std.objectFields(pages)
  },
  local alertFiles = settings.linked(panels, settings.apply(config, alerts(config))),

  prometheusRules+:: groups(ruleFiles),
  prometheusAlerts+:: groups(alertFiles),
  // File name -> dashboard.
  grafanaDashboards+:: dashboards(config),

  // File name -> content, as prometheus/rules/ holds them.
  prometheusRuleFiles:: std.mapWithKey(function(name, groups) { groups: groups }, ruleFiles + alertFiles),
  alertmanagerConfig:: alertmanager(config.alertmanager),
}
