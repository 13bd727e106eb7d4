// SPDX-License-Identifier: Apache-2.0
// Settings of the Alertmanager configuration; part of `_config`.
{
  alertmanager: {
    // Oldest Alertmanager that must read the file; a setting that needs a newer one is refused.
    version: '0.25',
    // How people are reached. A channel that is null is not rendered. Secrets are absolute paths of files, never values.
    channels: {
      slack: null,  // { api_url_file: '/run/secrets/slack_url', channel: '#openai-alerts' }
      email: null,  // { to: 'oncall@example.org', from: 'alerts@example.org', smarthost: 'mail.example.org:587', auth_username: 'alerts', auth_password_file: '/run/secrets/smtp_password' }
      pagerduty: null,  // { routing_key_file: '/run/secrets/pagerduty_key' }
      opsgenie: null,  // { api_key_file: '/run/secrets/opsgenie_key' }
      teams: null,  // { webhook_url_file: '/run/secrets/teams_url' }, Alertmanager 0.28 and newer
      webhook: null,  // { url: 'http://receiver:8080/alerts' } or { url_file: '/run/secrets/webhook_url' } (0.26 and newer)
      sms: null,  // { url: 'http://sms-gateway:8080/send' }: a webhook that only pages reach
    },
    // Audience -> the channels that reach it; those that are null fall away.
    audiences: {
      page: ['pagerduty', 'opsgenie', 'sms', 'slack', 'teams', 'webhook', 'email'],
      notify: ['slack', 'teams', 'webhook', 'email'],
      cost: ['email', 'webhook'],
      info: [],
    },
    // Team -> settings laid over the channels for its alerts: { research: { slack: { channel: '#research' } } }.
    teams: {},
    // URL that is called every minute while alerting works, outside this stack, which raises the alarm when the calls stop.
    watchdog: null,  // { url: 'https://watchdog.example.org/ping/1234' } or { url_file: ... } (0.26 and newer)
    // Cost alerts that do not page are sent in these hours only.
    officeHours: [{ weekdays: ['monday:friday'], times: [{ start_time: '08:00', end_time: '18:00' }], location: 'UTC' }],
    // Times in which nothing below a page is sent, in Alertmanager's form; for planned work.
    quietTimes: [],
    // How long a group waits before its first notification, and what joins it before the next one. A page on a share
    // of failures of one model waits as `notify` does: an outage reaches the models of a target within minutes.
    groupWait: { page: '30s', notify: '5m' },
    groupInterval: '10m',
    // 744h is a month. Alertmanager forgets what it has sent after --data.retention (120h by default), and sends it again.
    repeat: { page: '4h', notify: '12h', cost: '24h', budget: '744h' },
    // An alert inhibits others, or shares a notification with them, only where job and these labels agree, or both lack them.
    environmentLabels: ['cluster', 'env', 'environment', 'region', 'namespace'],
    // Folder of the templates as Alertmanager sees it, relative to its configuration file.
    templates: 'templates/*.tmpl',
  },
}
