// SPDX-License-Identifier: Apache-2.0
// The Alertmanager configuration: function(config.alertmanager) -> the document.
local inhibitions = import 'inhibitions.libsonnet';
local receivers = import 'receivers.libsonnet';
local routes = import 'routes.libsonnet';

function(config)
  local quiet = if config.quietTimes == [] then [] else [{ name: 'quiet-times', time_intervals: config.quietTimes }];
  {
    global: { resolve_timeout: '5m' },
    templates: [config.templates],
    time_intervals: [{ name: 'office-hours', time_intervals: config.officeHours }] + quiet,
    route: routes(config),
    receivers: receivers.all(config),
    inhibit_rules: inhibitions(config),
  }
