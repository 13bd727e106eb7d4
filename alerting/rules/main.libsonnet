// SPDX-License-Identifier: Apache-2.0
// Recording rules: file name -> groups. A file's groups come in the order in which they need each other.
function(config) {
  'recording-slo.yml': (import 'samples.libsonnet')(config) + (import 'slo.libsonnet')(config),
  'recording-usage.yml':
    (import 'limits.libsonnet')(config)
    + (import 'usage.libsonnet')(config)
    + (import 'budgets.libsonnet')(config)
    + (import 'costs.libsonnet')(config),
  'recording-growth.yml': (import 'growth.libsonnet')(config),
  'recording-anomalies.yml': (import 'anomaly.libsonnet')(config),
}
