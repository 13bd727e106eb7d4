// SPDX-License-Identifier: Apache-2.0
// Your settings: everything in config.libsonnet and alertmanager/config.libsonnet can be overridden here.
// Run `make generate` afterwards; it writes prometheus/rules/ and alerting/alertmanager/alertmanager.yml.
{
  // grafanaUrl: 'https://grafana.example.org',
  // slo+: {
  //   availability+: {
  //     objectives: [
  //       { match: { model: 'gpt-6.*' }, objective: 0.999 },
  //       { objective: 0.995 },
  //     ],
  //   },
  // },
  // alertmanager+: {
  //   channels+: {
  //     slack: { api_url_file: '/run/secrets/slack_url', channel: '#openai-alerts' },
  //   },
  // },
}
