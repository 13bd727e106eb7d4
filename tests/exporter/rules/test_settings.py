# SPDX-License-Identifier: Apache-2.0
"""settings.yml: every wrong setting gives a located sentence, the shipped file shows the defaults, and each one compiles."""

import functools
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from openai_exporter.errors import ConfigError
from openai_exporter.rules import bundle
from openai_exporter.rules.settings import Settings, parse_settings, schema_document

ROOT = Path(__file__).parents[3]
ALERTING = ROOT / "alerting"
FACTS = bundle.facts(ROOT)
SHIPPED = (ALERTING / "settings.yml").read_text()
NOT_SHOWN = {"dashboards", "paces", "timeScale", "alertmanager.templates"}
"""Settings that only users of the mixin have."""


def parsed(text: str) -> Settings:
    return parse_settings(text, "settings.yml", FACTS)


@functools.cache
def compiled(text: str) -> dict[str, str]:
    return dict(bundle.compile_bundle(ALERTING, ROOT, settings=parsed(text)).files)


def rules_of(files: dict[str, str]) -> list[dict[str, Any]]:
    documents = [yaml.safe_load(text) for path, text in files.items() if path.startswith("prometheus/rules/")]
    return [rule for each in documents for group in each["groups"] for rule in group["rules"]]


WRONG = [
    ("chanels: {slack: {}}", "1: chanels: unknown key 'chanels'; did you mean 'channels'?"),
    (
        "channels: {slak: {api_url_file: /a, channel: '#x'}}",
        "1: channels.slak: unknown key 'slak'; did you mean 'slack'?",
    ),
    (
        "channels: {slack: {api_url: 'https://hooks.slack.com/services/T000/B000/XXXXXXXXXXXX', channel: '#x'}}",
        "1: channels.slack.api_url: unknown key 'api_url'; did you mean 'api_url_file'?",
    ),
    (
        "channels: {slack: {api_url_file: slack_url, channel: '#x'}}",
        "1: channels.slack.api_url_file: 'slack_url': must be the absolute path of a file, such as /run/secrets/slack_url, as Alertmanager sees it",
    ),
    (
        "channels: {slack: {api_url_file: /run/secrets/s, channel: #x}}",
        "1: has a bracket or brace that is not closed, or a value is missing",
    ),
    ("channels: {slack: {api_url_file: /run/secrets/s}}", "1: channels.slack: channel is missing"),
    ("channels: {slack: {channel: '#x'}}", "1: channels.slack: api_url_file is missing"),
    (
        "thresholds: {budget: {half: 100%, full: 50%}}",
        "1: thresholds.budget.half: 100%: must not exceed thresholds.budget.full, which is 0.5",
    ),
    (
        "thresholds: {budget: {full: 0.4}}",
        "1: thresholds.budget.full: 0.4: must not be below thresholds.budget.half, which is 0.5",
    ),
    (
        "thresholds: {credit: {page_days: 8}}",
        "1: thresholds.credit.page_days: 8: must not exceed thresholds.credit.days, which is 7",
    ),
    (
        "thresholds: {key_spike: {min_usd: 60}}",
        "1: thresholds.key_spike.min_usd: 60: must not exceed thresholds.key_spike.page.min_usd, which is 50",
    ),
    ("anomaly: {days: 2}", "1: anomaly.days: 2: must not be below anomaly.min_days, which is 3"),
    ("channels: {slack: '#alerts'}", "1: channels.slack: '#alerts': must be a mapping with keys of"),
    ("channels: [slack]", "1: channels: must be a mapping with keys of"),
    (
        "channels: {email: {to: oncall, from: a@b.c, smarthost: 'm:587'}}",
        "1: channels.email.to: 'oncall': must be an e-mail address such as oncall@example.org, or several with commas",
    ),
    (
        "channels: {email: {to: [a@b.c, d@e.f], from: a@b.c, smarthost: 'm:587'}}",
        "1: channels.email.to: must be text, not a list",
    ),
    (
        "channels: {email: {to: a@b.c, from: a@b.c, smarthost: m}}",
        "1: channels.email.smarthost: 'm': must be host:port, such as mail.example.org:587",
    ),
    (
        "channels: {email: {to: a@b.c, from: a@b.c, smarthost: 'm:587', require_tls: 'no'}}",
        "1: channels.email.require_tls: 'no': must be true or false",
    ),
    (
        "channels: {email: {to: a@b.c, from: a@b.c, smarthost: 'm:587', auth_password: hunter22}}",
        "1: channels.email.auth_password: unknown key 'auth_password'; did you mean 'auth_password_file'?",
    ),
    (
        "channels: {pagerduty: {routing_key: abcdef0123456789abcdef0123456789}}",
        "1: channels.pagerduty.routing_key: unknown key 'routing_key'; did you mean 'routing_key_file'?",
    ),
    ("channels: {pagerduty: }", "1: channels.pagerduty: is empty (null); must be a mapping with keys of"),
    (
        "channels: {teams: {webhook_url_file: /a}}",
        "1: channels.teams.webhook_url_file: needs Alertmanager 0.28; set alertmanager_version to the version that you run (it is 0.25)",
    ),
    (
        "channels: {webhook: {url: receiver:8080}}",
        "1: channels.webhook.url: 'receiver:8080': must be an http:// or https:// URL",
    ),
    (
        "channels: {webhook: {url_file: /a}}",
        "1: channels.webhook.url_file: needs Alertmanager 0.26; set alertmanager_version to the version that you run (it is 0.25)",
    ),
    (
        "channels: {webhook: {url: 'http://x', send_resolved: yes}}",
        "1: channels.webhook.send_resolved: 'yes': must be true or false",
    ),
    ("channels: {telegram: {}}", "1: channels.telegram: unknown key 'telegram'; did you mean 'teams'?"),
    (
        "teams: {research: {slack: {channel: '#r'}}}",
        "1: teams.research.slack: api_url_file is missing; set it here or in channels.slack",
    ),
    ("teams: {research: {slak: {channel: '#r'}}}", "1: teams.research.slak: unknown key 'slak'; did you mean 'slack'?"),
    (
        "teams: {'a b': {email: {to: a@b.c}}}",
        "1: teams['a b']: 'a b': must be a name of letters, digits, dots, dashes and underscores",
    ),
    ("teams: {research: '#research'}", "1: teams.research: '#research': must be a mapping with keys of"),
    ("audiences: {pages: [slack]}", "1: audiences.pages: unknown key 'pages'; did you mean 'page'?"),
    (
        "audiences: {page: [slak]}",
        "1: audiences.page[0]: 'slak': must be one of email, opsgenie, pagerduty, slack, sms, teams, webhook; did you mean 'slack'?",
    ),
    (
        "audiences: {page: slack}",
        "1: audiences.page: 'slack': must be a list of email, opsgenie, pagerduty, slack, sms, teams, webhook; write ['slack']",
    ),
    (
        "audiences: {page: [pagerduty]}",
        "1: audiences.page: reaches nobody, for none of pagerduty is set; set channels.pagerduty",
    ),
    ("watchdog: https://x/ping", "1: watchdog: 'https://x/ping': must be a mapping with keys of"),
    ("watchdog: {}", "1: watchdog: url or url_file is missing"),
    ("watchdog: {uri: https://x}", "1: watchdog.uri: unknown key 'uri'; did you mean 'url'?"),
    (
        "watchdog: {url_file: /a}",
        "1: watchdog.url_file: needs Alertmanager 0.26; set alertmanager_version to the version that you run (it is 0.25)",
    ),
    ("owners: {costs: finops}", "1: owners.costs: unknown key 'costs'; did you mean 'cost'?"),
    (
        "owners: {cost: 'fin ops'}",
        "1: owners.cost: 'fin ops': must be a name of letters, digits, dots, dashes and underscores",
    ),
    ("owners: {cost: [finops]}", "1: owners.cost: must be text, not a list"),
    (
        "links: {grafana: g.example.org}",
        "1: links.grafana: 'g.example.org': must be an http:// or https:// URL without user, query or fragment",
    ),
    (
        "links: {grafana: 'https://g.example.org?x=1'}",
        "1: links.grafana: 'https://g.example.org?x=1': must be an http:// or https:// URL without user, query or fragment",
    ),
    (
        "links: {grafana: }",
        "1: links.grafana: is empty (null); must be an http:// or https:// URL without user, query or fragment; give a value or remove the key",
    ),
    ("links: {grafna: 'https://g'}", "1: links.grafna: unknown key 'grafna'; did you mean 'grafana'?"),
    ("links: {runbooks: wiki/%s}", "1: links.runbooks: 'wiki/%s': must be an http:// or https:// URL"),
    (
        "links: {prometheus: ftp://x}",
        "1: links.prometheus: 'ftp://x': must be an http:// or https:// URL without user, query or fragment",
    ),
    ("LINKS: {}", "1: LINKS: unknown key 'LINKS'; did you mean 'links'? allowed: links, selector,"),
    ("links: https://g.example.org", "1: links: 'https://g.example.org': must be a mapping with keys of"),
    (
        "business_hours: 8-18",
        "1: business_hours: '8-18': must be a list of times, such as [{weekdays: ['monday:friday'], location: Europe/Berlin}]",
    ),
    (
        "business_hours: {weekdays: ['monday:friday']}",
        "1: business_hours: must be a list of times, such as [{weekdays: ['monday:friday'], location: Europe/Berlin}], not a mapping; put '- ' before each entry",
    ),
    (
        "business_hours: []",
        "1: business_hours: has no entry, so cost alerts would never be sent; give one or remove the key",
    ),
    (
        "business_hours: [{weekdays: [mon]}]",
        "1: business_hours[0].weekdays[0]: 'mon': must be a day such as monday, or days such as monday:friday",
    ),
    (
        "business_hours: [{weekdays: 'monday:friday'}]",
        "1: business_hours[0].weekdays: 'monday:friday': must be a list; write ['monday:friday']",
    ),
    (
        "business_hours: [{weekdays: ['friday:monday']}]",
        "1: business_hours[0].weekdays[0]: friday is not before monday; write two entries for what goes round",
    ),
    (
        "business_hours: [{times: [{start_time: '18:00', end_time: '08:00'}]}]",
        "1: business_hours[0].times[0]: 18:00 is not before 08:00; write two entries for what goes round",
    ),
    (
        "business_hours: [{times: [{start_time: '8:00', end_time: '18:00'}]}]",
        "1: business_hours[0].times[0].start_time: '8:00': must be a time in quotes from '00:00' to '24:00'",
    ),
    (
        "business_hours: [{times: [{start_time: '08:00', end_time: '25:00'}]}]",
        "1: business_hours[0].times[0].end_time: '25:00': must be a time in quotes from '00:00' to '24:00'",
    ),
    (
        "business_hours: [{times: [{start_time: '08:00'}]}]",
        "1: business_hours[0].times[0].end_time: is missing; must be a time in quotes from '00:00' to '24:00'",
    ),
    (
        "business_hours: [{location: Berlin}]",
        "1: business_hours[0].location: 'Berlin': must be a time zone such as UTC or Europe/Berlin; did you mean 'Europe/Berlin'?",
    ),
    (
        "business_hours: [{location: CEST}]",
        "1: business_hours[0].location: 'CEST': must be a time zone such as UTC or Europe/Berlin; did you mean 'EST'?",
    ),
    ("business_hours: [{days: ['monday']}]", "1: business_hours[0].days: unknown key 'days'; did you mean 'weekdays'?"),
    (
        "quiet_times: [{days_of_month: [1]}]",
        "1: quiet_times[0].days_of_month[0]: 1: must be text; put it in quotes: '1'",
    ),
    (
        "quiet_times: [{days_of_month: ['32']}]",
        "1: quiet_times[0].days_of_month[0]: '32': must be a day of the month in quotes such as '1', '1:5' or '-3:-1'",
    ),
    (
        "quiet_times: [{months: [decembre]}]",
        "1: quiet_times[0].months[0]: 'decembre': must be a month such as december, or months such as june:august",
    ),
    ("quiet_times: [{years: [2027]}]", "1: quiet_times[0].years[0]: 2027: must be text; put it in quotes: '2027'"),
    (
        "group_wait: {page: 30}",
        "1: group_wait.page: 30: must be a duration in whole seconds, such as 30s, 5m or 1d; write 30s or 30m",
    ),
    ("group_wait: {pages: 30s}", "1: group_wait.pages: unknown key 'pages'; did you mean 'page'?"),
    ("group_wait: 30s", "1: group_wait: '30s': must be a mapping with keys of"),
    (
        "group_interval: 10",
        "1: group_interval: 10: must be a duration in whole seconds, such as 30s, 5m or 1d; write 10s or 10m",
    ),
    (
        "group_interval: ten minutes",
        "1: group_interval: 'ten minutes': must be a duration in whole seconds, such as 30s, 5m or 1d",
    ),
    ("group_interval: 0s", "1: group_interval: '0s': must be longer than zero"),
    ("repeat: {cost: daily}", "1: repeat.cost: 'daily': must be a duration in whole seconds, such as 30s, 5m or 1d"),
    ("repeat: {budget: -1d}", "1: repeat.budget: '-1d': must be a duration in whole seconds, such as 30s, 5m or 1d"),
    ("alertmanager_version: 0.28", "1: alertmanager_version: 0.28: must be text; put it in quotes: '0.28'"),
    ("alertmanager_version: latest", "1: alertmanager_version: 'latest': must be a version in quotes, such as '0.28'"),
    (
        "disabled_alerts: OpenAIKeyUnused",
        "1: disabled_alerts: 'OpenAIKeyUnused': must be a list of names of shipped alerts, such as [OpenAIKeyUnused]; write ['OpenAIKeyUnused']",
    ),
    (
        "disabled_alerts: [OpenAIKeyUnusd]",
        "1: disabled_alerts[0]: 'OpenAIKeyUnusd': no shipped alert has this name; did you mean 'OpenAIKeyUnused'? docs/alerts.md lists them",
    ),
    (
        "disabled_alerts: [KeyUnused]",
        "1: disabled_alerts[0]: 'KeyUnused': no shipped alert has this name; did you mean 'OpenAIKeyUnused'? docs/alerts.md lists them",
    ),
    (
        "disabled_alerts: [OpenAIKeyUnused, OpenAIKeyUnused]",
        "1: disabled_alerts: has 'OpenAIKeyUnused' twice; remove one",
    ),
    (
        "severities: {OpenAIKeyUnused: page}",
        "1: severities.OpenAIKeyUnused: 'page': must be one of critical, warning, info, none",
    ),
    (
        "severities: {OpenAIKeyUnusd: info}",
        "1: severities.OpenAIKeyUnusd: 'OpenAIKeyUnusd': no shipped alert has this name; did you mean 'OpenAIKeyUnused'? docs/alerts.md lists them",
    ),
    (
        "severities: [OpenAIKeyUnused]",
        "1: severities: must be a mapping of shipped alerts to severities, such as {OpenAIModelRetiring: info}, not a list",
    ),
    (
        "severities: {OpenAIKeyUnused: none, OpenAIKeyExpiring: Critical}",
        "1: severities.OpenAIKeyExpiring: 'Critical': must be one of critical, warning, info, none; did you mean 'critical'?",
    ),
    (
        "selector: job=openai",
        "1: selector: 'job=openai': must be label matchers as PromQL writes them, in quotes, such as 'job=~\"openai|openai-exporter\"': unexpected identifier 'openai' in label matching, expected string",
    ),
    (
        "selector: '{job=\"openai\"}'",
        "1: selector: '{job=\"openai\"}': must be label matchers as PromQL writes them, in quotes, such as 'job=~\"openai|openai-exporter\"': unexpected left brace '{' inside braces",
    ),
    (
        "selector: 5",
        "1: selector: 5: must be label matchers as PromQL writes them, in quotes, such as 'job=~\"openai|openai-exporter\"'; put it in quotes: '5'",
    ),
    (
        "prometheus_selector: {job: prometheus}",
        "1: prometheus_selector: must be label matchers as PromQL writes them, such as 'job=\"prometheus\"', or '' for none, not a mapping",
    ),
    ("expect_probes: 'no'", "1: expect_probes: 'no': must be true or false"),
    ("expect_probes: no", "1: expect_probes: 'no': must be true or false"),
    ("cluster_labels: cluster", "1: cluster_labels: 'cluster': must be a list; write ['cluster']"),
    (
        "cluster_labels: [k8s-cluster]",
        "1: cluster_labels[0]: 'k8s-cluster': must be a label name of letters, digits and underscores",
    ),
    ("environment_labels: [env, env]", "1: environment_labels: has 'env' twice; remove one"),
    (
        "probe_interval: 60",
        "1: probe_interval: 60: must be a duration in whole seconds, such as 30s, 5m or 1d; write 60s or 60m",
    ),
    (
        "probe_interval: 5m",
        "1: probe_interval: the short window holds fewer than 5 probes at probe_interval 5m; probe more often or lengthen it",
    ),
    ("probe_interval: 1.5s", "1: probe_interval: '1.5s': must be a duration in whole seconds, such as 30s, 5m or 1d"),
    (
        "retention: 15d",
        "1: retention: the period 30d exceeds the retention 15d; keep data longer or shorten the period",
    ),
    ("retention: 40", "1: retention: 40: must be a duration in whole seconds, such as 30s, 5m or 1d; write 40s or 40m"),
    ("status_components: Responses", "1: status_components: 'Responses': must be a list; write ['Responses']"),
    ("slo: {availabilty: {}}", "1: slo.availabilty: unknown key 'availabilty'; did you mean 'availability'?"),
    (
        "slo: {availability: {objective: 99.9%}}",
        "1: slo.availability.objective: unknown key 'objective'; did you mean 'objectives'?",
    ),
    (
        "slo: {availability: {objectives: 99.9%}}",
        "1: slo.availability.objectives: '99.9%': must be a list of objectives, such as [{objective: 99.5%}]",
    ),
    (
        "slo: {availability: {objectives: [99.9%]}}",
        "1: slo.availability.objectives[0]: '99.9%': must be a mapping with keys of",
    ),
    (
        "slo: {availability: {objectives: [{objective: 99.9}]}}",
        "1: slo.availability.objectives[0].objective: 99.9: must be a share such as 5% or 0.05; did you mean 99.9%?",
    ),
    (
        "slo: {availability: {objectives: [{objective: 100%}]}}",
        "1: slo.availability.objectives[0].objective: '100%': must be above 0% and below 100%, such as 99.5% or 0.995",
    ),
    (
        "slo: {availability: {objectives: [{objective: 0}]}}",
        "1: slo.availability.objectives[0].objective: 0: must be above 0% and below 100%, such as 99.5% or 0.995",
    ),
    (
        "slo: {availability: {objectives: [{objective: 90%}]}}",
        "1: slo.availability.objectives[0].objective: 0.9: can never fire, as 14.4 times the error budget exceeds all events; raise the objective above 0.9306 or lower the factor",
    ),
    (
        "slo: {availability: {objectives: []}}",
        "1: slo.availability.objectives: has no entry; give at least one without match, or remove the list",
    ),
    (
        "slo: {availability: {objectives: [{match: {model: gpt-6}, objective: 99%}]}}",
        "1: slo.availability.objectives[0]: the last entry must have no match, so that every series has a value; add one, such as - {objective: 99.5%}",
    ),
    (
        "slo: {availability: {objectives: [{match: {modell: gpt-6}, objective: 99%}, {objective: 99%}]}}",
        "1: slo.availability.objectives[0].match.modell: unknown key 'modell'; did you mean 'model'?",
    ),
    (
        "slo: {availability: {objectives: [{match: {dataset: gpt-6}, objective: 99%}, {objective: 99%}]}}",
        "1: slo.availability.objectives[0].match.dataset: unknown key 'dataset'; did you mean 'target'?",
    ),
    (
        "slo: {availability: {objectives: [{match: {model: 'gpt-6('}, objective: 99%}, {objective: 99%}]}}",
        "1: slo.availability.objectives[0].match.model: 'gpt-6(': must be a regular expression in RE2's syntax, as blackbox_exporter takes it (no look-around, no back-references): missing ): gpt-6(",
    ),
    (
        "slo: {availability: {objectives: [{match: {model: [a, b]}, objective: 99%}, {objective: 99%}]}}",
        "1: slo.availability.objectives[0].match.model: must be text, not a list",
    ),
    ("slo: {availability: {pages: 1}}", "1: slo.availability.pages: 1: must be true or false"),
    (
        "slo: {latency: {bounds: [{bound: 5}]}}",
        "1: slo.latency.bounds[0].bound: 5: must be a duration such as 2.5s or 800ms; write 5s",
    ),
    (
        "slo: {latency: {bounds: [{bound: fast}]}}",
        "1: slo.latency.bounds[0].bound: 'fast': must be a duration with its unit, such as 5s, 2.5s or 800ms",
    ),
    (
        "slo: {latency: {bounds: [{match: {model: x}, bound: 5s}]}}",
        "1: slo.latency.bounds[0]: the last entry must have no match, so that every series has a value; add one, such as - {bound: 5s}",
    ),
    ("slo: {availability: {bounds: [{bound: 5s}]}}", "1: slo.availability.bounds: unknown key 'bounds';"),
    (
        "slo: {period: 30}",
        "1: slo.period: 30: must be a duration in whole seconds, such as 30s, 5m or 1d; write 30s or 30m",
    ),
    (
        "slo: {period: 60d}",
        "1: slo.period: the period 60d exceeds the retention 40d; keep data longer or shorten the period",
    ),
    (
        "slo: {burn: [{severity: critical, long: 1h, short: 5m, factor: 14.4, for: 2m, min_bad: 2}]}",
        "1: slo.burn: one or two bad probes could page; min_bad must be at least 3 for severity critical",
    ),
    (
        "slo: {burn: [{severity: critical, long: 5m, short: 1h, factor: 14.4, for: 2m, min_bad: 5}]}",
        "1: slo.burn: the short window must be shorter than the long one",
    ),
    (
        "slo: {burn: [{severity: critical, long: 1h, short: 5m, factor: 14.4, for: 2m}]}",
        "1: slo.burn[0].min_bad: is missing; must be a whole number of at least 0",
    ),
    (
        "slo: {burn: [{severity: page, long: 1h, short: 5m, factor: 14.4, for: 2m, min_bad: 5}]}",
        "1: slo.burn[0].severity: 'page': must be one of critical, warning, info, none",
    ),
    (
        "slo: {burn: [{severity: critical, long: 1h, short: 5m, factor: high, for: 2m, min_bad: 5}]}",
        "1: slo.burn[0].factor: 'high': must be a number above 0",
    ),
    ("slo: {burn: []}", "1: slo.burn: has no entry; give one or remove the list"),
    (
        "thresholds: {certificate_day: 3}",
        "1: thresholds.certificate_day: unknown key 'certificate_day'; did you mean 'certificate_days'?",
    ),
    (
        "thresholds: {certificateDays: 3}",
        "1: thresholds.certificateDays: unknown key 'certificateDays'; did you mean 'certificate_days'?",
    ),
    (
        "thresholds: {certificate_days: 3d}",
        "1: thresholds.certificate_days: '3d': must be a whole number of at least 0",
    ),
    ("thresholds: {certificate_days: -1}", "1: thresholds.certificate_days: -1: must be a whole number of at least 0"),
    (
        "thresholds: {budget: {half: 50}}",
        "1: thresholds.budget.half: 50: must be a share such as 5% or 0.05; did you mean 50%?",
    ),
    (
        "thresholds: {budget: {half: 150%}}",
        "1: thresholds.budget.half: '150%': must be a share such as 5% or 0.05; a share is at most 100%",
    ),
    ("thresholds: {budget: {zzz: 3}}", "1: thresholds.budget.zzz: unknown key 'zzz';"),
    ("thresholds: {headroom: 10%}", "1: thresholds.headroom: '10%': must be a mapping with keys of"),
    (
        "thresholds: {headroom: {share: 0}}",
        "1: thresholds.headroom.share: 0: must be a share above 0%, such as 5% or 0.05",
    ),
    (
        "thresholds: {key_spike: {min_usd: 5 EUR}}",
        "1: thresholds.key_spike.min_usd: '5 EUR': must be an amount in US dollars, such as 25 USD, $25 or 25",
    ),
    (
        "thresholds: {key_spike: {page: {budget_shares: 5%}}}",
        "1: thresholds.key_spike.page.budget_shares: unknown key 'budget_shares'; did you mean 'budget_share'?",
    ),
    (
        "thresholds: {probe_spend_usd: free}",
        "1: thresholds.probe_spend_usd: 'free': must be an amount in US dollars, such as 25 USD, $25 or 25",
    ),
    (
        "thresholds: {target_down: {min_bad: 2}}",
        "1: thresholds.target_down.min_bad: 2: must be at least 3, or one or two bad probes could page",
    ),
    (
        "thresholds: {target_down: {for: 1}}",
        "1: thresholds.target_down.for: 1: must be a duration in whole seconds, such as 30s, 5m or 1d; write 1s or 1m",
    ),
    (
        "thresholds: {refresh_failing: 15}",
        "1: thresholds.refresh_failing: 15: must be a duration in whole seconds, such as 30s, 5m or 1d; write 15s or 15m",
    ),
    (
        "thresholds: {model_retires: [{days: 60}]}",
        "1: thresholds.model_retires[0].severity: is missing; must be one of critical, warning, info, none",
    ),
    (
        "thresholds: {model_retires: [{days: 60, severity: fatal}]}",
        "1: thresholds.model_retires[0].severity: 'fatal': must be one of critical, warning, info, none",
    ),
    ("thresholds: [certificate_days]", "1: thresholds: must be a mapping with keys of"),
    ("anomaly: {days: 40}", "1: anomaly.days: 40: the comparison needs one day more than that, but retention is 40d"),
    ("anomaly: {min_days: 1}", "1: anomaly.min_days: 1: needs at least 2, and at most anomaly.days (14)"),
    ("anomaly: {weekend: [saturday]}", "1: anomaly.weekend[0]: 'saturday': must be a whole number from 0 to 6"),
    ("anomaly: {weekend: [7]}", "1: anomaly.weekend[0]: 7: must be a whole number from 0 to 6"),
    ("anomaly: {floors: {token: 5}}", "1: anomaly.floors.token: unknown key 'token'; did you mean 'tokens'?"),
    (
        "anomaly: {floors: {cost: -5}}",
        "1: anomaly.floors.cost: -5: must be an amount in US dollars, such as 25 USD, $25 or 25, not negative",
    ),
    (
        "anomaly: {min_spread: 200%}",
        "1: anomaly.min_spread: '200%': must be a share such as 5% or 0.05; a share is at most 100%",
    ),
    (
        "alertmanager: {channels: {}}",
        "1: alertmanager: unknown key 'alertmanager'; did you mean 'alertmanager_version'?",
    ),
    ("grafana_url: https://g", "1: grafana_url: unknown key 'grafana_url';"),
    ("time_scale: 0.1", "1: time_scale: unknown key 'time_scale';"),
    ("- channels", "1: must be a mapping; start with `links:` or `channels:`, not a list"),
    ("just text", "1: 'just text': must be a mapping; start with `links:` or `channels:`"),
    (
        "channels: {slack: {api_url_file: /a, channel: '#x'}",
        "1: has a mapping in { } that is not closed, or lacks a comma",
    ),
    (
        "channels:\n  slack: {channel: #x}\nteams:\n",
        "3: has a mapping in { } that is not closed, or lacks a comma; it starts in line 2",
    ),
    (
        "selector: a",
        "1: selector: 'a': must be label matchers as PromQL writes them, in quotes, such as 'job=~\"openai|openai-exporter\"': invalid label matcher, expected label matching operator after 'a'",
    ),
    (
        "selector: b",
        "1: selector: 'b': must be label matchers as PromQL writes them, in quotes, such as 'job=~\"openai|openai-exporter\"': invalid label matcher, expected label matching operator after 'b'",
    ),
    (
        "thresholds: {cost_drift: {min_elapsed: 200}}",
        "1: thresholds.cost_drift.min_elapsed: 200: must be a share such as 5% or 0.05; did you mean 200%?",
    ),
    ("slo: {told: {critical: 1h, warn: 2h}}", "1: slo.told.warn: unknown key 'warn'; did you mean 'warning'?"),
    (
        "slo: {recovered: {window: 10}}",
        "1: slo.recovered.window: 10: must be a duration in whole seconds, such as 30s, 5m or 1d; write 10s or 10m",
    ),
    ("slo: {first_token: {pages: maybe}}", "1: slo.first_token.pages: 'maybe': must be true or false"),
    (
        "channels:\n  slack:\n    api_url_file: /run/secrets/s\n    channel: #alerts\n",
        "4: channels.slack.channel: is empty (null); must be a channel in quotes, such as '#openai-alerts', for a bare # starts a comment; give a value or remove the key",
    ),
    (
        "channels:\n  slack: {api_url_file: /a, channel: '#x'}\n  email:\n    to: oncall@example.org\n    form: a@example.org\n    smarthost: 'm:25'\n",
        "5: channels.email.form: unknown key 'form'; did you mean 'from'?",
    ),
    (
        "slo:\n  latency:\n    objectives:\n      - {match: {model: x}, objective: 99%}\n      - {objective: 90%}\n",
        "5: slo.latency.objectives[1].objective: 0.9: can never fire, as 14.4 times the error budget exceeds all events; raise the objective above 0.9306 or lower the factor",
    ),
    ("links:\n\tgrafana: http://g\n", "2: has a tab; indent and separate with spaces"),
    (
        "thresholds:\n  budget:\n    half: 50%\n    half: 60%\n",
        "4: thresholds.budget.half: duplicate key; first on line 3, remove one",
    ),
    (
        "slo: {freshness: {bounds: [{match: {model: x}, bound: 1h}, {bound: 15m}]}}",
        "1: slo.freshness.bounds[0].match.model: unknown key 'model';",
    ),
    ("quiet_times: [{days_of_month: ['-1:1']}]", "1: quiet_times[0].days_of_month[0]: -1 is not before 1; write two"),
    ("quiet_times: [{days_of_month: ['28:-1']}]", "1: quiet_times[0].days_of_month[0]: 28 is not before -1; write two"),
    ("probe_interval: .nan", "1: probe_interval: .nan: must be a duration in whole seconds, such as 30s, 5m or 1d\n"),
    ("probe_interval: -60", "1: probe_interval: -60: must be a duration in whole seconds, such as 30s, 5m or 1d\n"),
    (
        "slo: {latency: {bounds: [{bound: .inf}]}}",
        "1: slo.latency.bounds[0].bound: .inf: must be a duration such as 2.5s or 800ms\n",
    ),
    (
        "thresholds: {headroom: {share: .nan}}",
        "1: thresholds.headroom.share: .nan: must be a share such as 5% or 0.05\n",
    ),
    ("repeat: {page: 0s}", "1: repeat.page: '0s': must be longer than zero"),
    ("links: {grafana: 'http://g{{x}}'}", "1: links.grafana: 'http://g{{x}}': must be an http:// or https:// URL"),
    ("links: {prometheus: 'http://p\"'}", "1: links.prometheus: 'http://p\"': must be an http:// or https:// URL"),
    (
        "links: {runbooks: 'http://r/100%'}",
        "1: links.runbooks: 'http://r/100%': must be an http:// or https:// URL, where %s",
    ),
    ("channels: {webhook: {url: 'http://r/%zz'}}", "1: channels.webhook.url: 'http://r/%zz': must be an http:// or"),
    (
        "channels: {webhook: {url: 'http://r:99999'}}",
        "1: channels.webhook.url: 'http://r:99999': must be an http:// or",
    ),
    ("channels: {webhook: {url: 'http://[::1/'}}", "1: channels.webhook.url: 'http://[::1/': must be an http:// or"),
    (
        "channels: {webhook: {url: 'http://user:word@r/'}}",
        "1: channels.webhook.url: 'http://<secret>@r/': must be an http:// or https:// URL without user; put the full URL into a file: url_file",
    ),
    ('selector: \'job="x"} or up{job="y"\'', '1: selector: \'job="x"} or up{job="y"\': must be label matchers'),
    (
        "selector: 'job=`x`'",
        "1: selector: 'job=`x`': must be label matchers as PromQL writes them, in quotes, such as 'job=~\"openai|openai-exporter\"': write texts in double quotes, not between backticks\n",
    ),
    (
        'selector: "a\\x07b"',
        "1: selector: 'a\\x07b': must be label matchers as PromQL writes them, in quotes, such as 'job=~\"openai|openai-exporter\"': unexpected character inside braces: '\\x07'\n",
    ),
    (
        'selector: "\\ud83d"',
        "1: selector: '\\ud83d': must be label matchers as PromQL writes them, in quotes, such as 'job=~\"openai|openai-exporter\"': is not UTF-8 text\n",
    ),
    ("instance_labels: [model]", "1: instance_labels[0]: 'model': is a label of the exporter's own series; give one"),
    (
        "quiet_times: [{days_of_month: ['5:1']}]",
        "1: quiet_times[0].days_of_month[0]: 5 is not before 1; write two entries for what goes round",
    ),
    ("channels: {sms: {}}", "1: channels.sms: url or url_file is missing"),
    (
        "channels: {opsgenie: {api_key_file: /a, api_url: opsgenie}}",
        "1: channels.opsgenie.api_url: 'opsgenie': must be an http:// or https:// URL",
    ),
    (
        "business_hours: [{weekdays: [monday], times: []}, {weekday: [monday]}]",
        "1: business_hours[1].weekday: unknown key 'weekday'; did you mean 'weekdays'?",
    ),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[text[:60] for text, _ in WRONG])
def test_a_wrong_setting_is_one_sentence_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compiled(text)
    (problem,) = caught.value.problems

    assert f"{problem}\n".startswith(f"settings.yml:{message}")


def test_every_mistake_is_told_at_once() -> None:
    text = "chanels: {}\nlinks: {grafana: g}\nslo: {period: 30}\nseverities: {OpenAIKeyUnused: page}\n"
    with pytest.raises(ConfigError) as caught:
        parsed(text)

    assert [str(each).split(": ")[0] for each in caught.value.problems] == [
        f"settings.yml:{line}" for line in (1, 2, 3, 4)
    ]


def test_a_key_is_never_repeated() -> None:
    secret = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"
    for text in (
        f"links: {{grafana: {secret}}}",
        f"channels: {{slack: {{{secret}: 1}}}}",
        f"owners: {{cost: [{secret}]}}",
    ):
        with pytest.raises(ConfigError) as caught:
            parsed(text)
        assert secret not in str(caught.value)


def uncommented(text: str) -> str:
    return re.sub(r"(?m)^#(?=[^ #\n]|  )", "", text)


def paths(data: Any, place: str = "") -> dict[str, Any]:
    if not isinstance(data, dict) or not data:
        return {place: data}
    return {
        path: value for key, each in data.items() for path, value in paths(each, f"{place}.{key}".strip(".")).items()
    }


def test_the_shipped_file_changes_nothing() -> None:
    assert (parsed(SHIPPED).config, parsed(SHIPPED).links) == ({}, {})
    assert parsed("").config == {}


def test_the_shipped_file_shows_every_default_as_it_is() -> None:
    shown = paths(parsed(uncommented(SHIPPED)).config)
    defaults = {path: value for path, value in paths(dict(FACTS.config)).items() if path.split(".")[0] not in NOT_SHOWN}
    # Channels, teams and the watchdog have no default.
    defaults = {path: value for path, value in defaults.items() if value not in (None, {}) and path not in NOT_SHOWN}

    assert defaults == {path: value for path, value in shown.items() if value != {}}


def test_an_editor_takes_what_is_taken_and_marks_what_is_not() -> None:
    schema = schema_document(FACTS)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    assert (ALERTING / "settings.schema.json").read_text() == json.dumps(schema, indent=2) + "\n"
    shown = {key: value for key, value in yaml.safe_load(uncommented(SHIPPED)).items() if value is not None}
    assert list(validator.iter_errors(shown)) == []
    mistakes: list[dict[str, Any]] = [
        {"chanels": {}},
        {"channels": {"slack": {"chanel": "#x"}}},
        {"thresholds": {"certificate_day": 3}},
    ]
    for wrong in mistakes:
        assert list(validator.iter_errors(wrong)), wrong


def test_a_channel_an_objective_and_links_reach_the_files() -> None:
    files = compiled(
        "channels: {slack: {api_url_file: /run/secrets/slack, channel: '#openai'}}\n"
        "slo: {availability: {objectives: [{match: {model: 'gpt-6\\.1.*'}, objective: 99.9%}, {objective: 99%}]}}\n"
        "links: {grafana: 'https://g.example.org', runbooks: 'https://r.example.org/a%20b/%s', alertmanager: 'https://a.example.org',"
        " prometheus: 'https://p.example.org/prom'}\n"
    )
    config = yaml.safe_load(files["alerting/alertmanager/alertmanager.yml"])
    rules = rules_of(files)
    objectives = next(
        rule["expr"]
        for rule in rules
        if rule.get("record") == "probe:openai_objective:ratio" and rule["labels"] == {"slo": "availability"}
    )
    alerts = [rule for rule in rules if "alert" in rule]

    assert config["receivers"][0]["slack_configs"][0]["channel"] == "#openai"
    assert "0.999" in objectives
    assert r'model=~"gpt-6\\.1.*"' in objectives, "a backslash is doubled in a text of PromQL"
    assert {
        rule["annotations"]["dashboard_url"].partition("/d/")[0]
        for rule in alerts
        if "dashboard_url" in rule["annotations"]
    } == {"https://g.example.org"}
    assert {rule["annotations"]["runbook_url"].rpartition("/")[0] for rule in alerts} == {"https://r.example.org/a%20b"}
    assert "https://r.example.org/a%20b/${__value.raw}" in files["dashboards/generated/overview.json"]
    template = files["alerting/alertmanager/templates/openai.tmpl"]
    assert "https://a.example.org/#/silences/new" in template
    assert ".ExternalURL" not in template
    assert '$alert.GeneratorURL | reReplaceAll "^.*/graph[?]" "https://p.example.org/prom/graph?"' in template


def test_alerts_can_be_disabled_and_get_another_severity_and_team() -> None:
    files = compiled(
        "disabled_alerts: [OpenAIKeyUnused]\nseverities: {OpenAIModelRetiring: info}\nowners: {keys: soc}\n"
        "selector: 'job=\"llm\"'\nprobe_interval: 30s\nteams: {soc: {webhook: {url: 'http://soc/'}}}\n"
    )
    alerts = [rule for rule in rules_of(files) if "alert" in rule]

    assert "OpenAIKeyUnused" not in {rule["alert"] for rule in alerts}
    assert {rule["labels"]["severity"] for rule in alerts if rule["alert"] == "OpenAIModelRetiring"} == {"info"}
    assert {rule["labels"]["team"] for rule in alerts if rule["labels"].get("category") == "keys"} == {"soc"}
    assert 'job=~"openai' not in "".join(files.values())
    assert 'job="llm"' in files["prometheus/rules/user-thresholds.yml"]


LATE = [{"days_of_month": ["15:-1", "-3:-1", "3:3"]}]


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("retention: 8w", ("retention",), "56d"),
        ("repeat: {cost: 1h30m}", ("alertmanager", "repeat", "cost"), "90m"),
        ("thresholds: {target_down: {keep: 0}}", ("thresholds", "targetDown", "keep"), "0s"),
        ("thresholds: {probe_spend_usd: 1000 USD}", ("thresholds", "probeSpendUsd"), 1000.0),
        ("quiet_times: [{days_of_month: ['15:-1', '-3:-1', '3:3']}]", ("alertmanager", "quietTimes"), LATE),
        ("cluster_labels: []", ("clusterLabels",), ""),
        ("cluster_labels: [cluster, region]", ("clusterLabels",), "cluster, region"),
        ("status_components: [Responses, Batch]", ("statusComponents",), "Responses|Batch"),
        ("status_components: ['Chat (beta)', 'a\"b']", ("statusComponents",), "Chat .beta.|a.b"),
        ("links: {grafana: 'https://g.example.org/grafana/'}", ("grafanaUrl",), "https://g.example.org/grafana"),
        ("channels:\nteams:\nlinks:\n", (), {}),
    ],
)
def test_values_are_read_as_people_write_them(text: str, path: tuple[str, ...], expected: Any) -> None:
    found: Any = parsed(text).config
    for part in path:
        found = found[part]

    assert found == expected


def test_what_no_setting_of_a_package_changes_is_taken_as_shipped(tmp_path: Path) -> None:
    root = tmp_path / bundle.PACKAGED
    root.symlink_to(ROOT)
    files = bundle.compile_bundle(ALERTING, root, settings=parsed("channels: {webhook: {url: 'http://x/'}}")).files

    # Committed files are what the defaults compile to (tests/mixin/test_generate.py).
    assert {path for path, text in files.items() if text != (ROOT / path).read_text()} == {
        "alerting/alertmanager/alertmanager.yml"
    }
