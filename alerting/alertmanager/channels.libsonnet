// SPDX-License-Identifier: Apache-2.0
// One way to reach people each: settings of the configuration -> a receiver's entry, in words that Alertmanager 0.25 knows.
local number(version) =
  local parts = [std.parseInt(part) for part in std.split(version, '.')];
  parts[0] * 1000 + parts[1];

local allowed = {
  slack: ['api_url_file', 'channel'],
  email: ['to', 'from', 'smarthost', 'auth_username', 'auth_password_file', 'require_tls', 'hello'],
  pagerduty: ['routing_key_file'],
  opsgenie: ['api_key_file', 'api_url'],
  teams: ['webhook_url_file'],
  webhook: ['url', 'url_file', 'bearer_token_file', 'send_resolved'],
  sms: ['url', 'url_file', 'bearer_token_file'],
};
// One of each list must be there, in `channels` or in the team that is laid over it.
local required = {
  slack: [['api_url_file'], ['channel']],
  email: [['to'], ['from'], ['smarthost']],
  pagerduty: [['routing_key_file']],
  opsgenie: [['api_key_file']],
  teams: [['webhook_url_file']],
  webhook: [['url', 'url_file']],
  sms: [['url', 'url_file']],
};
// Setting -> the first Alertmanager that reads it.
local since = { 'teams.webhook_url_file': '0.28', 'webhook.url_file': '0.26', 'sms.url_file': '0.26' };

local problems(config, name, settings) =
  local where(key) = 'alertmanager: %s.%s: ' % [name, key];
  std.flattenArrays([
    (if std.member(allowed[name], key) then []
     else [where(key) + 'unknown setting; allowed: %s (secrets come from files)' % std.join(', ', allowed[name])])
    + (if !std.endsWith(key, '_file') || std.startsWith(settings[key], '/') then []
       else [where(key) + 'must be an absolute path, for Alertmanager resolves it against its working directory'])
    + (local first = std.get(since, '%s.%s' % [name, key], '0.0');
       if number(first) <= number(config.version) then []
       else [where(key) + 'needs Alertmanager %s; set alertmanager.version to what you run (it is %s)' % [first, config.version]])
    for key in std.objectFields(settings)
  ]) + [
    where(std.join(' or ', keys)) + 'is missing; set it in channels.%s, or in each team that has this channel of its own' % name
    for keys in required[name]
    if !std.any([std.objectHas(settings, key) for key in keys])
  ];

// A webhook: a plain URL or a file that holds it, and a token if the receiver wants one.
local webhook(settings) = {
  [if std.objectHas(settings, 'url') then 'url']: settings.url,
  [if std.objectHas(settings, 'url_file') then 'url_file']: settings.url_file,
  [if std.objectHas(settings, 'bearer_token_file') then 'http_config']: {
    authorization: { credentials_file: settings.bearer_token_file },
  },
  send_resolved: std.get(settings, 'send_resolved', true),
};
local link(text, url) = { type: 'button', text: text, url: url };
local dashboard = '{{ template "openai.dashboard" (index .Alerts 0) }}';
local annotation(name) = '{{ (index .Alerts 0).Annotations.%s }}' % name;

local renderers = {
  slack(settings, audience): {
    slack_configs+: [settings {
      send_resolved: true,
      color: '{{ template "openai.color" . }}',
      title: '{{ template "openai.title" . }}',
      title_link: dashboard,
      fallback: '{{ template "openai.title" . }}',
      text: '{{ template "openai.slack.text" . }}',
      actions: [
        link('Runbook', annotation('runbook_url')),
        link('Dashboard', dashboard),
        link('Silence', '{{ template "openai.silence" . }}'),
      ],
    }],
  },
  email(settings, audience): {
    email_configs+: [settings {
      send_resolved: true,
      headers: { Subject: '{{ template "openai.title" . }}' },
      html: '{{ template "openai.email.html" . }}',
      text: '{{ template "openai.text" . }}',
    }],
  },
  pagerduty(settings, audience): {
    pagerduty_configs+: [settings {
      send_resolved: true,
      severity: '{{ template "openai.pagerduty.severity" . }}',
      description: '{{ template "openai.title" . }}',
      class: '{{ .CommonLabels.alertname }}',
      component: '{{ .CommonLabels.target }}{{ .CommonLabels.organization }}',
      client: 'openai-exporter',
      client_url: dashboard,
      details: { text: '{{ template "openai.text" . }}' },
      links: [{ text: 'Runbook', href: annotation('runbook_url') }, { text: 'Dashboard', href: dashboard }],
    }],
  },
  opsgenie(settings, audience): {
    opsgenie_configs+: [settings {
      send_resolved: true,
      message: '{{ template "openai.title" . }}',
      description: '{{ template "openai.text" . }}',
      priority: if audience == 'page' then 'P1' else 'P3',
      source: 'openai-exporter',
    }],
  },
  teams(settings, audience): {
    msteamsv2_configs+: [settings {
      send_resolved: true,
      title: '{{ template "openai.title" . }}',
      text: '{{ template "openai.text" . }}',
    }],
  },
  webhook(settings, audience): { webhook_configs+: [webhook(settings)] },
  sms(settings, audience): { webhook_configs+: [webhook(settings { send_resolved: false })] },
};

{
  names: std.objectFields(allowed),
  allowed:: allowed,
  required:: required,
  since:: since,

  // The entry of a channel in the receiver of an audience.
  render(config, audience, name, settings)::
    local found = problems(config, name, settings);
    assert found == [] : std.join('\n', found);
    renderers[name](settings, audience),
}
